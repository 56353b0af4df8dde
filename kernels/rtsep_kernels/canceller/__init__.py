"""The recursive canceller."""
