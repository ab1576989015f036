"""An endpoint under nonsense: requests of every kind, and what became of the endpoint and of its log."""
