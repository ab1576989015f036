"""The command line: one module a noun, each parses, calls one function, and returns an exit code."""
