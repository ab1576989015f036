"""How fast the endpoint answers, beside what others would serve the same model with.

    apt-get install wrk
    .venv/bin/python -m benchmarks.serving --port 8000                    # all, about 15 minutes
    .venv/bin/python -m benchmarks.serving --port 8000 raypipe fastapi    # only these

One XGBoost model of 100 trees on 20 numeric columns; wrk asks from the same machine, and shares its CPUs with
the server. raypipe is as `raypipe up` leaves it: one replica behind HAProxy, each request validated and
captured, committer and controller at work. Each peer runs in an environment of its own (made in `--venvs` on
first use from `peers/NAME.txt`), one worker, tuned as its documentation advises; the bare FastAPI endpoint
validates and keeps nothing. Each server is asked three times, in three ways:

- **one row**: one row a request, 32 connections;
- **alone**: one row a request, one connection;
- **many rows**: 1,000 rows a request, 4 connections.

What is told: the median of the three rates and of their 50th and 99th percentiles, how often a request
failed, and how many times as many answers raypipe gives.
"""
