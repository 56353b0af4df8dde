"""Learn the canceller's paths: a frequency-domain Kalman filter over partitions of 512 samples.

After Enzner & Vary 2006 (doi:10.1016/j.sigpro.2005.09.013), in the recursive form in which the reference of each
path is the *cleaned* neighbour y_j and the wanted sound itself is the observation noise Psi:

    den_i  = sum over j, p of P_ijp |Y_jp|^2 + Psi_i,      Psi_i = 2 c max(smoothed |E_i|^2, |E_i|^2)
    W_ijp += P_ijp conj(Y_jp) E_i / den_i
    P_ijp  = clip(a2 (1 - P_ijp |Y_jp|^2 / (2 den_i)) P_ijp + (1 - a2) |W_ijp|^2 + q prior_p, 0, 10 prior_p)

Only the first `tracked` partitions of the pairs that are held, and that the guard frees, learn.
"""

import numpy as np

from rtsep_kernels.canceller import choice, dead, quarantine
from rtsep_kernels.canceller.instant import mode as instant
from rtsep_kernels.canceller.paths import doubt, move_to_tap, shrink
from rtsep_kernels.canceller.record import BINS, BLOCK, GROUPS, HISTORY, PATHS, ROW, SIZE
from rtsep_kernels.maths.spectra import power, split
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import call_fft, fma
from rtsep_kernels.plane.record import array, f4, inner, link, number, record, scratch, view

MOST = np.float32(10)       # times the prior: no path is as strong, and doubt ends there
_SILENCE = np.float32(1e-10)   # |E|² below which nothing is learnt: that of white noise at -127 dBFS
_HISS = np.float32(1e-6)    # sum of squares by which any output may be louder: of -102 dBFS in that third of a second
_LOUDER = np.float32(2)     # times the input's power, 3 dB: clearly louder

KALMAN = record(
    channels=number(), paths=link(PATHS),
    y_power=array(f4, HISTORY, "channels", ROW, start=0),   # |Y|², block by block
    smooth=array(f4, "channels", ROW, start=0),             # smoothed |E|²
    error_re=scratch(f4, ROW), error_im=scratch(f4, ROW), den=scratch(f4, ROW),
    time=scratch(f4, SIZE), spectrum=scratch(f4, 2 * ROW),
    # Tuning: the stage's, which says what each is and where it comes from.
    caution=number(f4), smooth_kept=number(f4), tamed_blocks=number(), tamed_kept=number(f4),
)


@kernel
def observe(a, c, m):
    """Take |Y|² of the partition that has ended."""
    far_re = view(c, "far_re")
    far_im = view(c, "far_im")
    y_power = view(a, "y_power")
    slot = m % HISTORY
    for j in range(c.channels):
        power(far_re[slot, j], far_im[slot, j], y_power[slot, j], ROW)


@kernel
def _error_spectrum(a, c, m, i, e_re, e_im):
    """Transform the newest block of a cleaned mic behind as many zeros."""
    history = view(c, "history")
    time = view(a, "time")
    first = (m & (HISTORY - 1)) * BLOCK   # masked, as in `apply`, so that the copy vectorises
    for n in range(BLOCK):
        time[n] = np.float32(0)
        time[BLOCK + n] = history[i, first + n]
    call_fft(c.forward, c.plan1024, a.time, a.spectrum)
    split(view(a, "spectrum"), e_re, e_im, BINS)


@kernel
def _wanted_power(e_re, e_im, smooth, den, kept, caution):
    """Start the denominators with Psi, the power of the wanted sound."""
    for b in range(ROW):
        now = e_re[b] * e_re[b] + e_im[b] * e_im[b]
        smooth[b] = kept * smooth[b] + (np.float32(1) - kept) * now
        den[b] = np.float32(2) * caution * max(smooth[b], now) + _SILENCE


@kernel
def _add_expected(den, p, y_power):
    """Add the power of the bleed that is still expected."""
    for b in range(ROW):
        den[b] = fma(p[b], y_power[b], den[b])


@kernel
def _normalise(e_re, e_im, den):
    """Write 1 / den over den, and E / den over E."""
    for b in range(ROW):
        inverse = np.float32(1) / den[b]
        den[b] = inverse
        e_re[b] *= inverse
        e_im[b] *= inverse


@kernel
def _step(w_re, w_im, p, y_re, y_im, g_re, g_im, inverse, memory, noise, most):
    """One partition's Kalman step; g = E / den."""
    for b in range(ROW):
        pb = p[b]
        yr = y_re[b]
        yi = y_im[b]
        wr = fma(pb, fma(yr, g_re[b], yi * g_im[b]), w_re[b])
        wi = fma(pb, fma(yr, g_im[b], -(yi * g_re[b])), w_im[b])
        w_re[b] = wr
        w_im[b] = wi
        kept = fma(np.float32(-0.5) * pb * inverse[b], fma(yr, yr, yi * yi), np.float32(1))
        new = fma(memory[b] * kept, pb, fma(np.float32(1) - memory[b], fma(wr, wr, wi * wi), noise))
        p[b] = min(max(new, np.float32(0)), most)


@kernel
def _tame(a, w, c, m, i):
    """Shrink a mic's paths while its output has been clearly louder than its input for a third of a second.

    Bleed adds power in the mean, though not in every block: two players in unison may cancel for a while.
    """
    powers = view(c, "power")
    before = np.float32(0)
    after = np.float32(0)
    for block in range(m - a.tamed_blocks + 1, m + 1):
        before += powers[block % HISTORY, 0, i]
        after += powers[block % HISTORY, 1, i]
    if after <= _LOUDER * before + _HISS:
        return
    w.renew_far = 2 * GROUPS
    for j in range(w.channels):
        shrink(w, i, j, a.tamed_kept, 0)


@kernel
def _be_instant(w, t, i):
    """Move the paths of a mic in instantaneous mode to a single tap, over several blocks, and keep them there.

    When it leaves, the Kalman filter goes on from that tap and doubts everything as at the start.
    """
    moving = view(t, "moving")
    share = np.float32(1) / np.float32(moving[i]) if moving[i] > 0 else np.float32(1) - t.apart_kept
    partitions = w.partitions if moving[i] > 0 else 1
    for j in range(w.channels):
        doubt(w, i, j, partitions)
        if j != i:
            move_to_tap(w, i, j, instant.target(t, i, j), share, partitions)
    moving[i] = max(0, moving[i] - 1)


@kernel
def _let_go(w, g, i):
    """Let go of paths between two mics on one source."""
    k = w.channels
    twin = view(g, "twin")[i]
    held = view(w, "held")[i]
    anchored = view(g, "anchored")[i]
    for j in range(k):
        if twin[j] and held[j]:
            w.renew_far = 2 * GROUPS
            shrink(w, i, j, g.shrink_kept, 0)
            if anchored:
                doubt(w, i, j, w.partitions)   # the soundcheck's path: with its doubts it would never be learnt again


@kernel
def _learn_mic(a, w, c, g, h, chooses, m, i):
    """Learn the paths to one mic from the partition that has just ended."""
    k = w.channels
    w_re, w_im, p_all = view(w, "w_re"), view(w, "w_im"), view(w, "p")
    far_re, far_im = view(c, "far_re"), view(c, "far_im")
    y_power = view(a, "y_power")
    e_re, e_im, den = view(a, "error_re"), view(a, "error_im"), view(a, "den")
    prior = view(w, "prior")
    memory = view(w, "memory")[i]
    drift = view(w, "drift")[i]
    freed = view(g, "freed")
    held = view(w, "held")
    _error_spectrum(a, c, m, i, e_re, e_im)
    _wanted_power(e_re, e_im, view(a, "smooth")[i], den, a.smooth_kept, a.caution)
    for p in range(w.tracked):
        slot = (m - p) % HISTORY
        for j in range(k):
            if held[i, j] and freed[i, j]:
                _add_expected(den, p_all[p, i, j], y_power[slot, j])
    _normalise(e_re, e_im, den)
    if chooses:
        choice.listen(h, m, i, far_re, far_im, y_power, e_re, e_im, den, w_re[: w.tracked], w_im[: w.tracked])
    for p in range(w.tracked):
        slot = (m - p) % HISTORY
        noise = drift * prior[p]
        most = MOST * prior[p]
        for j in range(k):
            if held[i, j] and freed[i, j]:
                _step(w_re[p, i, j], w_im[p, i, j], p_all[p, i, j], far_re[slot, j], far_im[slot, j],
                      e_re, e_im, den, memory, noise, most)


@kernel
def learn(a, c, t, g, h, q, chooses, m):
    """Learn every path from the partition that has just ended.

    Parameters
    ----------
    a : KALMAN
    c : CANCELLER
    t : INSTANT
    g : GUARD
    h : CHOICE
    q : QUARANTINE
    chooses : int64
        0: there is no `h`.
    m : int64
        The partition; `observe` has taken it.
    """
    w = inner(a, "paths")
    in_mode = view(t, "instant")
    if dead.missed(c, m, w.tracked):
        return
    tames = not dead.missed(c, m, a.tamed_blocks) and not quarantine.is_suspected(q, c, m)
    for i in range(w.channels):
        if tames and not dead.was(c, m, i):
            _tame(a, w, c, m, i)
        if in_mode[i]:
            _be_instant(w, t, i)
        else:
            _let_go(w, g, i)
            if dead.was(c, m, i):
                continue
            _learn_mic(a, w, c, g, h, chooses, m, i)
