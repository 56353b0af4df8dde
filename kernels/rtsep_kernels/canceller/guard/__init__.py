"""The guard: how much of the canceller each mic is given, and which pairs of mics may learn from each other."""
