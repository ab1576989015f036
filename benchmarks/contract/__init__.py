"""What a contract of five rules costs, beside libraries that are kept; and what keys cost that are unique.

    .venv/bin/python -m benchmarks.contract                # about a minute, once the peers are installed
    .venv/bin/python -m benchmarks.contract --keys 20000000 raypipe

A table of six columns in memory is checked: `id` is unique, `amount` from 0 to 1,000, `shop` one of 50,
`code` a letter and three digits, `end` >= `start`. Each is broken by about one row in a thousand. All find
the same number of rows for each rule (of two rows with one key pandera and pointblank count both, raypipe the
second), and which rows they are. Each peer has a process, and but for raypipe an environment, of its own
(made in `--venvs` on first use from `peers/NAME.txt`); the median of three runs is told, and the peak memory
of the process beyond what it held with the table alone.
"""
