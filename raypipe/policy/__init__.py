"""Policy: when to learn again, what may be released, and who is asked."""
