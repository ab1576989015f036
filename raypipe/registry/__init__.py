"""The registry: immutable versions, aliases and the decision ledger in SQL; model folders with digests."""
