"""Scoring of files, folders and tables: pieces in, parts out, with the endpoint's numbers."""
