"""Apply the canceller: y_i = x_i - sum over j != i of a_ij * y_j, with no added delay.

Each path a_ij of `taps` samples is cut by age, so that nothing that is needed now has to be waited for and the
work of every 64-sample segment is about the same:

    tap 0            solved exactly: y = inverse(I + A0) r
    taps 1..63       added to the samples to come as soon as y is known ("pending")
    taps 64..1023    partitions of 64, spectra of 128 points, at the start of each segment
    taps 1024..      partitions of 512, spectra of 1024 points, made ready during the block before

Everything is added to the future in an order that depends on the 64-sample grid alone: a host's block length
cannot change a bit. Offsets are masked (``& (SEGMENT - 1)``) where the compiler cannot see that they are not
negative: numba would look for negative indices in every turn of the inner loops, which then do not vectorise.

Filters exist in two versions per group of partitions; `handover` writes the idle one, and this file flips them at the
sample where they are due (see `_apply_due`).

Where there are too many mics for all pairs (see `choice`), only those in `active` are summed. The filters of the
others are zero in both versions, so that it changes no bit in which block a pair is taken off the list or put on it.
"""

import numpy as np
from numba import carray

from rtsep_kernels.canceller.record import (
    AS_INSTANT,
    AS_LEARNT,
    BINS,
    BLOCK,
    CANCELLER,
    DUE,
    GROUPS,
    HISTORY,
    NEAR,
    NEAR_BINS,
    NEAR_LOOP,
    NEAR_SIZE,
    ROW,
    SEGMENT,
    SEGMENTS,
    SIZE,
)
from rtsep_kernels.maths.spectra import add_product, join, split
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane import due, ramp
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_fft, call_job, fma
from rtsep_kernels.plane.record import flat, inner, view

INSTANT_DOUBT = np.float32(1e-3)   # bleed left in instantaneous mode, beside that of paths through a room
KNOWN_DOUBT = np.float32(0.25)   # with the paths of a soundcheck, as long as nothing has moved
EXPLODED = np.float32(4)   # times louder than the loudest mic of late: no sum of bleed is, an unstable loop soon is
FAINTEST = np.float32(1e-4)   # -80 dBFS: below it nothing has exploded
SHARES = SEGMENTS - 1       # of the far sums: one in each segment but the first, which makes their spectra
EARLY = SEGMENTS            # near partitions before it are of partition 0, those from it on of partition 1
HISTORY_MASK = HISTORY * BLOCK - 1


@kernel
def _clear_history(s):
    """Forget every sample heard; keep the filters."""
    zero = np.float32(0)
    fill(flat(s, "pending"), zero)
    fill(flat(s, "history"), zero)
    fill(flat(s, "heard"), zero)
    fill(flat(s, "near_re"), zero)
    fill(flat(s, "near_im"), zero)
    fill(flat(s, "far_re"), zero)
    fill(flat(s, "far_im"), zero)
    fill(flat(s, "near_tail"), zero)
    fill(flat(s, "far_tail"), zero)


@kernel
def _far_spectra(s, block):
    """Transform the last two blocks of every y; `block` is the one that has just ended."""
    k = s.channels
    history = view(s, "history")
    far_re = view(s, "far_re")
    far_im = view(s, "far_im")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    first = ((block - 1) & (HISTORY - 1)) * BLOCK
    second = (block & (HISTORY - 1)) * BLOCK
    for j in range(k):
        for i in range(BLOCK):
            time[i] = history[j, first + i]
        for i in range(BLOCK):
            time[BLOCK + i] = history[j, second + i]
        call_fft(s.forward, s.plan1024, s.time, s.spectrum)
        split(spectrum, far_re[block % HISTORY, j], far_im[block % HISTORY, j], BINS)


@kernel
def _apply_due(s, block):
    """At the start of `block`, take into use what was learnt from partition ``block - 1 - DUE`` and before."""
    f = inner(s, "filters")
    versions = view(f, "versions")
    share = view(f, "share")
    wrote = view(s, "wrote")
    shares = view(s, "shares")
    doubt = view(s, "doubt")
    first, end = due.take(s.exchange, block - DUE)
    for m in range(first, end):
        if wrote[m % HISTORY]:
            versions[m % GROUPS] ^= 1
            how = view(s, "how")[m % HISTORY]
            for c in range(s.channels):
                share[c] = shares[m % HISTORY, c]
                doubt[c] = np.float32(1) if how[c] == AS_LEARNT else (
                    INSTANT_DOUBT if how[c] == AS_INSTANT else KNOWN_DOUBT)
    due.applied(s.exchange, end)   # only now: the helper writes to what is idle


@kernel
def _list_pairs(s):
    """List, for the block that begins, the mics j whose paths to mic i are summed: from first[i] to first[i + 1].

    A mic with none has itself in the list, so that its sums are finished, too; nobody is summed into himself.
    """
    k = s.channels
    f = inner(s, "filters")
    active = view(f, "active")
    first = view(s, "first")
    heard_from = view(s, "heard_from")
    place = 0
    for i in range(k):
        first[i] = place
        for j in range(k):
            if j != i and active[i, j]:
                heard_from[place] = j
                place += 1
        if place == first[i]:
            heard_from[place] = i
            place += 1
    first[k] = place


@kernel
def _start_block(s, block):
    """Every 512 samples: spectra of what was heard, new filters, the next adaptation job."""
    k = s.channels
    _far_spectra(s, block - 1)
    power = view(s, "power")
    for c in range(k):
        power[block % HISTORY, 0, c] = np.float32(0)
        power[block % HISTORY, 1, c] = np.float32(0)
    if s.follows:
        return
    _apply_due(s, block)
    wanted = view(s, "wanted")
    wanted[(block - 1) % HISTORY] = 1 if view(s, "adapt")[0] > np.float32(0.5) else 0
    due.publish(s.exchange, block)
    if s.inline:
        call_job(s.job, s.job_state, block - 1)


@kernel
def _far_share(s, block, share):
    """Do one of the `SHARES` of the far partitions' sums, for the block that follows `block`."""
    k = s.channels
    partitions = s.partitions
    if partitions <= 2:
        return
    f = inner(s, "filters")
    versions = view(f, "versions")
    far_re = view(s, "far_re")
    far_im = view(s, "far_im")
    filter_re = view(f, "far_re")
    filter_im = view(f, "far_im")
    sum_re = view(s, "far_sum_re")
    sum_im = view(s, "far_sum_im")
    spectrum = view(s, "spectrum")
    time = view(s, "time")
    tail = view(s, "far_tail")
    first = view(s, "first")
    heard_from = view(s, "heard_from")
    pairs = first[k]
    i = 0
    for unit in range(pairs * share // SHARES, pairs * (share + 1) // SHARES):
        while unit >= first[i + 1]:
            i += 1
        j = heard_from[unit]
        if unit == first[i]:
            fill(sum_re, np.float32(0))
            fill(sum_im, np.float32(0))
        for p in range(2, partitions if j != i else 2):
            v = versions[p % GROUPS]
            slot = (block + 1 - p) % HISTORY
            add_product(sum_re, sum_im, far_re[slot, j], far_im[slot, j],
                        filter_re[v, p, i, j], filter_im[v, p, i, j], ROW)
        if unit == first[i + 1] - 1:
            join(sum_re, sum_im, spectrum, BINS)
            call_fft(s.backward, s.inverse1024, s.spectrum, s.time)
            for n in range(BLOCK):
                tail[(block + 1) % 2, i, n] = time[BLOCK + n] * np.float32(1 / SIZE)


@kernel
def _near(s, segment):
    """Sum the partitions of 64 for the segment that begins."""
    k = s.channels
    f = inner(s, "filters")
    history = view(s, "history")
    near_re = view(s, "near_re")
    near_im = view(s, "near_im")
    filter_re = view(f, "near_re")
    filter_im = view(f, "near_im")
    versions = view(f, "versions")
    tail = view(s, "near_tail")
    sum_re = view(s, "near_sum_re")
    sum_im = view(s, "near_sum_im")
    time = view(s, "time")
    spectrum = view(s, "spectrum")
    older = ((segment - 2) * SEGMENT) & HISTORY_MASK
    newer = ((segment - 1) * SEGMENT) & HISTORY_MASK
    for j in range(k):
        for n in range(SEGMENT):
            time[n] = history[j, older + n]
        for n in range(SEGMENT):
            time[SEGMENT + n] = history[j, newer + n]
        call_fft(s.forward, s.plan128, s.time, s.spectrum)
        split(spectrum, near_re[(segment - 1) % NEAR, j], near_im[(segment - 1) % NEAR, j], NEAR_BINS)
    v0 = versions[0]
    v1 = versions[1]
    first = view(s, "first")
    heard_from = view(s, "heard_from")
    for i in range(k):
        for b in range(NEAR_LOOP):
            sum_re[b] = np.float32(0)
            sum_im[b] = np.float32(0)
        for unit in range(first[i], first[i + 1]):
            j = heard_from[unit]
            if j == i:
                continue
            for q in range(1, NEAR):
                v = v0 if q < EARLY else v1
                slot = (segment - q) % NEAR
                add_product(sum_re, sum_im, near_re[slot, j], near_im[slot, j],
                            filter_re[v, i, j, q - 1], filter_im[v, i, j, q - 1], NEAR_LOOP)
        join(sum_re, sum_im, spectrum, NEAR_BINS)
        call_fft(s.backward, s.inverse128, s.spectrum, s.time)
        for n in range(SEGMENT):
            tail[i, n] = time[SEGMENT + n] * np.float32(1 / NEAR_SIZE)


@kernel
def _start_segment(s):
    """Every 64 samples: sum what is known of them before they come, and move the ramps on."""
    k = s.channels
    if s.clear:
        _clear_history(s)
        s.clear = 0
    segment = s.position // SEGMENT
    within = segment % SEGMENTS
    if within == 0 and segment > 0:
        _start_block(s, segment // SEGMENTS)
    if within == 0:
        _list_pairs(s)
    if within > 0:
        # The sums of the next block use the spectra that `_start_block` has just made, and may take all of this one.
        _far_share(s, segment // SEGMENTS, within - 1)
    _near(s, segment)
    s.loudest *= s.loudness_kept
    pending = view(s, "pending")
    amounts = view(s, "amounts")
    amount = view(s, "amount")
    share = view(inner(s, "filters"), "share")
    for c in range(k):
        for n in range(SEGMENT):
            pending[c, n] = pending[c, SEGMENT + n]
            pending[c, SEGMENT + n] = np.float32(0)
        ramp.advance(amounts[c], amount[c] * share[c], s.ramp_segments)


@kernel
def _push(pending, taps, k, y, start, first, heard_from):
    """Add taps 1..63 of a sample just computed to the samples to come."""
    place = start & (NEAR_SIZE - 1)
    for i in range(k):
        for unit in range(first[i], first[i + 1]):
            j = heard_from[unit]
            if i == j:
                continue
            v = y[j]
            for n in range(SEGMENT):
                pending[i, place + n] = fma(taps[i, j, n], v, pending[i, place + n])


@kernel
def _known_part(s, given, remainder, limits, offset, frames):
    """Take away what was known before these samples, and note how loud each may become."""
    k = s.channels
    near = view(s, "near_tail")
    far = view(s, "far_tail")[(s.position // BLOCK) & 1]
    within = s.position & (BLOCK - 1)
    for n in range(frames):
        limits[n] = np.float32(0)
    for i in range(k):
        for n in range(frames):
            limits[n] = max(limits[n], abs(given[i, n]))
            remainder[i, n] = given[i, n] - far[i, within + n] - near[i, offset + n]
    loudest = s.loudest
    for n in range(frames):
        loudest = max(loudest, limits[n])
        limits[n] = EXPLODED * loudest + FAINTEST
    s.loudest = loudest


@kernel
def _fall_back(s, given, y, n):
    """Give one sample dry, and have history and filters renewed: the loop feeds itself."""
    s.exploded += 1
    s.clear = 1
    if s.follows == 0:
        due.tell(s.exchange, due.RESTORE, 1)
    for i in range(s.channels):
        y[i] = given[i, n]


@kernel
def _recursion(s, given, remainder, limits, cleaned, offset, frames):
    """Sample by sample: subtract what is pending, solve tap 0, add the next 63 taps to what is pending."""
    k = s.channels
    f = inner(s, "filters")
    version = view(f, "versions")[0]
    taps = view(f, "head")[version]
    inverse = view(f, "inverse")[version]
    pending = view(s, "pending")
    y = view(s, "row")
    first = view(s, "first")
    heard_from = view(s, "heard_from")
    for n in range(frames):
        for i in range(k):
            y[i] = np.float32(0)
        for j in range(k):
            r = remainder[j, n] - pending[j, offset + n]
            for i in range(k):
                y[i] = fma(inverse[j, i], r, y[i])
        loudest = np.float32(0)
        for i in range(k):
            loudest = max(loudest, abs(y[i]))
            if not np.isfinite(y[i]):
                loudest = np.float32(np.inf)
        if loudest > limits[n]:
            _fall_back(s, given, y, n)
        for i in range(k):
            cleaned[i, n] = y[i]
        _push(pending, taps, k, y, offset + n + 1, first, heard_from)


@stage_entry(CANCELLER)
def canceller(state, x, out, frames):
    """Subtract what the other microphones' own sounds make of themselves in each microphone."""
    s = carray(state, (1,))[0]
    if frames == 0:
        s.clear = 1
        return 0
    k = s.channels
    offset = s.position & (SEGMENT - 1)
    if offset == 0:
        _start_segment(s)
    given = carray(x, (k, frames))
    target = carray(out, (k, frames))
    remainder = view(s, "remainder")
    cleaned = view(s, "cleaned")
    limits = view(s, "limits")
    _known_part(s, given, remainder, limits, offset, frames)
    _recursion(s, given, remainder, limits, cleaned, offset, frames)
    history = view(s, "history")
    heard = view(s, "heard")
    place = s.position & HISTORY_MASK
    amounts = view(s, "amounts")
    power = view(s, "power")[(s.position // BLOCK) % HISTORY]
    for i in range(k):
        before = power[0, i]
        after = power[1, i]
        for n in range(frames):
            v = given[i, n]
            y = cleaned[i, n]
            history[i, place + n] = y
            heard[i, place + n] = v
            before += v * v
            after += y * y
            share = ramp.value(amounts[i], offset + n)
            target[i, n] = y if share == np.float32(1) else v + (y - v) * share
        power[0, i] = before
        power[1, i] = after
    s.position += frames
    return 0
