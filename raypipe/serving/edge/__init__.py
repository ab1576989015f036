"""A version as a folder that answers by itself: without Ray, and without an endpoint."""
