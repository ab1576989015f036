"""What a kill costs: each fault under a load of 16 connections, or more, against the quickstart's endpoint.

    .venv/bin/python -m benchmarks.faults --port 8000                    # all, about 20 minutes on two cores
    .venv/bin/python -m benchmarks.faults --port 8000 replica swapping   # only these
    .venv/bin/python -m benchmarks.faults --connections 32 replica-of-two haproxy proxy committer

It brings up a quickstart of its own, in a folder that it removes, and takes it down; traffic goes to loopback
only. The peers, in the same run, are the same load without a fault (`none`) and, beside the faults that
strike a retrain, the same load and retrain without a fault (`none, with a retrain`).

What is told of each fault:

- **sent**, **failed**: requests, and those not answered with 200.
- **longest gap**: between two answers, over all connections.
- **s to normal**, one number a try: from the kill to the first moment at which the answers of the last second
  are 80% or more of the level before (the mean of the last 3 s before the kill) and what was killed is at
  work again: a replica that was not there before answers; another controller has announced itself in the
  ledger; the committer has committed; Serve's new controller says that the application runs; a retrain whose
  job was killed has its end in the ledger. `raypipe up` ends by itself and leaves a detached cluster: after
  its kill the committer must commit, and the controller measure what it committed.
- **answers not once in the log**: not exactly once in the table of predictions after the committer's next
  rounds; **rows beyond the answers**: of requests that died on the way back.
- **decisions doubled, lost**: a second job, version, end or release of one; a request without a decision, or
  a decision without a job or an end.
- **struck after**: the last entry that the ledger held of the retrain when the kill struck.
"""
