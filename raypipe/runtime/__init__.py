"""Runtime: Ray started, joined and ended; the one place with `ray.init`."""
