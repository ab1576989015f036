"""Processing: columns become features by one fitted object, the same in batch, in a trial and at the endpoint."""
