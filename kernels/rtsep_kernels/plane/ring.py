"""A single-producer, single-consumer ring of float32 rows, and a slot that always holds the newest estimate.

Both work between threads and, laid in shared memory, between processes: they hold no addresses, only offsets.
The two counters of a ring live on cache lines of their own, or each side would slow the other.
"""

import numpy as np

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import exchange, load_acquire, store_release

# int64 header: [0] rows written, [8] rows read, [16] rows lost. Data: float32[rows, width] behind it.
RING_HEADER = 24
_WRITTEN, _READ, LOST = 0, 8, 16

# int64 header: [0] the buffer that is between the two sides, plus 4 when it is fresh; [8] the writer's, [16] the
# reader's own buffer. Data: float32[3, width]. Three buffers: neither side ever waits, none is torn.
SLOT_HEADER = 24
_FRESH = 4


@kernel
def ring_write(header, data, rows, first, count):
    """Append ``rows[first:first + count]``; when there is no room for all, append none and count them as lost.

    Returns True when they were appended.
    """
    base = header.ctypes.data
    capacity = data.shape[0]
    written = header[_WRITTEN]
    if written + count - load_acquire(base + 8 * _READ) > capacity:
        header[LOST] += count
        return False
    for i in range(count):
        place = (written + i) % capacity
        for c in range(data.shape[1]):
            data[place, c] = rows[first + i, c]
    store_release(base + 8 * _WRITTEN, written + count)
    return True


@kernel
def ring_read(header, data, rows):
    """Take up to ``len(rows)`` of the oldest rows; returns how many."""
    base = header.ctypes.data
    capacity = data.shape[0]
    read = header[_READ]
    count = load_acquire(base + 8 * _WRITTEN) - read
    if count > rows.shape[0]:
        count = rows.shape[0]
    for i in range(count):
        place = (read + i) % capacity
        for c in range(data.shape[1]):
            rows[i, c] = data[place, c]
    store_release(base + 8 * _READ, read + count)
    return count


@kernel
def slot_clear(header):
    """Give each side a buffer of its own; nothing is fresh."""
    header[0] = 0
    header[8] = 1
    header[16] = 2


@kernel
def slot_publish(header, data, values):
    """Write `values` as the newest estimate; an unread older one is dropped."""
    mine = header[8]
    for i in range(data.shape[1]):
        data[mine, i] = values[i]
    header[8] = exchange(header.ctypes.data, mine + _FRESH) & 3


@kernel
def slot_take(header):
    """Return the row of `data` with the newest estimate if it came since the last call, else -1."""
    if load_acquire(header.ctypes.data) & _FRESH == 0:
        return np.int64(-1)
    header[16] = exchange(header.ctypes.data, header[16]) & 3
    return header[16]
