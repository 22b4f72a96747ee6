"""Where the engine runs. What crosses the boundary is the vocabulary, as JSON lines."""
