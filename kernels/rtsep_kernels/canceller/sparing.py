"""Leave pairs of mics out of the sums while the machine is too slow, and take them in again, without a click.

Python writes which pairs are to be left out, and raises `asked`. At the next block the pairs that change are summed
apart; from the block after it on, when all sums are apart, theirs are led to nothing, or from nothing to all:

    block m            m + 1, m + 2        m + 3                      m + 4
    summed apart       faded out or in     where they came in,        in one sum with the others,
                                           the last sum of them       or in none

What is left in a mic is then not what the paths leave: before a pair is left out it must no longer be held, and it may
be held again only some blocks after it has come in.
"""

import numpy as np

from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import load_acquire
from rtsep_kernels.plane.record import array, f4, flat, i8, number, record, view

FADE = 2                             # blocks of 512 samples: 21 ms at 48 kHz, as other ramps
SUMMED, APART, LEFT_OUT = 0, 1, 2    # places of a pair
ASKED = 8                            # places in `asked`: a cache line, of which the first is used
_SEGMENT, _BLOCK, _ROW = 64, 512, 528   # `canceller.record`'s, which this must not import

SPARING = record(
    channels=number(),
    asked=array(i8, ASKED), wanted=array(i8, "channels", "channels"),   # 1: leave the pair out; written before `asked`
    seen=number(start=0), steps=number(start=0),        # the last `asked`; blocks until a change is over
    comes=number(start=0),                              # 1: pairs come in, 0: they leave
    place=array(i8, "channels", "channels", start=SUMMED),
    # Of the pairs apart; as in CANCELLER.
    first=array(i8, "channels + 1", start=0), heard_from=array(i8, "channels * channels", start=0),
    pending=array(f4, "channels", 2 * _SEGMENT, start=0), near_tail=array(f4, "channels", _SEGMENT, start=0),
    far_tail=array(f4, 2, "channels", _BLOCK, start=0),
    far_sum_re=array(f4, _ROW, start=0), far_sum_im=array(f4, _ROW, start=0),
    far_gone_re=array(f4, _ROW, start=0), far_gone_im=array(f4, _ROW, start=0), far_fades=array(i8, 1, start=0),
)


@kernel
def start_block(p):
    """Go on with a change, or begin the next one."""
    place = view(p, "place")
    k = p.channels
    if p.steps > 0:
        p.steps -= 1
        if p.steps == 1:
            for i in range(k):
                for j in range(k):
                    if place[i, j] == APART:
                        place[i, j] = SUMMED if p.comes else LEFT_OUT
        return
    asked = load_acquire(view(p, "asked").ctypes.data)
    if asked == p.seen:
        return
    p.seen = asked
    wanted = view(p, "wanted")
    coming = leaving = 0
    for i in range(k):
        for j in range(k):
            coming += 1 if place[i, j] == LEFT_OUT and wanted[i, j] == 0 else 0
            leaving += 1 if place[i, j] == SUMMED and wanted[i, j] else 0
    if coming + leaving == 0:
        return
    # One direction at a time: should both be wanted, those that leave wait.
    p.comes = 1 if coming else 0
    for i in range(k):
        for j in range(k):
            if (place[i, j] == LEFT_OUT and wanted[i, j] == 0) or (
                coming == 0 and place[i, j] == SUMMED and wanted[i, j]
            ):
                place[i, j] = APART
    if coming and leaving:
        p.seen -= 1
    p.steps = FADE + 2
    clear(p)


@kernel
def weight(p, sample):
    """Return how much of the sums apart is heard at a sample (0 to 511) of the block."""
    now = np.float32(FADE + 1 - p.steps) * np.float32(_BLOCK) + np.float32(sample + 1)
    risen = min(max(now * np.float32(1 / (FADE * _BLOCK)), np.float32(0)), np.float32(1))
    return risen if p.comes else np.float32(1) - risen


@kernel
def clear(p):
    """Forget every sample heard."""
    zero = np.float32(0)
    fill(flat(p, "pending"), zero)
    fill(flat(p, "near_tail"), zero)
    fill(flat(p, "far_tail"), zero)
    fill(flat(p, "far_sum_re"), zero)
    fill(flat(p, "far_sum_im"), zero)
