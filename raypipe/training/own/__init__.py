"""Models of the user's own: any class, factory, function or network, named by import path in the config."""
