"""What studies and data share: how files are written and how figures look."""
