"""One file for each way to decide; none of them touches audio."""
