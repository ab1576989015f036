"""The loop over recorded rows, in their own time and without an endpoint: what a policy would have cost."""
