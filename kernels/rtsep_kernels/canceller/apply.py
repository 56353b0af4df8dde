"""Apply the canceller: y_i = x_i - sum over j != i of a_ij * y_j, with no added delay.

Each path a_ij of `taps` samples is cut by age, so that nothing that is needed now has to be waited for and the
work of every 64-sample segment is about the same:

    tap 0            solved exactly: y = inverse(I + A0) r
    taps 1..63       added to the samples to come as soon as y is known ("pending")
    taps 64..1023    partitions of 64, spectra of 128 points, at the start of each segment
    taps 1024..      partitions of 512, spectra of 1024 points, made ready during the block before

Everything is added to the future in an order that depends on the 64-sample grid alone: a host's block length
cannot change a bit. Offsets are masked (``& 63``) where the compiler cannot see that they are not negative: numba
would look for negative indices in every turn of the inner loops, which then do not vectorise.

Filters exist in two versions per group of partitions; `adapt` writes the idle one, and this file flips them at the
sample where they are due (see `_apply_due`).

Where there are too many mics for all pairs (see `choice`), only those in `active` are summed. The filters of the
others are zero in both versions, so that it changes no bit in which block a pair is taken off the list or put on it.
"""

import numpy as np
from numba import carray

from rtsep_kernels.plane import ramp
from rtsep_kernels.plane.jit import kernel, stage_entry
from rtsep_kernels.plane.memory import call_fft, call_job, fma, load_acquire, pointer, samples, store_release

BLOCK = 512             # adaptation partition
BINS = 513
ROW = 528               # floats in a row of a 1024-point spectrum, a multiple of 64 bytes
NEAR = 16               # partitions of 64 before the partitions of 512 take over
NEAR_ROW = 80           # floats in a row of a 128-point spectrum
NEAR_BINS = 72          # 65 bins, rounded up so that loops vectorise
HISTORY = 64            # blocks of 512 whose spectra and samples are kept: partitions, and slack for the helper
GROUPS = 4              # partitions p with the same p % 4 are renewed by the same job
DUE = 2                 # blocks from the end of a partition to the use of what was learnt from it
EXACT_DOUBT = np.float32(1e-3)   # bleed left in instantaneous mode, beside that of paths through a room
KNOWN_DOUBT = np.float32(0.25)   # with the paths of a soundcheck, as long as nothing has moved
EXPLODED = np.float32(4)   # times louder than the loudest mic of late: no sum of bleed is, an unstable loop soon is
LOUDNESS_KEPT = np.float32(0.9995)   # a segment: falls to half in 1.8 s

CANCELLER = np.dtype([
    ("channels", np.int64), ("position", np.int64), ("partitions", np.int64),
    ("pending", np.int64),                                     # float32[k, 128]
    ("history", np.int64),                                     # float32[k, HISTORY * 512]: y
    ("heard", np.int64),                                       # float32[k, HISTORY * 512]: x
    ("near_re", np.int64), ("near_im", np.int64),              # float32[16, k, NEAR_ROW]: spectra of y
    ("far_re", np.int64), ("far_im", np.int64),                # float32[HISTORY, k, ROW]
    ("head", np.int64),                                        # float32[2, k, k, 64]: taps 1..63
    ("inverse", np.int64),                                     # float32[2, k, k]: inverse of I + tap 0, transposed
    ("near_filter_re", np.int64), ("near_filter_im", np.int64),  # float32[2, k, k, 15, NEAR_ROW]
    ("far_filter_re", np.int64), ("far_filter_im", np.int64),  # float32[2, partitions, k, k, ROW]
    ("versions", np.int64),                                    # int64[GROUPS]
    ("active", np.int64),                                      # int64[k, k]: 0 where filters are zero in both versions
    ("first", np.int64), ("heard_from", np.int64),             # int64[k + 1], [k, k]: see `_list_pairs`
    ("near_tail", np.int64),                                   # float32[k, 64]
    ("far_tail", np.int64),                                    # float32[2, k, 512]
    ("near_sum_re", np.int64), ("near_sum_im", np.int64),      # float32[NEAR_ROW]
    ("far_sum_re", np.int64), ("far_sum_im", np.int64),        # float32[ROW], kept from share to share
    ("time", np.int64), ("spectrum", np.int64),                # scratch: float32[1024], float32[2 * ROW]
    ("forward", np.int64), ("backward", np.int64),             # FFTW's execute functions
    ("plan128", np.int64), ("inverse128", np.int64), ("plan1024", np.int64), ("inverse1024", np.int64),
    ("adapt", np.int64), ("amount", np.int64),              # targets: float32[1], float32[k]
    ("amounts", np.int64), ("ramp_segments", np.int64),        # float32[k, RAMP]
    ("shares", np.int64), ("share", np.int64),                 # float32[HISTORY, k], [k]: by job, and now; see `guard`
    ("row", np.int64),                                         # float32[k]: y of one sample
    ("remainder", np.int64), ("cleaned", np.int64), ("limits", np.int64),   # scratch: float32[k, 64] twice, [64]
    ("power", np.int64),                                       # float32[HISTORY, 2, k]: of x and y, per block
    # Exchange with `adapt`, int64: published, done, applied jobs; stop. One cache line each.
    ("exchange", np.int64),
    ("wanted", np.int64), ("wrote", np.int64),                 # int64[HISTORY]: adapt in this block? it did
    ("exact", np.int64),                                       # int64[HISTORY, k]: 1 instantaneous, 2 known paths
    ("doubt", np.int64),                                       # float32[k]: bleed left, 1 as usual, for later stages
    ("inline", np.int64), ("job", np.int64), ("job_state", np.int64),
    ("follows", np.int64),                                     # 1: another canceller decides, this one applies
    ("late", np.int64),                                        # updates that were not ready when due
    ("exploded", np.int64), ("clear", np.int64),
    ("loudest", np.float32), ("unused", np.float32),           # peak of all inputs, slowly forgotten
], align=True)
PUBLISHED, DONE, APPLIED, STOP, RESTORE = 0, 8, 16, 24, 32     # places in `exchange`
EXCHANGE = 40


@kernel
def split(spectrum, re, im, bins):
    """Take a complex spectrum apart: split rows vectorise, FFTW's interleaved ones do not."""
    for b in range(bins):
        re[b] = spectrum[2 * b]
        im[b] = spectrum[2 * b + 1]


@kernel
def join(re, im, spectrum, bins):
    """Undo `split`."""
    for b in range(bins):
        spectrum[2 * b] = re[b]
        spectrum[2 * b + 1] = im[b]


@kernel
def _multiply_add(re, im, a_re, a_im, b_re, b_im, bins):
    for b in range(bins):
        re[b] = fma(a_re[b], b_re[b], fma(-a_im[b], b_im[b], re[b]))
        im[b] = fma(a_re[b], b_im[b], fma(a_im[b], b_re[b], im[b]))


@kernel
def _clear_history(s):
    """Forget every sample heard; keep the filters."""
    k = s.channels
    _zero(carray(samples(s.pending), (k * 128,)))
    _zero(carray(samples(s.history), (k * HISTORY * BLOCK,)))
    _zero(carray(samples(s.heard), (k * HISTORY * BLOCK,)))
    _zero(carray(samples(s.near_re), (NEAR * k * NEAR_ROW,)))
    _zero(carray(samples(s.near_im), (NEAR * k * NEAR_ROW,)))
    _zero(carray(samples(s.far_re), (HISTORY * k * ROW,)))
    _zero(carray(samples(s.far_im), (HISTORY * k * ROW,)))
    _zero(carray(samples(s.near_tail), (k * 64,)))
    _zero(carray(samples(s.far_tail), (2 * k * BLOCK,)))


@kernel
def _zero(values):
    for i in range(values.shape[0]):
        values[i] = np.float32(0)


@kernel
def _far_spectra(s, block):
    """Transform the last two blocks of every y; `block` is the one that has just ended."""
    k = s.channels
    history = carray(samples(s.history), (k, HISTORY * BLOCK))
    far_re = carray(samples(s.far_re), (HISTORY, k, ROW))
    far_im = carray(samples(s.far_im), (HISTORY, k, ROW))
    time = carray(samples(s.time), (1024,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
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
    versions = carray(pointer(s.versions), (GROUPS,), np.int64)
    wrote = carray(pointer(s.wrote), (HISTORY,), np.int64)
    exchange = carray(pointer(s.exchange), (EXCHANGE,), np.int64)
    exact = carray(pointer(s.exact), (HISTORY, s.channels), np.int64)
    doubt = carray(samples(s.doubt), (s.channels,))
    done = load_acquire(s.exchange + 8 * DONE)
    applied = exchange[APPLIED]
    due = block - DUE
    shares = carray(samples(s.shares), (HISTORY, s.channels))
    share = carray(samples(s.share), (s.channels,))
    while applied < due and applied < done:
        if wrote[applied % HISTORY]:
            versions[applied % GROUPS] ^= 1
            for c in range(s.channels):
                share[c] = shares[applied % HISTORY, c]
            for i in range(s.channels):
                how = exact[applied % HISTORY, i]
                doubt[i] = np.float32(1) if how == 0 else EXACT_DOUBT if how == 1 else KNOWN_DOUBT
        applied += 1
    if applied < due:
        s.late += 1
    store_release(s.exchange + 8 * APPLIED, applied)


@kernel
def _list_pairs(s):
    """List, for the block that begins, the mics j whose paths to mic i are summed: from first[i] to first[i + 1].

    A mic with none has itself in the list, so that its sums are finished, too; nobody is summed into himself.
    """
    k = s.channels
    active = carray(pointer(s.active), (k, k), np.int64)
    first = carray(pointer(s.first), (k + 1,), np.int64)
    heard_from = carray(pointer(s.heard_from), (k * k,), np.int64)
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
    power = carray(samples(s.power), (HISTORY, 2, k))
    for c in range(k):
        power[block % HISTORY, 0, c] = np.float32(0)
        power[block % HISTORY, 1, c] = np.float32(0)
    if s.follows:
        return
    _apply_due(s, block)
    wanted = carray(pointer(s.wanted), (HISTORY,), np.int64)
    wanted[(block - 1) % HISTORY] = 1 if carray(samples(s.adapt), (1,))[0] > np.float32(0.5) else 0
    store_release(s.exchange + 8 * PUBLISHED, block)
    if s.inline:
        call_job(s.job, s.job_state, block - 1)


@kernel
def _far_share(s, block, share):
    """Do one of seven shares of the far partitions' sums, for the block that follows `block`."""
    k = s.channels
    partitions = s.partitions
    if partitions <= 2:
        return
    versions = carray(pointer(s.versions), (GROUPS,), np.int64)
    far_re = carray(samples(s.far_re), (HISTORY, k, ROW))
    far_im = carray(samples(s.far_im), (HISTORY, k, ROW))
    filter_re = carray(samples(s.far_filter_re), (2, partitions, k, k, ROW))
    filter_im = carray(samples(s.far_filter_im), (2, partitions, k, k, ROW))
    sum_re = carray(samples(s.far_sum_re), (ROW,))
    sum_im = carray(samples(s.far_sum_im), (ROW,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    time = carray(samples(s.time), (1024,))
    tail = carray(samples(s.far_tail), (2, k, BLOCK))
    first = carray(pointer(s.first), (k + 1,), np.int64)
    heard_from = carray(pointer(s.heard_from), (k * k,), np.int64)
    pairs = first[k]
    i = 0
    for unit in range(pairs * share // 7, pairs * (share + 1) // 7):
        while unit >= first[i + 1]:
            i += 1
        j = heard_from[unit]
        if unit == first[i]:
            _zero(sum_re)
            _zero(sum_im)
        for p in range(2, partitions if j != i else 2):
            v = versions[p % GROUPS]
            slot = (block + 1 - p) % HISTORY
            _multiply_add(sum_re, sum_im, far_re[slot, j], far_im[slot, j],
                          filter_re[v, p, i, j], filter_im[v, p, i, j], ROW)
        if unit == first[i + 1] - 1:
            join(sum_re, sum_im, spectrum, BINS)
            call_fft(s.backward, s.inverse1024, s.spectrum, s.time)
            for n in range(BLOCK):
                tail[(block + 1) % 2, i, n] = time[BLOCK + n] * np.float32(1 / 1024)


@kernel
def _near(s, segment):
    """Sum the partitions of 64 for the segment that begins."""
    k = s.channels
    history = carray(samples(s.history), (k, HISTORY * BLOCK))
    near_re = carray(samples(s.near_re), (NEAR, k, NEAR_ROW))
    near_im = carray(samples(s.near_im), (NEAR, k, NEAR_ROW))
    filter_re = carray(samples(s.near_filter_re), (2, k, k, NEAR - 1, NEAR_ROW))
    filter_im = carray(samples(s.near_filter_im), (2, k, k, NEAR - 1, NEAR_ROW))
    versions = carray(pointer(s.versions), (GROUPS,), np.int64)
    tail = carray(samples(s.near_tail), (k, 64))
    sum_re = carray(samples(s.near_sum_re), (NEAR_ROW,))
    sum_im = carray(samples(s.near_sum_im), (NEAR_ROW,))
    time = carray(samples(s.time), (1024,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    mask = HISTORY * BLOCK - 1
    older = ((segment - 2) * 64) & mask
    newer = ((segment - 1) * 64) & mask
    for j in range(k):
        for n in range(64):
            time[n] = history[j, older + n]
        for n in range(64):
            time[64 + n] = history[j, newer + n]
        call_fft(s.forward, s.plan128, s.time, s.spectrum)
        split(spectrum, near_re[(segment - 1) % NEAR, j], near_im[(segment - 1) % NEAR, j], 65)
    v0 = versions[0]
    v1 = versions[1]
    first = carray(pointer(s.first), (k + 1,), np.int64)
    heard_from = carray(pointer(s.heard_from), (k * k,), np.int64)
    for i in range(k):
        for b in range(NEAR_BINS):
            sum_re[b] = np.float32(0)
            sum_im[b] = np.float32(0)
        for unit in range(first[i], first[i + 1]):
            j = heard_from[unit]
            if j == i:
                continue
            for q in range(1, NEAR):
                v = v0 if q < 8 else v1
                slot = (segment - q) % NEAR
                _multiply_add(sum_re, sum_im, near_re[slot, j], near_im[slot, j],
                              filter_re[v, i, j, q - 1], filter_im[v, i, j, q - 1], NEAR_BINS)
        join(sum_re, sum_im, spectrum, 65)
        call_fft(s.backward, s.inverse128, s.spectrum, s.time)
        for n in range(64):
            tail[i, n] = time[64 + n] * np.float32(1 / 128)


@kernel
def _start_segment(s):
    k = s.channels
    if s.clear:
        _clear_history(s)
        s.clear = 0
    segment = s.position // 64
    within = segment % 8
    if within == 0 and segment > 0:
        _start_block(s, segment // 8)
    if within == 0:
        _list_pairs(s)
    if within > 0:
        # The sums of the next block use the spectra that `_start_block` has just made, and may take all of this one.
        _far_share(s, segment // 8, within - 1)
    _near(s, segment)
    s.loudest *= LOUDNESS_KEPT
    pending = carray(samples(s.pending), (k, 128))
    amounts = carray(samples(s.amounts), (k, ramp.RAMP))
    amount = carray(samples(s.amount), (k,))
    share = carray(samples(s.share), (k,))
    for c in range(k):
        for n in range(64):
            pending[c, n] = pending[c, 64 + n]
            pending[c, 64 + n] = np.float32(0)
        ramp.advance(amounts[c], amount[c] * share[c], s.ramp_segments)


@kernel
def _push(pending, taps, k, y, start, first, heard_from):
    """Add taps 1..63 of a sample just computed to the samples to come."""
    place = start & 127
    for i in range(k):
        for unit in range(first[i], first[i + 1]):
            j = heard_from[unit]
            if i == j:
                continue
            v = y[j]
            for n in range(64):
                pending[i, place + n] = fma(taps[i, j, n], v, pending[i, place + n])


@kernel
def _known_part(s, given, remainder, limits, offset, frames):
    """Take away what was known before these samples, and note how loud each may become."""
    k = s.channels
    near = carray(samples(s.near_tail), (k, 64))
    far = carray(samples(s.far_tail), (2, k, BLOCK))[(s.position // BLOCK) & 1]
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
        limits[n] = EXPLODED * loudest + np.float32(1e-4)
    s.loudest = loudest


@kernel
def _fall_back(s, given, y, n):
    """Give one sample dry, and have history and filters renewed: the loop feeds itself."""
    s.exploded += 1
    s.clear = 1
    if s.follows == 0:
        store_release(s.exchange + 8 * RESTORE, 1)
    for i in range(s.channels):
        y[i] = given[i, n]


@kernel
def _recursion(s, given, remainder, limits, cleaned, offset, frames):
    """Sample by sample: subtract what is pending, solve tap 0, add the next 63 taps to what is pending."""
    k = s.channels
    version = carray(pointer(s.versions), (GROUPS,), np.int64)[0]
    taps = carray(samples(s.head), (2, k, k, 64))[version]
    inverse = carray(samples(s.inverse), (2, k, k))[version]
    pending = carray(samples(s.pending), (k, 128))
    y = carray(samples(s.row), (k,))
    first = carray(pointer(s.first), (k + 1,), np.int64)
    heard_from = carray(pointer(s.heard_from), (k * k,), np.int64)
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
    offset = s.position & 63
    if offset == 0:
        _start_segment(s)
    given = carray(x, (k, frames))
    target = carray(out, (k, frames))
    remainder = carray(samples(s.remainder), (k, 64))
    cleaned = carray(samples(s.cleaned), (k, 64))
    limits = carray(samples(s.limits), (64,))
    _known_part(s, given, remainder, limits, offset, frames)
    _recursion(s, given, remainder, limits, cleaned, offset, frames)
    history = carray(samples(s.history), (k, HISTORY * BLOCK))
    heard = carray(samples(s.heard), (k, HISTORY * BLOCK))
    place = s.position & (HISTORY * BLOCK - 1)
    amounts = carray(samples(s.amounts), (k, ramp.RAMP))
    power = carray(samples(s.power), (HISTORY, 2, k))[(s.position // BLOCK) % HISTORY]
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
