"""Recorded rows played as live traffic against a pipeline that learned from the older ones."""
