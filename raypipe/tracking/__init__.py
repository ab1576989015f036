"""MLflow as a sink that is told of runs and versions, and never asked: off unless the config names one."""
