"""Shows: folders with a preset, the microphones and snapshots to recall."""
