"""Who drives the engine: a file, a sound card, or a clock."""
