"""What the program takes on: how much memory, how many microphones, which rates, how large a file of settings.

Nobody who uses it as it is meant comes near; what does would fill the memory before anything could be said.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep_kernels.plane.record import State

MEMORY = "RTSEP_MEMORY_GB"
"""Environment variable: GB that a chain, or a file that is read whole, may take. Default: half of what is free."""

MOST_MICS = 128         # inputs of the largest consoles that are used on stages
RATES = (1000, 768000)  # Hz: of recordings. Below, windows are shorter than a segment; above, nothing records
LARGEST_TEXT = 1 << 22  # bytes of a table or a description: of 128 microphones it is a tenth of that
_SHARE = 0.5            # of what is free; the rest is others', and what Python takes beside
_UNKNOWN_FREE = 4e9     # bytes, where the system does not say


def memory() -> float:
    """Return how many bytes may be taken.

    Raises
    ------
    InputError
        If the user's limit is no number above 0.
    """
    told = os.environ.get(MEMORY)
    if told is None:
        return _SHARE * _free()
    try:
        limit = float(told)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise InputError(MEMORY, f"{told!r} is no limit", "allowed is a number of GB above 0")
    return limit * 1e9


def check_memory(place: str, needed: float) -> None:
    """Refuse what would take more memory than is allowed.

    Raises
    ------
    InputError
    """
    limit = memory()
    if needed > limit:
        allowed = f"allowed are {limit / 1e9:.1f} GB; set {MEMORY} to allow more"
        raise InputError(place, f"needs {needed / 1e9:.1f} GB of memory", allowed)


def check_mics(place: str, count: int) -> None:
    """Refuse more microphones than any stage has.

    Raises
    ------
    InputError
    """
    if count > MOST_MICS:
        raise InputError(place, f"{count} microphones", f"allowed are up to {MOST_MICS}")


def check_rate(place: str, rate: int) -> None:
    """Refuse a sample rate at which nothing is recorded.

    Raises
    ------
    InputError
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(place, f"{rate} Hz", f"allowed are {RATES[0]} to {RATES[1]} Hz")


def check_file(path: str | os.PathLike[str], most: int = LARGEST_TEXT) -> None:
    """Refuse what is no file, which may have no end, and a file that is too large to be what it is meant as.

    Raises
    ------
    OSError
        If there is none: the caller knows what to say.
    InputError
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise InputError(str(path), "is not a file")
    if found.st_size > most:
        raise InputError(str(path), f"has {found.st_size} bytes", f"allowed are up to {most}")


def held(state: State) -> int:
    """Return the bytes of all arrays that a record and its parts have allocated; untouched, they are not there yet."""
    total, seen, left = 0, set(), [state]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            total += sum(array.nbytes for name, array in one.arrays.items() if one.table.fields[name].ours)
            left += one.parts.values()
    return total


def _free() -> float:
    """Return the bytes that new programs could take."""
    free = _UNKNOWN_FREE
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(float(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):   # only Linux says it so
        pass
    try:
        import resource
    except ImportError:   # none on Windows
        return free
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return free if most == resource.RLIM_INFINITY else min(free, float(most))
