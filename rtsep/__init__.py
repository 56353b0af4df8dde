"""rtsep: removes the bleed from every microphone of a concert, while the concert runs."""

__version__ = "0.1.0"
