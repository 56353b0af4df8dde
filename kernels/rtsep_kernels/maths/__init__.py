"""Small mathematics without allocation: spectra, vectors, linear algebra, order statistics."""
