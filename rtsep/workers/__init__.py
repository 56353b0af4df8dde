"""Processes that do a stage's work behind shared memory: see `rtsep.stages.remote` for the stage's side."""
