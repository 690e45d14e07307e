"""The home page and the workflow's chart."""
