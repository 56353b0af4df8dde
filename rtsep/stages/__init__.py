"""Everything that touches audio, one file for each family."""
