"""Control: what to do about what was seen. A fold over the ledger, and pure; time is an argument."""
