"""Processing: columns become features by one object, the same in a trial, in batch and at the endpoint."""
