"""Serving: each endpoint answers with the version that its pointer names, and keeps what it answered."""
