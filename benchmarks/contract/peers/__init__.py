"""The same five rules, as each peer says them."""
