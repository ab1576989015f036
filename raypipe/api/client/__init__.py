"""An endpoint asked over HTTP from anywhere, and again where an answer is lost."""
