"""When to retrain, on recorded streams: raypipe's policy beside never, periodic and the naive trigger."""
