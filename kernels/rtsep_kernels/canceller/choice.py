"""Choose the pairs of mics that are cleaned of each other, where the machine cannot hold them all.

*What a pair is worth*: the power that mic j brings into mic i, beside the power of mic i. Of a pair that is held it is
what its path b = W_ij Y_j subtracts, times what of it is bleed and not noise of learning: with E_i what is left,

    1 + 2 Re<E_i, b> / <b, b>,   bins counted by 1 / den_i,

is 1 where the path is right, and -1 where there was nothing to subtract. Of another pair it is estimated from the
first 512 taps of its path,

    W = causal part of  sum conj(Y_j) E_i / den_i  /  (sum |Y_j|^2 / den_i + 1 / doubt),

less what independent sounds would give: least squares on what is left in mic i, with the Kalman filter's own weights
1 / den_i. So the blocks count in which mic i's own sound rests, bleed of i into j comes before its time and is cut off,
and what is cleaned already has nothing more to say. It finds a small part of the path only, `found`.

*How it goes.* Pairs are measured in turn, a few in every job. After each round the best come in where there is
room, from zero filters; the least of those that are held leaves where one outside is worth much more: its filters
shrink to zero over `fade` jobs, then both versions of all of them are handed over, and only then its place is free.
"""

import numpy as np

from rtsep_kernels.canceller.record import BINS, BLOCK, GROUPS, HISTORY, ROW
from rtsep_kernels.maths.spectra import add_product, join, split
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import array, f4, f8, given, i8, number, record, scratch, view

FLUSH = 2 * GROUPS        # jobs, one after the other, until both versions of a path are zero
LOWEST = 2                # bins below hold an offset, which the Hann window spreads over them: counted, not in Hz
HANN = 0.375              # power that the window of the mics' spectra leaves
HALF = 0.5                # of a spectrum's power is in the half that is new

CHOICE = record(
    channels=number(), budget=number(),
    highest=number(),                                     # bins above are not looked at
    held=given(i8, "channels", "channels"),             # 1: mic i learns from mic j
    leaving=given(i8, "channels", "channels"),            # jobs until a pair that leaves is out
    active=given(i8, "channels", "channels"),             # the canceller's: its filters may not be zero
    since=array(i8, "channels", "channels", start=0),     # job in which the pair came in or left
    worth=array(f8, "channels", "channels", start=0),
    cross_re=array(f4, "channels", "channels", ROW, start=0),   # sum conj(Y_j) E_i / den_i
    cross_im=array(f4, "channels", "channels", ROW, start=0),
    power=array(f4, "channels", "channels", ROW, start=0),      # sum |Y_j|^2 / den_i
    agree=array(f8, "channels", "channels", start=0),     # of pairs that are held, <E_i, b>
    own=array(f8, "channels", "channels", start=0),       # and <b, b>
    surprise=array(f4, "channels", ROW, start=0),         # mean |E_i|^2 / den_i
    level=array(f4, "channels", ROW, start=0),            # mean |Y_j|^2
    loudness=array(f8, "channels", start=0),              # mean power of a mic, as it came
    time=scratch(f4, 2 * BLOCK), spectrum=scratch(f4, 2 * ROW), work=scratch(f4, 2, ROW),
    jobs=number(start=0), last=number(start=0), changes=number(start=0),
    # Tuning: the stage's, which says what each is and where it comes from; a job is a block.
    path_kept=number(f8), level_kept=number(f8), round_blocks=number(), first_rounds=number(), fade_blocks=number(),
    settled_blocks=number(), rest_blocks=number(), better=number(f8), least=number(f8), found=number(f8),
    doubt=number(f4), swaps=number(), at_once=number(),
)


@kernel
def _turns(h):
    """Return in how many jobs every mic is listened to once."""
    return max(1, h.channels // h.at_once) if h.jobs >= h.first_rounds * h.round_blocks else 1


@kernel
def _add(re, im, power, y_re, y_im, y_power, g_re, g_im, inverse, kept):
    """Keep a part of a pair's sums, and add a block to them, in one go: for most pairs this is all that is done."""
    for b in range(ROW):
        re[b] = fma(y_re[b], g_re[b], fma(y_im[b], g_im[b], kept * re[b]))
        im[b] = fma(y_re[b], g_im[b], fma(-y_im[b], g_re[b], kept * im[b]))
        power[b] = fma(y_power[b], inverse[b], kept * power[b])


@kernel
def _compare(h, m, i, j, y_re, y_im, g_re, g_im, inverse, w_re, w_im, kept):
    """Compare what a path subtracts with what is left."""
    work = view(h, "work")
    fill(work[0], np.float32(0))
    fill(work[1], np.float32(0))
    for p in range(w_re.shape[0]):
        slot = (m - p) % HISTORY
        add_product(work[0], work[1], w_re[p, i, j], w_im[p, i, j], y_re[slot, j], y_im[slot, j], ROW)
    both = alone = 0.0
    for b in range(LOWEST, h.highest):
        both += g_re[b] * work[0, b] + g_im[b] * work[1, b]
        alone += inverse[b] * (work[0, b] * work[0, b] + work[1, b] * work[1, b])
    agree = view(h, "agree")
    own = view(h, "own")
    agree[i, j] = kept * agree[i, j] + both
    own[i, j] = kept * own[i, j] + HALF * alone


@kernel
def listen(h, m, i, y_re, y_im, y_power, g_re, g_im, inverse, w_re, w_im):
    """Take block m into what is known of the paths to mic i.

    Parameters
    ----------
    h : CHOICE
    m, i : int64
    y_re, y_im, y_power : float32[HISTORY, k, ROW]
        Spectra of the cleaned mics.
    g_re, g_im, inverse : float32[ROW]
        E_i / den_i, and 1 / den_i.
    w_re, w_im : float32[tracked, k, k, ROW]
        The Kalman filter's paths, which have not learnt from this block yet.
    """
    k = h.channels
    turns = _turns(h)
    if i % turns != h.jobs % turns:
        return
    held = view(h, "held")
    cross_re = view(h, "cross_re")
    cross_im = view(h, "cross_im")
    power = view(h, "power")
    kept = np.float32(h.path_kept ** turns)
    slot = m % HISTORY
    for j in range(k):
        if held[i, j]:
            _compare(h, m, i, j, y_re, y_im, g_re, g_im, inverse, w_re, w_im, h.path_kept ** turns)
        elif j != i:
            _add(cross_re[i, j], cross_im[i, j], power[i, j], y_re[slot, j], y_im[slot, j], y_power[slot, j],
                 g_re, g_im, inverse, kept)
    surprise = view(h, "surprise")[i]
    fresh = np.float32(max(1.0 - h.path_kept ** turns, 1.0 / (h.jobs + 1)))
    for b in range(BINS):
        now = (g_re[b] * g_re[b] + g_im[b] * g_im[b]) / inverse[b]
        surprise[b] += fresh * (now - surprise[b])


@kernel
def _take_levels(h, y_power, x_re, x_im):
    """Take a block into the mean powers of the mics, cleaned and as they came."""
    k = h.channels
    level = view(h, "level")
    loudness = view(h, "loudness")
    fresh = max(1.0 - h.level_kept, 1.0 / (h.jobs + 1))
    for i in range(k):
        for b in range(ROW):
            level[i, b] += np.float32(fresh) * (y_power[i, b] - level[i, b])
        total = 0.0
        for b in range(LOWEST, h.highest):
            total += x_re[i, b] * x_re[i, b] + x_im[i, b] * x_im[i, b]
        loudness[i] += fresh * (total / HANN - loudness[i])


@kernel
def _held(h, i, j, w_re, w_im):
    """Return the power of the bleed that the path of a pair subtracts."""
    agree = view(h, "agree")[i, j]
    own = view(h, "own")[i, j]
    right = min(max(1.0 + 2.0 * agree / (own + 1e-30), 0.0), 1.0)
    level = view(h, "level")[j]
    total = 0.0
    for p in range(w_re.shape[0]):
        for b in range(LOWEST, h.highest):
            re = w_re[p, i, j, b]
            im = w_im[p, i, j, b]
            total += level[b] * (re * re + im * im)
    return right * total


@kernel
def _estimated(h, c, i, j):
    """Return the power that the path of a pair that is not held would subtract."""
    re = view(h, "cross_re")[i, j]
    im = view(h, "cross_im")[i, j]
    power = view(h, "power")[i, j]
    surprise = view(h, "surprise")[i]
    level = view(h, "level")[j]
    work = view(h, "work")
    time = view(h, "time")
    spectrum = view(h, "spectrum")
    for b in range(BINS):
        scale = np.float32(1) / (power[b] + np.float32(1) / h.doubt)
        work[0, b] = re[b] * scale
        work[1, b] = im[b] * scale
    join(work[0], work[1], spectrum, BINS)
    call_fft(c.backward, c.inverse1024, h.spectrum, h.time)
    for n in range(BLOCK):
        time[n] *= np.float32(1 / (2 * BLOCK))
        time[BLOCK + n] = np.float32(0)
    call_fft(c.forward, c.plan1024, h.time, h.spectrum)
    split(spectrum, work[0], work[1], BINS)
    # Of sums that forget, squares of independent terms add up to half as much; half of it is causal.
    forgotten = h.path_kept ** min(h.jobs, 10000)
    chance = np.float32(0.25 * (1.0 + forgotten))
    total = 0.0
    for b in range(LOWEST, h.highest):
        doubtful = power[b] + np.float32(1) / h.doubt
        found = work[0, b] * work[0, b] + work[1, b] * work[1, b]
        total += level[b] * (found - chance * surprise[b] * power[b] / (doubtful * doubtful))
    return max(total, 0.0) / h.found


@kernel
def _measure(h, c, m, i, j, w_re, w_im, freed):
    """Say anew what a pair is worth."""
    held = view(h, "held")
    since = view(h, "since")
    worth = view(h, "worth")
    loudness = view(h, "loudness")
    if freed[i, j] == 0:
        worth[i, j] = 0.0
    elif held[i, j]:
        now = _held(h, i, j, w_re, w_im) / (loudness[i] + 1e-9)
        worth[i, j] = now if m - since[i, j] >= h.settled_blocks else max(now, worth[i, j])
    else:
        worth[i, j] = _estimated(h, c, i, j) / (loudness[i] + 1e-9)


@kernel
def _come_in(h, m, i, j):
    """Let a pair learn, as if nothing had been known of it."""
    view(h, "held")[i, j] = 1
    view(h, "active")[i, j] = 1
    view(h, "since")[i, j] = m
    view(h, "agree")[i, j] = 0.0
    view(h, "own")[i, j] = 0.0
    fill(view(h, "cross_re")[i, j], np.float32(0))
    fill(view(h, "cross_im")[i, j], np.float32(0))
    fill(view(h, "power")[i, j], np.float32(0))
    h.changes += 1


@kernel
def _may(h, m, i, j, in_mode, leave):
    """Tell whether a pair may leave, or come in."""
    since = view(h, "since")[i, j]
    if leave:
        return view(h, "held")[i, j] != 0 and m - since >= h.settled_blocks
    outside = j != i and view(h, "active")[i, j] == 0 and view(h, "leaving")[i, j] == 0
    return outside and in_mode[i] == 0 and (since == 0 or m - since >= h.rest_blocks)


@kernel
def _next(h, m, in_mode, leave, bound):
    """Return the next pair to leave, or to come in, and what it is worth.

    Of those that may leave it is the one that is worth least, but more than `bound`; of those that may come in the one
    that is worth most, but less than `bound`. Where there is none, the worth is infinite, or minus infinity.
    """
    worth = view(h, "worth")
    sign = -1.0 if leave else 1.0
    best = -np.inf
    at_i = at_j = 0
    for i in range(h.channels):
        for j in range(h.channels):
            if best < sign * worth[i, j] < sign * bound and _may(h, m, i, j, in_mode, leave):
                best = sign * worth[i, j]
                at_i, at_j = i, j
    return sign * best, at_i, at_j


@kernel
def _choose(h, m, in_mode):
    """Let the best pairs come in where there is room, and make room for those that are worth much more."""
    active = view(h, "active")
    free = h.budget
    for i in range(h.channels):
        for j in range(h.channels):
            free -= active[i, j]
    outside = np.inf
    for _ in range(free):
        outside, i, j = _next(h, m, in_mode, False, outside)
        if outside <= 0.0:
            break
        _come_in(h, m, i, j)
    inside = -1.0
    for _ in range(max(1, h.budget // h.swaps)):
        outside, i, j = _next(h, m, in_mode, False, outside)
        inside, i, j = _next(h, m, in_mode, True, inside)
        if outside <= max(h.better * inside, h.least):
            break
        view(h, "held")[i, j] = 0
        view(h, "leaving")[i, j] = h.fade_blocks + FLUSH


@kernel
def work(h, c, m, y_power, x_re, x_im, w_re, w_im, freed, in_mode):
    """Measure those pairs whose turn it is; after a round, choose.

    Parameters
    ----------
    h : CHOICE
    c : CANCELLER
    m : int64
    y_power : float32[k, ROW]
        Of the cleaned mics, in this block.
    x_re, x_im : float32[k, ROW]
        Spectra of the mics as they came, windowed.
    w_re, w_im : float32[tracked, k, k, ROW]
        The Kalman filter's paths.
    freed : int64[k, k]
        The guard's: 0 where a pair may not learn.
    in_mode : int64[k]
        Mics in instantaneous mode: their paths cost nothing.
    """
    k = h.channels
    _take_levels(h, y_power, x_re, x_im)
    h.jobs += 1
    pairs = k * (k - 1)
    place = h.jobs % h.round_blocks
    for unit in range(pairs * place // h.round_blocks, pairs * (place + 1) // h.round_blocks):
        i = unit // (k - 1)
        j = unit % (k - 1)
        _measure(h, c, m, i, j if j < i else j + 1, w_re, w_im, freed)
    if place == h.round_blocks - 1 and h.jobs >= h.first_rounds * h.round_blocks - 1:
        _choose(h, m, in_mode)
