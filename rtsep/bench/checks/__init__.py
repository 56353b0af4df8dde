"""Acceptance checks of SYSTEMS.md, a file for each family."""
