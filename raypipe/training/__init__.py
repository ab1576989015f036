"""Training: model families race under one budget, the best by validation is judged once on the test rows."""
