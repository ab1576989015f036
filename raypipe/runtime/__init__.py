"""Starting or joining Ray, and ending what was started: the one place with `ray.init`."""
