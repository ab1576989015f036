"""Data: declared sources become immutable, profiled versions; what is served comes back as captured rows."""
