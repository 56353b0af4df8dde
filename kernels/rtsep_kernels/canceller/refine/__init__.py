"""Refinement of the canceller's paths."""
