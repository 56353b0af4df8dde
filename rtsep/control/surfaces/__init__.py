"""One file for each kind of surface; see `rtsep.control`."""
