"""The latch: one set of targets for all stages, taken from the board at the beginning of each segment of 64 samples.

The board is other processes' memory, in which plain numbers change at any moment. All stages read the copy, which
changes at multiples of 64 samples only, so what is heard follows from what was played and from a list of changes. That
list is a ring of rows, for another process to store; a full one is counted, and the copy goes on all the same.
"""

import numpy as np

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import load_acquire, store_release
from rtsep_kernels.plane.record import given, i4, i8, number, record, view
from rtsep_kernels.plane.ring import LOST, RING_HEADER

# What is compared at once: two pages of a first-level cache of 32 KiB.
CHUNK = 1024
# A row of the list: which life of the audio process, at which sample of it, place on the board, bits of the float32.
LIFE, SAMPLE, PLACE, BITS = range(4)
ROW = 4
CHAIN_TAKEN = -1   # as a place: the audio thread has taken a new chain, and its number stands for the bits
_WRITTEN, _READ = 0, 8

LATCH = record(
    size=number(), board=given(i4, "size"), copy=given(i4, "size"),   # float32, compared as bits
    used=given(i8, 1),                                                # so many are laid out
    # How many sets there have been, twice, so that it is odd while one is taken; since which sample the last one holds.
    sets=number(), since=number(),
    chains=number(), life=number(),
    list_rows=number(), list_header=given(i8, RING_HEADER), list=given(i8, "list_rows", ROW),   # header 0: none
)


@kernel
def note(s, sample, place, bits):
    """Append a row to the list, if there is one; where there is no room count it as lost."""
    if s.list_header == 0:
        return
    header, rows = view(s, "list_header"), view(s, "list")
    written = header[_WRITTEN]
    if written + 1 - load_acquire(s.list_header + 8 * _READ) > s.list_rows:
        header[LOST] += 1
        return
    row = rows[written % s.list_rows]
    row[LIFE], row[SAMPLE], row[PLACE], row[BITS] = s.life, sample, place, bits
    store_release(s.list_header + 8 * _WRITTEN, written + 1)


@kernel
def note_chain(s, sample):
    """Note that a new chain is used from a sample on."""
    s.chains += 1
    note(s, sample, CHAIN_TAKEN, s.chains)


@kernel
def _differ(ours, theirs):
    """Return whether two rows differ."""
    different = np.int32(0)
    for i in range(ours.shape[0]):
        different |= ours[i] ^ theirs[i]
    return different != 0


@kernel
def latch(s, sample):
    """Take over what has changed on the board."""
    board, copy = view(s, "board"), view(s, "copy")
    changed = False
    used = view(s, "used")[0]
    for first in range(0, used, CHUNK):
        last = min(used, first + CHUNK)
        if not _differ(copy[first:last], board[first:last]):
            continue
        if not changed:
            changed = True
            s.sets += 1
        for place in range(first, last):
            bits = board[place]
            if bits != copy[place]:
                copy[place] = bits
                note(s, sample, place, np.int64(bits))
    if changed:
        s.since = sample
        s.sets += 1
