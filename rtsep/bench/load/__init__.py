"""Load: what share of its deadline a callback takes, by mics, block and chain, and against what else could do it."""
