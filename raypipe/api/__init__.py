"""The loop from Python: the same names as in the config file, the same stages as on the command line."""
