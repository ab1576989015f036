"""raypipe: the machine-learning loop on Ray."""
