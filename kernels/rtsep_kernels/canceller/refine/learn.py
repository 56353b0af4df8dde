"""The first half of a round: from what was heard to new paths. One kernel for each phase; see `phases`."""

from rtsep_kernels.canceller.refine import phases
from rtsep_kernels.canceller.refine.adopt import lower
from rtsep_kernels.canceller.refine.phases import FRAMES_AT_ONCE, begin_mic, cost_of_products, enter, find_other
from rtsep_kernels.canceller.refine.precondition import precondition, prepare_preconditioner
from rtsep_kernels.canceller.refine.record import CHUNK, COPY, FFT, FFT_FRAME, FFT_PARTS, FFT_WIDE, PASS, PASS_FRAME
from rtsep_kernels.canceller.refine.solve import (
    back_project_chunk,
    begin_descent,
    begin_error_chunk,
    descend,
    first_direction,
    gather_taps,
    image_chunk,
    keep_error,
    next_direction,
    transform_filter,
)
from rtsep_kernels.canceller.refine.sound import frames_of, take_powers, transform_chunk
from rtsep_kernels.canceller.refine.weights import expect, weigh, weigh_frames, weigh_neighbour
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import inner, view

STEPS = 6            # of conjugate gradients per mic and round; the next round goes on from there


@kernel
def begin(s):
    """IDLE: begin a round, if enough has been heard."""
    since = view(s, "since")
    oldest = s.have
    for i in range(s.channels):
        oldest = min(oldest, since[i])
    s.last = s.have // CHUNK
    s.first = max(s.last - s.memory, (max(s.base, oldest) + CHUNK - 1) // CHUNK)
    s.chunks = s.last - s.first
    if s.chunks < s.least:
        return phases.WAIT
    s.mic = 0
    fill(view(s, "pairs"), 0)
    return enter(s, phases.LOWER)


@kernel
def lower_path(s):
    """LOWER: take a pair's path to the low rate. The round is about the pairs that are held now."""
    i, j = phases.pair_of(s)
    held = view(inner(s, "paths"), "held")[i, j]
    view(s, "taken")[i, j] = held
    view(s, "pairs")[i] += held
    if held:
        lower(s, i, j)
    s.other += 1
    if s.other >= s.channels * (s.channels - 1):
        enter(s, phases.SPECTRA)
    return FFT_WIDE + FFT_PARTS + FFT if held else 1


@kernel
def transform_heard(s):
    """SPECTRA: transform a chunk of all mics."""
    transform_chunk(s, s.first + s.index, s.index)
    phases.next_chunk(s, s.chunks, phases.POWERS)
    return s.channels * FFT


@kernel
def take_some_powers(s):
    """POWERS: take those of some frames of a mic."""
    frames = frames_of(s)
    count = min(FRAMES_AT_ONCE, frames - s.index)
    take_powers(s, s.index, count, s.other)
    s.index += count
    if s.index >= frames:
        s.index = 0
        s.other += 1
        if s.other >= s.channels:
            s.mic = 0
            begin_mic(s)
    return count * FFT_FRAME


@kernel
def weigh_mic(s):
    """WEIGH: say what counts, of the cells and of the taps."""
    frames = frames_of(s)
    weigh(s, frames)
    taken = view(s, "taken")[s.mic]
    for j in range(s.channels):
        if taken[j]:
            expect(s, j)
    enter(s, phases.PREPARE)
    return frames * PASS_FRAME


@kernel
def prepare_other(s):
    """PREPARE: make the preconditioner for one path."""
    if not find_other(s):
        return enter(s, phases.FILTER)
    frames = frames_of(s)
    weigh_neighbour(s, frames, s.other)
    prepare_preconditioner(s, s.other)
    s.other += 1
    return frames + 3 * FFT


@kernel
def transform_path(s):
    """FILTER: transform one path, as it is."""
    if not find_other(s):
        return enter(s, phases.ERROR)
    transform_filter(s, view(s, "new")[s.mic, s.other], s.other)
    s.other += 1
    return FFT


@kernel
def take_error(s):
    """ERROR: clean a chunk with the paths as they are."""
    begin_error_chunk(s, s.index)
    phases.next_chunk(s, s.chunks, phases.WEIGHT)
    return FFT + cost_of_products(s)


@kernel
def weigh_some_frames(s):
    """WEIGHT: weigh some frames of the error, or of what a direction predicts."""
    frames = frames_of(s)
    count = min(FRAMES_AT_ONCE, frames - s.index)
    weigh_frames(s, s.index, count)
    s.index += count
    if s.index >= frames:
        enter(s, phases.BACK)
    return count * 2 * FFT_FRAME


@kernel
def project_back(s):
    """BACK: correlate a chunk of what was weighed with the other mics."""
    back_project_chunk(s, s.index)
    phases.next_chunk(s, s.chunks, phases.GATHER)
    return FFT + cost_of_products(s)


@kernel
def gather(s):
    """GATHER: turn that into taps of one path, the residual at first, then the direction's product."""
    if not find_other(s):
        return _after_gather(s) + s.channels * PASS
    target = view(s, "residual") if s.step == 0 else view(s, "product")
    gather_taps(s, s.other, target[s.other])
    if s.step == 0:
        begin_descent(s, s.other)
    s.other += 1
    return FFT + PASS


@kernel
def _after_gather(s):
    """With all taps there: start the descent, or take a step of it; after the last, go to the next mic."""
    if s.step == 0:
        return enter(s, phases.SOLVE)
    if descend(s) and s.step < STEPS:
        return enter(s, phases.SOLVE)
    keep_error(s)
    s.mic += 1
    begin_mic(s)
    return s.chunks * COPY


@kernel
def solve_path(s):
    """SOLVE: precondition one path's residual; after the last, choose the direction."""
    if not find_other(s):
        if s.step == 0:
            first_direction(s)
        else:
            next_direction(s)
        s.step += 1
        return enter(s, phases.DIRECTION) + s.channels * PASS
    precondition(s, s.other)
    s.other += 1
    return 6 * FFT


@kernel
def transform_direction(s):
    """DIRECTION: transform one path of it."""
    if not find_other(s):
        return enter(s, phases.IMAGE)
    transform_filter(s, view(s, "direction")[s.other], s.other)
    s.other += 1
    return FFT


@kernel
def image_direction(s):
    """IMAGE: write what the direction predicts of a chunk."""
    image_chunk(s, s.index)
    phases.next_chunk(s, s.chunks, phases.WEIGHT)
    return FFT + cost_of_products(s)
