"""Microphones that hear what nobody else does: noise of a broken cable, a thump of phantom power, a knock.

By the paths it would have to be heard in the other mics, too, and much louder than anything they hear. So it is no
sound of the stage: while it lasts nobody is told of the mic. It goes out as it is cleaned, but is not subtracted from
others (see `dead`, whose means this uses), nobody learns, and what the first blocks of it have spoilt is taken back.

Who was turned up looks the same. So no mic is shut out for long, and then not again for a while: it learns as ever.
"""

import numpy as np

from rtsep_kernels.canceller import dead
from rtsep_kernels.canceller.guard import evidence
from rtsep_kernels.canceller.guard.record import GUARD
from rtsep_kernels.canceller.instant.record import INSTANT
from rtsep_kernels.canceller.record import BINS, BLOCK, HISTORY, PATHS, ROW, SIZE
from rtsep_kernels.maths.spectra import split
from rtsep_kernels.maths.vectors import LANES, fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import array, f4, f8, i8, inner, link, number, record, scratch, view

BANDS = 9       # octaves, from the lowest two bins on
_EARLY = 2      # partitions of a path that predict: the first 21 ms, with most of its power
_RECENT = 16    # blocks of which predictions are kept: more than `later_blocks` at any rate
_WITNESSES = 2   # at least: what one other mic does not hear its path may have promised wrongly, after a move
_FORGIVES = 4   # times as long as it was shut out must a mic be in before it is as if it had never been
_ECHO = 8       # blocks in which others play what was subtracted from them: due, and its tail, until they are judged
_KEPT = HISTORY   # blocks of which the guard's sums are kept
# Of the power for which a mic was shut out: what is so loud is the same sound yet, though others are too loud to tell.
_STILL = np.float32(0.25)

QUARANTINE = record(
    channels=number(), paths=link(PATHS), guard=link(GUARD), instant=link(INSTANT),
    # By octaves, block by block: power of each mic, and of mic j (third) in mic i, as the paths have it.
    heard=array(f4, _RECENT, "channels", BANDS, start=0),
    predicted=array(f4, _RECENT, "channels", "channels", BANDS, start=0),
    left=array(i8, "channels", start=0),              # blocks for which the mic is shut out yet
    long=array(i8, "channels", start=0),              # and for which it has been of late
    level=array(f4, "channels", start=0),             # power of the block for which it was shut out
    last=number(start=0),                             # block in which somebody was shut out last
    barred=array(i8, "channels", start=0),            # blocks for which it may not be shut out again
    times=number(start=0),                            # that a mic was shut out
    sums=array(f8, _KEPT, 2, 2, "channels", start=0),    # of the guard's evidence, of late
    levels=array(f8, _KEPT, 3, "channels", start=0),     # of the guard
    re=scratch(f4, ROW), im=scratch(f4, ROW), power=array(f4, ROW), gain=scratch(f4, ROW),
    time=scratch(f4, SIZE), spectrum=scratch(f4, 2 * ROW), lanes=scratch(f4, LANES),
    # Tuning: the stage's, which says what each is and where it comes from.
    louder=number(f4), matters=number(f4), silence=number(f4),
    later_blocks=number(), quiet_blocks=number(), most_blocks=number(), barred_blocks=number(),
)


@kernel
def _hear(q, c, source, m):
    """Write the power spectrum, under a Hann window, of the last two blocks of a ring of samples."""
    time = view(q, "time")
    re, im, power = view(q, "re"), view(q, "im"), view(q, "power")
    before = ((m - 1) & (HISTORY - 1)) * BLOCK
    now = (m & (HISTORY - 1)) * BLOCK
    for n in range(BLOCK):
        time[n] = source[before + n]
        time[BLOCK + n] = source[now + n]
    call_fft(c.forward, c.plan1024, q.time, q.spectrum)
    split(view(q, "spectrum"), re, im, BINS)
    # A Hann window over samples is this sum over bins.
    for b in range(1, BINS - 1):
        hann_re = np.float32(0.5) * re[b] - np.float32(0.25) * (re[b - 1] + re[b + 1])
        hann_im = np.float32(0.5) * im[b] - np.float32(0.25) * (im[b - 1] + im[b + 1])
        power[b] = hann_re * hann_re + hann_im * hann_im
    power[0] = np.float32(0.25) * (re[0] - re[1]) * (re[0] - re[1])


@kernel
def _sum_bands(q, values, bands):
    """Sum a row over each octave."""
    lanes = view(q, "lanes")
    for band in range(BANDS):
        first, last = 1 << band, 2 << band
        total = np.float32(0)
        if last <= LANES:
            for b in range(first, last):
                total += values[b]
        else:
            fill(lanes, np.float32(0))
            for start in range(first, last, LANES):
                for n in range(LANES):
                    lanes[n] += values[start + n]
            for n in range(LANES):
                total += lanes[n]
        bands[band] = total
    bands[0] += values[0]


@kernel
def _predict(q, i, j, bands):
    """Write what the sound of `power` has in mic i by its path from mic j, in each octave."""
    w = inner(q, "paths")
    w_re, w_im = view(w, "w_re"), view(w, "w_im")
    gain, power = view(q, "gain"), view(q, "power")
    fill(gain, np.float32(0))
    for p in range(min(_EARLY, w.partitions)):
        re, im = w_re[p, i, j], w_im[p, i, j]
        for b in range(ROW):
            gain[b] = fma(re[b], re[b], fma(im[b], im[b], gain[b]))
    for b in range(ROW):
        gain[b] *= power[b]
    _sum_bands(q, gain, bands)


@kernel
def _is_unheard(q, c, m, j, later, easier):
    """Tell whether most of the other mics hear far too little of what mic j had in block ``m - later``."""
    louder = q.louder * easier
    predicted, heard = view(q, "predicted")[(m - later) % _RECENT], view(q, "heard")
    in_mode = view(inner(q, "instant"), "instant")
    count = unheard = 0
    for i in range(q.channels):
        # In instantaneous mode a new mixture is found at once, and until then looks like this.
        if i == j or in_mode[i] or dead.was(c, m - later, i):
            continue
        whole = much = np.float32(0)
        for band in range(BANDS):
            most = np.float32(0)
            for block in range(m - later - 1, m + 1):
                most = max(most, heard[block % _RECENT, i, band])
            whole += most
            if predicted[i, j, band] > louder * most:
                much += predicted[i, j, band]
        if whole > q.silence:
            count += 1
            unheard += much > easier * q.matters * whole
    return count >= _WITNESSES and 2 * unheard > count


@kernel
def _listen(q, c, m):
    """Take what every mic hears in each octave, and what the paths make of what it has for its own."""
    heard, predicted = view(q, "heard")[m % _RECENT], view(q, "predicted")[m % _RECENT]
    came, own = view(c, "heard"), view(c, "own")
    held = view(inner(q, "paths"), "held")
    for j in range(q.channels):
        _hear(q, c, came[j], m)
        _sum_bands(q, view(q, "power"), heard[j])
        _hear(q, c, own[j], m)
        for i in range(q.channels):
            if i != j and held[i, j]:
                _predict(q, i, j, predicted[i, j])
            else:
                fill(predicted[i, j], np.float32(0))


@kernel
def observe(q, c, m):
    """Take block `m`: decide who is shut out, from the block on from which the job is due.

    Parameters
    ----------
    q : QUARANTINE
    c : CANCELLER
    m : int64
    """
    left, long, barred = view(q, "left"), view(q, "long"), view(q, "barred")
    level, powers = view(q, "level"), view(c, "power")[(m - q.later_blocks) % HISTORY, 1]
    _listen(q, c, m)
    _keep_sums(q, m)
    first = _find(q, c, m)
    for j in range(q.channels):
        barred[j] = max(0, barred[j] - 1)
        if left[j]:
            long[j] += 1
            # Who is shut out is let in when there is hardly a doubt.
            unheard = _is_unheard(q, c, m, j, q.later_blocks, np.float32(0.5))
            still = powers[j] > _STILL * level[j]
            left[j] = q.quiet_blocks if unheard or still else left[j] - 1
            if long[j] >= q.most_blocks:
                left[j] = long[j] = 0
                barred[j] = q.barred_blocks
        elif m % _FORGIVES == 0:
            long[j] = max(0, long[j] - 1)
    if first >= 0:
        left[first] = q.quiet_blocks
        level[first] = powers[first]
        q.last = m
        q.times += 1
        take_back(q, m, q.later_blocks + 2)
    tell(q, c, m)


@kernel
def _find(q, c, m):
    """Return who is to be shut out now, -1: nobody. One at a time, the loudest: others play what was subtracted."""
    left, barred = view(q, "left"), view(q, "barred")
    found = -1
    if m < HISTORY or (q.times > 0 and m - q.last < _ECHO):
        return found
    most = np.float32(0)
    powers = view(c, "power")[(m - q.later_blocks) % HISTORY, 1]
    for j in range(q.channels):
        may = not left[j] and not barred[j] and powers[j] > most
        if may and _is_unheard(q, c, m, j, q.later_blocks, np.float32(1)):
            found, most = j, powers[j]
    return found


@kernel
def tell(q, c, m):
    """Have the audio thread do what was decided last."""
    left = view(q, "left")
    shuts = view(c, "shuts")[m % HISTORY]
    for j in range(q.channels):
        shuts[j] = left[j] > 0


@kernel
def holds(q):
    """Tell whether somebody is shut out: nobody learns."""
    left = view(q, "left")
    count = 0
    for j in range(q.channels):
        count += left[j] > 0
    return count > 0


@kernel
def is_suspected(q, c, m):
    """Tell whether somebody may have to be shut out soon: bleed may be late, but too loud an output proves nothing."""
    for j in range(q.channels):
        for later in range(q.later_blocks):
            if m >= HISTORY and _is_unheard(q, c, m, j, later, np.float32(1)):
                return True
    return False


@kernel
def _keep_sums(q, m):
    """Keep what the guard knew before block m."""
    g = inner(q, "guard")
    e = inner(g, "evidence")
    agree, own = view(e, "agree"), view(e, "own")
    level, peak, loud = view(g, "level"), view(g, "peak"), view(g, "loud")
    sums, levels = view(q, "sums")[m % _KEPT], view(q, "levels")[m % _KEPT]
    for i in range(q.channels):
        for kind in range(2):
            sums[0, kind, i] = agree[kind, i]
            sums[1, kind, i] = own[kind, i]
        levels[0, i], levels[1, i], levels[2, i] = level[i], peak[i], loud[i]


@kernel
def take_back(q, m, blocks):
    """Take the guard back to what it knew before block ``m - blocks``."""
    g = inner(q, "guard")
    e = inner(g, "evidence")
    agree, own = view(e, "agree"), view(e, "own")
    level, peak, loud = view(g, "level"), view(g, "peak"), view(g, "loud")
    slot = (m - min(blocks, _KEPT - 1)) % _KEPT
    sums, levels = view(q, "sums")[slot], view(q, "levels")[slot]
    for i in range(q.channels):
        for kind in range(2):
            agree[kind, i] = sums[0, kind, i]
            own[kind, i] = sums[1, kind, i]
        level[i], peak[i], loud[i] = levels[0, i], levels[1, i], levels[2, i]
        evidence.begin(e, i)
