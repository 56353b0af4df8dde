"""The limiter: instant attack, bit-transparent below its ceiling."""

import numpy as np

from rtsep_kernels.plane.jit import kernel

CEILING = np.float32(10 ** (-1 / 20))   # -1 dBFS
_OPEN = np.float32(0.9999)   # from here on it is as good as 1
# Between 0.5 and 1 float32 knows no smaller step: a release that rounded to none would never end.
_LEAST = np.float32(2.0**-24)


@kernel
def limit(value, held, release):
    """Return a sample that is not above the ceiling, and the gain that is held for the next one; 1: it is open."""
    size = abs(value)
    allowed = CEILING / size if size > CEILING else np.float32(1)
    if held < np.float32(1):
        held += max((np.float32(1) - held) * release, _LEAST)
        if held > _OPEN:
            held = np.float32(1)
    if allowed < held:
        held = allowed
    if held < np.float32(1):
        value = min(max(value * held, -CEILING), CEILING)
    return value, held
