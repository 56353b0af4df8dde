"""Measures: latency, load, the machine, quality; and what was measured before."""
