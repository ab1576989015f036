"""Model families: what each searches, how it trains in steps, and how its models are kept."""
