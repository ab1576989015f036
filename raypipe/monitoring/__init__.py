"""Monitoring: live rows and their labels against what a version was trained on; functions, no state."""
