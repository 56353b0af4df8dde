"""Architectures of the sources, one a file, each with the layer table and the number of parameters of its source."""
