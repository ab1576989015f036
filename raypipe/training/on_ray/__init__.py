"""Training over a Ray cluster: the race between families, and the importance of columns."""
