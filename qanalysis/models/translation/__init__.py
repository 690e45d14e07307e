"""Networks that translate, small enough to train on a CPU: source and target so far to scores of the next token."""
