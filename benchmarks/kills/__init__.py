"""kill -9 of a controller at random moments of whole cycles, retrain to release, without Ray.

    .venv/bin/python -m benchmarks.kills                 # 100 kills of the controller, 10 of a rollback
    .venv/bin/python -m benchmarks.kills --kills 10 --seed 1

The controller's own loop runs in a process of its own over a registry in a file, a pointer file, models in
folders, jobs that are processes and outlive it, and a webhook on loopback. What live traffic shows of a
challenger is made up: by their number, challengers pass all, do harm as a canary, fail their gate, or show
nothing by the deadline. A person's rollback is a process too, and killed in its midst.
"""
