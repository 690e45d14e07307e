"""Training: the loop of QAT, its batches, optimizer, state and checkpoint."""
