"""Microphones whose polarity was flipped: a cable changed, a button pressed.

All that was learnt of them is right but for its sign: to *add* what is subtracted would clean the mic. The mean of the
logarithms of many bins tells, which those decide in which its own player is softer than the bleed. When it has said so
for some blocks, nobody learns, and those mics go out dry. Who it is, pairs tell: the bleed that the paths predict goes
against what is heard in the pairs with that mic, and in no others. Then its paths change sign, and whatever else is
known of it.
"""

import numpy as np

from rtsep_kernels.canceller import dead
from rtsep_kernels.canceller.instant import estimate
from rtsep_kernels.canceller.instant.record import INSTANT, LOWEST
from rtsep_kernels.canceller.paths import turn
from rtsep_kernels.canceller.record import BINS, BLOCK, GROUPS, HISTORY, PATHS, ROW, SIZE
from rtsep_kernels.maths.spectra import add_product, split
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft
from rtsep_kernels.plane.record import array, f4, f8, flat, inner, link, number, record, scratch, view

BEFORE = 8      # blocks in which an alarm gathers, at most: what the guard has taken in then is not to be believed
_PAUSE = 2      # times as long as an alarm for nobody all learn after it: most of the time
_SILENCE = np.float32(1e-12)

POLARITY = record(
    channels=number(), paths=link(PATHS), instant=link(INSTANT),
    against=array(f8, "channels", start=0),           # nepers that have of late spoken for the other sign
    agree=array(f8, "channels", "channels", start=0),    # since the alarm: what is heard along what is predicted
    weight=array(f8, "channels", "channels", start=0),   # and the most that this could be, either way
    alarm=number(start=0),                            # blocks since it began
    pause=number(start=0),                            # blocks until there may be another one
    flips=number(start=0),
    x_re=scratch(f4, ROW), x_im=scratch(f4, ROW), re=scratch(f4, ROW), im=scratch(f4, ROW),
    subtracted=scratch(f4, ROW), added=scratch(f4, ROW),
    time=scratch(f4, SIZE), spectrum=scratch(f4, 2 * ROW),
    # Tuning: the stage's, which says what each is and where it comes from.
    allowed=number(f8), alarming=number(f8), most=number(f8), least_blocks=number(), most_blocks=number(),
    opposed=number(f8),
)


@kernel
def _speaks_against(s, c, t, m, i):
    """Return by how many nepers a bin mic i would be cleaner in block m if its bleed were added."""
    x_re, x_im = view(t, "x_re")[i], view(t, "x_im")[i]
    far_re, far_im = view(c, "far_re")[m % HISTORY, i], view(c, "far_im")[m % HISTORY, i]
    subtracted, added = view(s, "subtracted"), view(s, "added")
    floor = t.floor * np.float32(view(t, "level")[i]) + _SILENCE
    for b in range(t.span):
        subtracted[b] = added[b] = floor
    for b in range(LOWEST, t.span):
        # A Hann window over samples is this sum over bins.
        y_re = np.float32(0.5) * far_re[b] - np.float32(0.25) * (far_re[b - 1] + far_re[b + 1])
        y_im = np.float32(0.5) * far_im[b] - np.float32(0.25) * (far_im[b - 1] + far_im[b + 1])
        other_re = np.float32(2) * x_re[b] - y_re
        other_im = np.float32(2) * x_im[b] - y_im
        subtracted[b] += y_re * y_re + y_im * y_im
        added[b] += other_re * other_re + other_im * other_im
    return (estimate.log_sum(subtracted, 0, t.span) - estimate.log_sum(added, 0, t.span)) / t.span


@kernel
def observe(s, c, t, m):
    """Take block `m`, which `instant` has just heard; True while there is an alarm.

    Parameters
    ----------
    s : POLARITY
    c : CANCELLER
    t : INSTANT
    m : int64
    """
    if s.pause:
        s.pause -= 1
        return False
    against = view(s, "against")
    in_mode = view(t, "instant")
    alarmed = False
    for i in range(s.channels):
        if in_mode[i] or dead.was(c, m, i):
            against[i] = 0.0
            continue
        spoke = _speaks_against(s, c, t, m, i) - s.allowed
        against[i] = min(max(against[i] + spoke, 0.0), s.most)
        alarmed |= against[i] > s.alarming
    if not alarmed or s.alarm >= s.most_blocks:
        if s.alarm:   # nobody was found: what has moved must be learnt anew
            s.pause = _PAUSE * s.alarm
            _begin(s)
        return False
    s.alarm += 1
    _ask_pairs(s, c, m)
    return True


@kernel
def _begin(s):
    """Be without alarm."""
    s.alarm = 0
    fill(view(s, "against"), 0.0)
    fill(flat(s, "agree"), 0.0)
    fill(flat(s, "weight"), 0.0)


@kernel
def _ask_pairs(s, c, m):
    """Take what each pair says of the block: the real part of what is heard along what its path predicts."""
    w = inner(s, "paths")
    w_re, w_im, held = view(w, "w_re"), view(w, "w_im"), view(w, "held")
    far_re, far_im = view(c, "far_re"), view(c, "far_im")
    x_re, x_im, re, im = view(s, "x_re"), view(s, "x_im"), view(s, "re"), view(s, "im")
    agree, weight = view(s, "agree"), view(s, "weight")
    for i in range(s.channels):
        _hear(s, c, m, i)
        for j in range(s.channels):
            if j == i or not held[i, j]:
                continue
            fill(re, np.float32(0))
            fill(im, np.float32(0))
            for p in range(w.tracked):
                slot = (m - p) % HISTORY
                add_product(re, im, w_re[p, i, j], w_im[p, i, j], far_re[slot, j], far_im[slot, j], BINS)
            along = whole = 0.0
            for b in range(LOWEST, BINS):
                # Each bin as its share of what is heard: the loud ones do not decide alone.
                heard = x_re[b] * x_re[b] + x_im[b] * x_im[b]
                bleed = re[b] * re[b] + im[b] * im[b]
                scale = np.float32(1) / (heard + bleed + _SILENCE)
                along += scale * (x_re[b] * re[b] + x_im[b] * im[b])
                whole += scale * np.sqrt(heard * bleed)
            agree[i, j] += along
            weight[i, j] += whole


@kernel
def _hear(s, c, m, i):
    """Transform the newest block of a mic behind as many zeros, as the paths' products are."""
    heard = view(c, "heard")[i]
    time = view(s, "time")
    first = (m & (HISTORY - 1)) * BLOCK
    for n in range(BLOCK):
        time[n] = np.float32(0)
        time[BLOCK + n] = heard[first + n]
    call_fft(c.forward, c.plan1024, s.time, s.spectrum)
    split(view(s, "spectrum"), view(s, "x_re"), view(s, "x_im"), BINS)


@kernel
def find(s):
    """Return the mic whose pairs speak against its sign, and none of them for it; -1: there is none, or not yet.

    One pair tells nothing of which of its two mics it is, nor whether it was not a move that has turned its path.
    """
    if s.alarm < s.least_blocks:
        return -1
    agree, weight = view(s, "agree"), view(s, "weight")
    found = -1
    least = 0.0
    for h in range(s.channels):
        along = whole = 0.0
        against = 0
        right = False
        for i in range(s.channels):
            if i != h:
                pair = agree[i, h] + agree[h, i]
                most = weight[i, h] + weight[h, i]
                along += pair
                whole += most
                against += pair < -s.opposed * most
                right |= pair > s.opposed * most
        speak = against >= min(2, s.channels - 1) and not right
        if speak and along < -s.opposed * whole and along < least:
            found, least = h, along
    return found


@kernel
def flip(s, t, h):
    """Change the sign of all that is known of mic h."""
    w = inner(s, "paths")
    mixing, unmixing, moments = view(t, "mixing"), view(t, "unmixing"), view(t, "moments")
    for j in range(s.channels):
        if j == h:
            continue
        turn(w, h, j)
        turn(w, j, h)
        for e in range(3):
            for values in (mixing[e], unmixing[e]):
                values[h, j] = -values[h, j]
                values[j, h] = -values[j, h]
            for i in range(s.channels):
                moments[e, i, max(h, j), min(h, j)] = -moments[e, i, max(h, j), min(h, j)]
    w.renew_far = 2 * GROUPS
    s.flips += 1
    _begin(s)


@kernel
def go_dry(s, c, m):
    """Give those who speak against their bleed none of its subtraction."""
    against = view(s, "against")
    share = view(c, "shares")[m % HISTORY]
    for i in range(s.channels):
        if against[i] > s.alarming:
            share[i] = np.float32(0)
