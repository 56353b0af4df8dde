"""Training of networks; torch is imported here and nowhere else."""
