"""From a Parquet file to files of features: raypipe, here and over Ray Data, beside its peers.

    .venv/bin/python -m benchmarks.processing

`job` says what all must do, `peers` does it in each way, `measured` runs one of them in a process of its own
and watches its memory, `compared` looks whether all wrote the same numbers.
"""
