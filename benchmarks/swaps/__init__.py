"""What a swap costs the clients: versions change under a load of 32 connections that ask without pause.

    .venv/bin/python -m benchmarks.swaps                        # one replica and four, about 3 minutes
    .venv/bin/python -m benchmarks.swaps --replicas 1 --swaps 100
    .venv/bin/python -m benchmarks.swaps --pause-ms 20          # not at the limit of what the CPUs can do

It brings up an endpoint of its own with two versions of the model of `benchmarks.serving`, and takes it away
at the end. The peer, in the same run, is the same load without a swap.

- **sent**, **failed**: requests, and those not answered with 200 by a version that was released.
- **slowest ms**: the longest time from a request to its answer; **slowest without**: of the peer.
- **all on the new one s**: from asking for the release to the last request that was sent and then answered
  by the version of before, and the longest of them.
- **MB before, after**: memory of the replicas' processes (resident, summed), after five swaps and at the end.
"""
