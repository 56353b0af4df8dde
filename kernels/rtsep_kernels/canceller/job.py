"""Learn the canceller's paths: a frequency-domain Kalman filter over partitions of 512 samples.

After Enzner & Vary 2006 (doi:10.1016/j.sigpro.2005.09.013), in the recursive form in which the reference of each
path is the *cleaned* neighbour y_j and the wanted sound itself is the observation noise Psi:

    den_i  = sum over j, p of P_ijp |Y_jp|^2 + Psi_i,      Psi_i = 2 c max(smoothed |E_i|^2, |E_i|^2)
    W_ijp += P_ijp conj(Y_jp) E_i / den_i
    P_ijp  = clip(a2 (1 - P_ijp |Y_jp|^2 / (2 den_i)) P_ijp + (1 - a2) |W_ijp|^2 + q prior_p, 0, 10 prior_p)

One job learns from one partition and hands over a quarter of the filter: only those partitions whose turn it is
are made causal again (inverse transform, second half cleared) and exported to the idle version.

Where there are too many mics for all pairs, `choice` says which ones learn. Of the others the filters are zero, but for
tap 0 to a mic in instantaneous mode, which is applied for all pairs at once.
"""

import numpy as np
from numba import carray, from_dtype, types

from rtsep_kernels.canceller import choice
from rtsep_kernels.canceller.apply import (
    APPLIED,
    BINS,
    BLOCK,
    CANCELLER,
    DONE,
    EXCHANGE,
    GROUPS,
    HISTORY,
    NEAR,
    NEAR_ROW,
    PUBLISHED,
    RESTORE,
    ROW,
    STOP,
    join,
    split,
)
from rtsep_kernels.canceller.guard import shares as guard
from rtsep_kernels.canceller.guard.record import GUARD
from rtsep_kernels.canceller.instant import mode as instant
from rtsep_kernels.canceller.instant.record import INSTANT
from rtsep_kernels.canceller.refine import round as refine
from rtsep_kernels.canceller.refine.record import REFINE_TYPE
from rtsep_kernels.plane.grid import sleep_until
from rtsep_kernels.plane.jit import entry, kernel
from rtsep_kernels.plane.memory import (
    call_fft,
    flush_to_zero,
    fma,
    load_acquire,
    pointer,
    record_at,
    restore_floats,
    samples,
    store_release,
)

ADAPT = np.dtype([
    ("canceller", np.int64),                                # address of the CANCELLER record
    ("w_re", np.int64), ("w_im", np.int64), ("p", np.int64),  # float32[partitions, k, k, ROW]
    ("good_re", np.int64), ("good_im", np.int64),           # float32[partitions, k, k, ROW]: last good filters
    ("y_power", np.int64),                                  # float32[HISTORY, k, ROW]
    ("smooth", np.int64),                                   # float32[k, ROW]: smoothed |E|^2
    ("work", np.int64),                                     # float32[6, ROW]
    ("time", np.int64), ("spectrum", np.int64),             # float32[1024], float32[2 * ROW]
    ("prior", np.int64),                                    # float32[partitions]
    ("tap0", np.int64),                                     # float64[k, 2 * k]: scratch of the inverse
    ("versions", np.int64),                                 # int64[GROUPS]: as this side sees them
    ("tracked", np.int64),                                  # partitions that the Kalman filter adapts
    ("renew_far", np.int64),                                # jobs that must export the other ones, too
    ("drifts", np.int64),                                   # float32[k]: q of each mic
    ("remembered", np.int64),                               # float32[k, ROW]: memory a2 of each mic and bin
    ("refine", np.int64),                                   # address of the REFINE record, or 0
    ("memory", np.float32), ("drift", np.float32), ("caution", np.float32), ("smoothing", np.float32),
    ("restored", np.int64), ("restores", np.int64), ("skipped", np.int64), ("jobs", np.int64),
    ("renew", np.int64),                                    # jobs that must still export although nothing is learnt
    ("instant", np.int64),                                  # address of the INSTANT record
    ("guard", np.int64),                                    # address of the GUARD record
    ("choice", np.int64),                                   # address of the CHOICE record, or 0: all pairs are held
    ("chosen", np.int64),                                   # int64[k, k]: 1: mic i learns from mic j
    ("leaving", np.int64),                                  # int64[k, k]: jobs until a pair that leaves is out
], align=True)
_ADAPT = from_dtype(ADAPT)
_CANCELLER = from_dtype(CANCELLER)
_INSTANT, _GUARD, _CHOICE = INSTANT.type, GUARD.type, choice.CHOICE.type
# After a restore the exploding filters stay audible as dry sound until all groups are renewed.
_CALM = GROUPS + 4
_TAMED_OVER = 32           # blocks


@kernel
def _observe(c, m, y_power):
    """Take |Y|^2 of the partition that has ended."""
    far_re = carray(samples(c.far_re), (HISTORY, c.channels, ROW))
    far_im = carray(samples(c.far_im), (HISTORY, c.channels, ROW))
    slot = m % HISTORY
    for j in range(c.channels):
        _power(far_re[slot, j], far_im[slot, j], y_power[slot, j])


@kernel
def _power(re, im, out):
    for b in range(ROW):
        out[b] = fma(re[b], re[b], im[b] * im[b])


@kernel
def _error_spectrum(s, c, m, i, e_re, e_im):
    history = carray(samples(c.history), (c.channels, HISTORY * BLOCK))
    time = carray(samples(s.time), (1024,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    first = (m & (HISTORY - 1)) * BLOCK   # masked, as in canceller.py, so that the copy vectorises
    for n in range(BLOCK):
        time[n] = np.float32(0)
        time[BLOCK + n] = history[i, first + n]
    call_fft(c.forward, c.plan1024, s.time, s.spectrum)
    split(spectrum, e_re, e_im, BINS)


@kernel
def _wanted_power(e_re, e_im, smooth, den, smoothing, caution):
    """Start the denominators with Psi, the power of the wanted sound."""
    for b in range(ROW):
        power = e_re[b] * e_re[b] + e_im[b] * e_im[b]
        smooth[b] = smoothing * smooth[b] + (np.float32(1) - smoothing) * power
        den[b] = np.float32(2) * caution * max(smooth[b], power) + np.float32(1e-10)


@kernel
def _add_expected(den, p, y_power):
    for b in range(ROW):
        den[b] = fma(p[b], y_power[b], den[b])


@kernel
def _normalise(e_re, e_im, den):
    for b in range(ROW):
        inverse = np.float32(1) / den[b]
        den[b] = inverse
        e_re[b] *= inverse
        e_im[b] *= inverse


@kernel
def _learn(w_re, w_im, p, y_re, y_im, g_re, g_im, inverse, memory, noise, most):
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
def _export(s, c, p, i, j, v):
    """Make one partition causal again and lay it, in the form that is applied, into version `v`."""
    k = c.channels
    w_re = carray(samples(s.w_re), (c.partitions, k, k, ROW))[p, i, j]
    w_im = carray(samples(s.w_im), (c.partitions, k, k, ROW))[p, i, j]
    time = carray(samples(s.time), (1024,))
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    join(w_re, w_im, spectrum, BINS)
    call_fft(c.backward, c.inverse1024, s.spectrum, s.time)
    for n in range(BLOCK):
        time[n] *= np.float32(1 / 1024)
        time[BLOCK + n] = np.float32(0)
    if p < 2:
        _export_near(s, c, p, i, j, v, time)
    call_fft(c.forward, c.plan1024, s.time, s.spectrum)
    split(spectrum, w_re, w_im, BINS)
    if p >= 2:
        far_re = carray(samples(c.far_filter_re), (2, c.partitions, k, k, ROW))[v, p, i, j]
        far_im = carray(samples(c.far_filter_im), (2, c.partitions, k, k, ROW))[v, p, i, j]
        for b in range(ROW):
            far_re[b] = w_re[b]
            far_im[b] = w_im[b]


@kernel
def _export_near(s, c, p, i, j, v, time):
    k = c.channels
    near_re = carray(samples(c.near_filter_re), (2, k, k, NEAR - 1, NEAR_ROW))[v, i, j]
    near_im = carray(samples(c.near_filter_im), (2, k, k, NEAR - 1, NEAR_ROW))[v, i, j]
    short = carray(samples(s.work), (6, ROW))[4]          # 128 samples
    spectrum = carray(samples(s.spectrum), (2 * ROW,))
    if p == 0:
        carray(pointer(s.tap0), (k, 2 * k), np.float64)[i, j] = time[0]
        head = carray(samples(c.head), (2, k, k, 64))[v, i, j]
        for n in range(63):
            head[n] = time[n + 1]
    for r in range(1 if p == 0 else 0, 8):
        q = r if p == 0 else r + 8
        for n in range(64):
            short[n] = time[64 * r + n]
            short[64 + n] = np.float32(0)
        call_fft(c.forward, c.plan128, s.work + 4 * 4 * ROW, s.spectrum)
        split(spectrum, near_re[q - 1], near_im[q - 1], 65)


@kernel
def _export_tap(s, c, p, i, j, v):
    """Lay zeros into version `v` of a pair that is not held; of its path only tap 0 may be there."""
    k = c.channels
    if p < 2:
        near_re = carray(samples(c.near_filter_re), (2, k, k, NEAR - 1, NEAR_ROW))[v, i, j]
        near_im = carray(samples(c.near_filter_im), (2, k, k, NEAR - 1, NEAR_ROW))[v, i, j]
        for q in range(0 if p == 0 else 7, 7 if p == 0 else NEAR - 1):
            for b in range(NEAR_ROW):
                near_re[q, b] = np.float32(0)
                near_im[q, b] = np.float32(0)
        if p == 0:
            w_re = carray(samples(s.w_re), (c.partitions, k, k, ROW))
            carray(pointer(s.tap0), (k, 2 * k), np.float64)[i, j] = w_re[0, i, j, 0]
            head = carray(samples(c.head), (2, k, k, 64))[v, i, j]
            for n in range(64):
                head[n] = np.float32(0)
        return
    far_re = carray(samples(c.far_filter_re), (2, c.partitions, k, k, ROW))[v, p, i, j]
    far_im = carray(samples(c.far_filter_im), (2, c.partitions, k, k, ROW))[v, p, i, j]
    for b in range(ROW):
        far_re[b] = np.float32(0)
        far_im[b] = np.float32(0)


@kernel
def _forget_tap0(s, k):
    """Make tap 0 of every path nothing: the inverse was computed in its place."""
    a = carray(pointer(s.tap0), (k, 2 * k), np.float64)
    for i in range(k):
        for j in range(k):
            a[i, j] = 0.0


@kernel
def _invert_tap0(s, c, v):
    """Gauss-Jordan elimination of I + A0, in float64 with pivoting; the identity where it is singular."""
    k = c.channels
    a = carray(pointer(s.tap0), (k, 2 * k), np.float64)
    inverse = carray(samples(c.inverse), (2, k, k))[v]
    for i in range(k):
        for j in range(k):
            a[i, k + j] = 1.0 if i == j else 0.0
        a[i, i] = 1.0
    singular = False
    for col in range(k):
        best = col
        for i in range(col + 1, k):
            if abs(a[i, col]) > abs(a[best, col]):
                best = i
        if abs(a[best, col]) < 1e-3:
            singular = True
            break
        for j in range(2 * k):
            held = a[col, j]
            a[col, j] = a[best, j]
            a[best, j] = held
        scale = 1.0 / a[col, col]
        for j in range(2 * k):
            a[col, j] *= scale
        for i in range(k):
            if i != col and a[i, col] != 0.0:
                factor = a[i, col]
                for j in range(2 * k):
                    a[i, j] -= factor * a[col, j]
    for i in range(k):
        for j in range(k):
            if singular:
                inverse[i, j] = np.float32(1) if i == j else np.float32(0)
            else:
                inverse[j, i] = a[i, k + j]


@kernel
def _copy(source, target):
    for n in range(source.shape[0]):
        target[n] = source[n]


@kernel
def _fill(values, i, j, value):
    for p in range(values.shape[0]):
        for b in range(ROW):
            values[p, i, j, b] = value


@kernel
def _restore(s, c, m):
    """Go back to the last good filters; after two explosions within ten seconds, to none at all."""
    k = c.channels
    shape = (c.partitions, k, k, ROW)
    w_re = carray(samples(s.w_re), shape)
    w_im = carray(samples(s.w_im), shape)
    good_re = carray(samples(s.good_re), shape)
    good_im = carray(samples(s.good_im), shape)
    p = carray(samples(s.p), shape)
    prior = carray(samples(s.prior), (c.partitions,))
    chosen = carray(pointer(s.chosen), (k, k), np.int64)
    leaving = carray(pointer(s.leaving), (k, k), np.int64)
    again = s.restores > 0 and m - s.restored < 1000
    for i in range(k):
        for j in range(k):
            if chosen[i, j] == 0 and (leaving[i, j] or w_re[0, i, j, 0] != np.float32(0)):
                leaving[i, j] = choice.FLUSH
                _fill(w_re, i, j, np.float32(0))
                _fill(w_im, i, j, np.float32(0))
            if chosen[i, j] == 0:
                continue
            for q in range(c.partitions if again else 0):
                for b in range(ROW):
                    p[q, i, j, b] = prior[q]
                    good_re[q, i, j, b] = np.float32(0)
                    good_im[q, i, j, b] = np.float32(0)
            for q in range(c.partitions):
                _copy(good_re[q, i, j], w_re[q, i, j])
                _copy(good_im[q, i, j], w_im[q, i, j])
    s.restored = m
    s.restores += 1
    s.renew = GROUPS
    s.renew_far = 2 * GROUPS


@kernel
def _keep_good(s, c, m):
    """Copy one partition a job, so that a snapshot is never older than a few seconds nor a burst of work."""
    p = (m - s.restored) % 256
    if p >= c.partitions:
        return
    k = c.channels
    shape = (c.partitions, k, k, ROW)
    w_re = carray(samples(s.w_re), shape)[p]
    w_im = carray(samples(s.w_im), shape)[p]
    good_re = carray(samples(s.good_re), shape)[p]
    good_im = carray(samples(s.good_im), shape)[p]
    chosen = carray(pointer(s.chosen), (k, k), np.int64)
    for i in range(k):
        for j in range(k):
            if chosen[i, j]:
                _copy(w_re[i, j], good_re[i, j])
                _copy(w_im[i, j], good_im[i, j])


@kernel
def _tame(s, c, m, i):
    """Shrink a mic's paths while its output has been clearly louder than its input for a third of a second.

    Bleed adds power in the mean, though not in every block: two players in unison may cancel for a while.
    """
    power = carray(samples(c.power), (HISTORY, 2, c.channels))
    before = np.float32(0)
    after = np.float32(0)
    for block in range(m - _TAMED_OVER + 1, m + 1):
        before += power[block % HISTORY, 0, i]
        after += power[block % HISTORY, 1, i]
    if after <= np.float32(2) * before + np.float32(1e-6):
        return
    k = c.channels
    s.renew_far = 2 * GROUPS
    w_re = carray(samples(s.w_re), (c.partitions, k, k * ROW))
    w_im = carray(samples(s.w_im), (c.partitions, k, k * ROW))
    for p in range(c.partitions):
        for n in range(k * ROW):
            w_re[p, i, n] *= np.float32(0.7)
            w_im[p, i, n] *= np.float32(0.7)


@kernel
def _finish(s, c, m, wrote):
    t = carray(record_at(s.instant, _INSTANT), (1,))[0]
    exact = carray(pointer(c.exact), (HISTORY, c.channels), np.int64)
    linear = carray(pointer(t.linear), (c.channels,), np.int64)
    g = carray(record_at(s.guard, _GUARD), (1,))[0]
    anchored = carray(pointer(g.anchored), (c.channels,), np.int64)
    for i in range(c.channels):
        exact[m % HISTORY, i] = linear[i]
        if linear[i] == 0 and anchored[i]:
            exact[m % HISTORY, i] = 2
    carray(pointer(c.wrote), (HISTORY,), np.int64)[m % HISTORY] = wrote
    store_release(c.exchange + 8 * DONE, m + 1)


@kernel
def _be_instant(s, c, t, i):
    """Move the paths of a mic in instantaneous mode to a single tap, over several blocks, and keep them there.

    When it leaves, the Kalman filter goes on from that tap and doubts everything as at the start.
    """
    k = c.channels
    p_all = carray(samples(s.p), (c.partitions, k, k * ROW))
    prior = carray(samples(s.prior), (c.partitions,))
    w_re = carray(samples(s.w_re), (c.partitions, k, k, ROW))
    w_im = carray(samples(s.w_im), (c.partitions, k, k, ROW))
    moving = carray(pointer(t.moving), (k,), np.int64)
    share = np.float32(1) / np.float32(moving[i]) if moving[i] > 0 else np.float32(1) - t.apart_kept
    for p in range(c.partitions if moving[i] > 0 else 1):
        for n in range(k * ROW):
            p_all[p, i, n] = prior[p]
        for j in range(k):
            if j == i:
                continue
            tap = instant.target(t, i, j) if p == 0 else np.float32(0)
            for b in range(BINS):
                w_re[p, i, j, b] += share * (tap - w_re[p, i, j, b])
                w_im[p, i, j, b] -= share * w_im[p, i, j, b]
    moving[i] = max(0, moving[i] - 1)


@kernel
def _let_go(s, c, g, i):
    """Let go of paths between two mics on one source."""
    k = c.channels
    w_re = carray(samples(s.w_re), (c.partitions, k, k, ROW))
    w_im = carray(samples(s.w_im), (c.partitions, k, k, ROW))
    twin = carray(pointer(g.twin), (k, k), np.int64)[i]
    chosen = carray(pointer(s.chosen), (k, k), np.int64)[i]
    for j in range(k):
        if twin[j] and chosen[j]:
            s.renew_far = 2 * GROUPS
            for p in range(c.partitions):
                for b in range(ROW):
                    w_re[p, i, j, b] *= g.shrink_kept
                    w_im[p, i, j, b] *= g.shrink_kept


@kernel
def _learn_all(s, c, t, m, y_power):
    """Learn every path from the partition that has just ended."""
    k = c.channels
    w_re = carray(samples(s.w_re), (c.partitions, k, k, ROW))
    w_im = carray(samples(s.w_im), (c.partitions, k, k, ROW))
    p_all = carray(samples(s.p), (c.partitions, k, k, ROW))
    far_re = carray(samples(c.far_re), (HISTORY, k, ROW))
    far_im = carray(samples(c.far_im), (HISTORY, k, ROW))
    smooth = carray(samples(s.smooth), (k, ROW))
    work = carray(samples(s.work), (6, ROW))
    e_re = work[0]
    e_im = work[1]
    den = work[2]
    prior = carray(samples(s.prior), (c.partitions,))
    linear = carray(pointer(t.linear), (k,), np.int64)
    remembered = carray(samples(s.remembered), (k, ROW))
    drifts = carray(samples(s.drifts), (k,))
    g = carray(record_at(s.guard, _GUARD), (1,))[0]
    freed = carray(pointer(g.freed), (k, k), np.int64)
    chosen = carray(pointer(s.chosen), (k, k), np.int64)
    tracked = (s.tracked, k, k, ROW)
    for i in range(k):
        _tame(s, c, m, i)
        if linear[i]:
            _be_instant(s, c, t, i)
            continue
        _let_go(s, c, g, i)
        _error_spectrum(s, c, m, i, e_re, e_im)
        _wanted_power(e_re, e_im, smooth[i], den, s.smoothing, s.caution)
        for p in range(s.tracked):
            slot = (m - p) % HISTORY
            for j in range(k):
                if chosen[i, j] and freed[i, j]:
                    _add_expected(den, p_all[p, i, j], y_power[slot, j])
        _normalise(e_re, e_im, den)
        if s.choice:
            h = carray(record_at(s.choice, _CHOICE), (1,))[0]
            choice.listen(h, m, i, far_re, far_im, y_power, e_re, e_im, den,
                          carray(samples(s.w_re), tracked), carray(samples(s.w_im), tracked))
        for p in range(s.tracked):
            slot = (m - p) % HISTORY
            noise = drifts[i] * prior[p]
            most = np.float32(10) * prior[p]
            for j in range(k):
                if chosen[i, j] and freed[i, j]:
                    _learn(w_re[p, i, j], w_im[p, i, j], p_all[p, i, j], far_re[slot, j], far_im[slot, j],
                           e_re, e_im, den, remembered[i], noise, most)


@kernel
def _choose(s, c, t, m, y_power):
    """Measure and choose pairs, and take those that leave a step further to zero."""
    k = c.channels
    h = carray(record_at(s.choice, _CHOICE), (1,))[0]
    g = carray(record_at(s.guard, _GUARD), (1,))[0]
    linear = carray(pointer(t.linear), (k,), np.int64)
    chosen = carray(pointer(s.chosen), (k, k), np.int64)
    leaving = carray(pointer(s.leaving), (k, k), np.int64)
    w_re = carray(samples(s.w_re), (c.partitions, k, k, ROW))
    w_im = carray(samples(s.w_im), (c.partitions, k, k, ROW))
    tracked = (s.tracked, k, k, ROW)
    choice.work(h, c, m, y_power, carray(samples(t.x_re), (k, ROW)), carray(samples(t.x_im), (k, ROW)),
                carray(samples(s.w_re), tracked), carray(samples(s.w_im), tracked),
                carray(pointer(g.freed), (k, k), np.int64), linear)
    for i in range(k):
        for j in range(k):
            # A tap that is left behind when its mic leaves the instantaneous mode fades out as a whole path does.
            if chosen[i, j] == 0 and leaving[i, j] == 0 and linear[i] == 0 and w_re[0, i, j, 0] != np.float32(0):
                leaving[i, j] = h.fade_blocks + choice.FLUSH
            left = leaving[i, j] - choice.FLUSH
            if left <= 0:
                continue
            share = np.float32(left - 1) / np.float32(left)
            for p in range(1 if linear[i] else 0, c.partitions):
                for b in range(ROW):
                    w_re[p, i, j, b] *= share
                    w_im[p, i, j, b] *= share


@kernel
def _count_down(s, c, m):
    """After a hand-over, let those pairs go of which both versions are zero and in use."""
    k = c.channels
    h = carray(record_at(s.choice, _CHOICE), (1,))[0]
    leaving = carray(pointer(s.leaving), (k, k), np.int64)
    active = carray(pointer(c.active), (k, k), np.int64)
    since = carray(pointer(h.since), (k, k), np.int64)
    prior = carray(samples(s.prior), (c.partitions,))
    p_all = carray(samples(s.p), (c.partitions, k, k, ROW))
    good_re = carray(samples(s.good_re), (c.partitions, k, k, ROW))
    good_im = carray(samples(s.good_im), (c.partitions, k, k, ROW))
    for i in range(k):
        for j in range(k):
            if leaving[i, j] == 0:
                continue
            # Only jobs in a row hand over every group twice, and wait until the first of them is in use.
            if leaving[i, j] <= choice.FLUSH and m != h.last + 1:
                leaving[i, j] = choice.FLUSH
            leaving[i, j] -= 1
            if leaving[i, j]:
                continue
            active[i, j] = 0
            since[i, j] = m
            for p in range(c.partitions):
                for b in range(ROW):
                    p_all[p, i, j, b] = prior[p]
            _fill(good_re, i, j, np.float32(0))
            _fill(good_im, i, j, np.float32(0))
    h.last = m


@kernel
def _hand_over(s, c, m):
    """Export the partitions whose turn it is to the idle version."""
    k = c.channels
    group = m % GROUPS
    # The idle version must really be idle: what the job four blocks ago wrote has been taken into use.
    sleep_until(c.exchange + 8 * APPLIED, m - GROUPS + 1, c.exchange + 8 * STOP)
    versions = carray(pointer(s.versions), (GROUPS,), np.int64)
    v = 1 - versions[group]
    t = carray(record_at(s.instant, _INSTANT), (1,))[0]
    linear = carray(pointer(t.linear), (k,), np.int64)
    chosen = carray(pointer(s.chosen), (k, k), np.int64)
    leaving = carray(pointer(s.leaving), (k, k), np.int64)
    active = carray(pointer(c.active), (k, k), np.int64)
    if group == 0:
        _forget_tap0(s, k)
    for p in range(group, c.partitions, GROUPS):
        # Both versions of what is not tracked are alike, until it changes.
        renewed = p < s.tracked or s.renew_far > 0
        for i in range(k):
            for j in range(k):
                if chosen[i, j]:
                    if renewed:
                        _export(s, c, p, i, j, v)
                elif leaving[i, j] > choice.FLUSH and active[i, j]:
                    _export(s, c, p, i, j, v)
                elif j != i and (leaving[i, j] or (p == 0 and linear[i])):
                    _export_tap(s, c, p, i, j, v)
    if group == 0:
        _invert_tap0(s, c, v)
    versions[group] = v
    s.renew_far = max(0, s.renew_far - 1)


@kernel
def _adapt(s, c, m):
    """Learn from block m and hand over; True if it was learnt from."""
    k = c.channels
    t = carray(record_at(s.instant, _INSTANT), (1,))[0]
    exchange = carray(pointer(c.exchange), (EXCHANGE,), np.int64)
    y_power = carray(samples(s.y_power), (HISTORY, k, ROW))
    _observe(c, m, y_power)
    if load_acquire(c.exchange + 8 * PUBLISHED) - m > HISTORY - c.partitions - 4:
        s.skipped += 1           # what this job would read is being overwritten
        _finish(s, c, m, 0)
        return False
    if exchange[RESTORE] and m - s.restored > _CALM:
        _restore(s, c, m)
        instant.forget(t)
        _forget_refinement(s)
        store_release(c.exchange + 8 * RESTORE, 0)
    wanted = carray(pointer(c.wanted), (HISTORY,), np.int64)[m % HISTORY]
    if wanted == 0 and s.renew == 0:
        _finish(s, c, m, 0)
        return False
    g = carray(record_at(s.guard, _GUARD), (1,))[0]
    if wanted == 0:
        guard.hold(g, m)
    else:
        instant.learn(t, c, m)
        guard.observe(g, c, t, m)
        _learn_all(s, c, t, m, y_power)
        if s.choice:
            _choose(s, c, t, m, y_power[m % HISTORY])
    s.renew = max(0, s.renew - 1)
    _hand_over(s, c, m)
    if s.choice:
        _count_down(s, c, m)
    _keep_good(s, c, m)
    s.jobs += 1
    _finish(s, c, m, 1)
    return wanted != 0


@kernel
def _forget_refinement(s):
    k = carray(record_at(s.canceller, _CANCELLER), (1,))[0].channels
    remembered = carray(samples(s.remembered), (k * ROW,))
    for n in range(k * ROW):
        remembered[n] = s.memory
    if s.refine:
        refine.forget(carray(record_at(s.refine, REFINE_TYPE), (1,))[0])


@kernel
def _job(s, c, m):
    """Adapt first, as that is due soon; then do a share of the refinement, which hands over whenever it is done."""
    learnt = _adapt(s, c, m)
    if s.refine == 0:
        return
    r = carray(record_at(s.refine, REFINE_TYPE), (1,))[0]
    if learnt:
        refine.take(r, c, m)
        if refine.work(r):
            s.renew_far = 2 * GROUPS
    else:
        refine.forget(r)


@entry(types.int32(types.CPointer(_ADAPT), types.int64))
def adapt_job(state, m):
    """Learn from partition `m`."""
    s = carray(state, (1,))[0]
    _job(s, carray(record_at(s.canceller, _CANCELLER), (1,))[0], m)
    return 0


@entry(types.int32(types.CPointer(_ADAPT), types.int64))
def adapt_export(state, v):
    """Export every partition to version `v`: before the start, and never while audio runs."""
    s = carray(state, (1,))[0]
    c = carray(record_at(s.canceller, _CANCELLER), (1,))[0]
    chosen = carray(pointer(s.chosen), (c.channels, c.channels), np.int64)
    _forget_tap0(s, c.channels)
    for p in range(c.partitions):
        for i in range(c.channels):
            for j in range(c.channels):
                if chosen[i, j]:
                    _export(s, c, p, i, j, v)
                elif j != i:
                    _export_tap(s, c, p, i, j, v)
    _invert_tap0(s, c, v)
    return 0


@entry(types.int32(types.CPointer(_ADAPT), types.int64))
def adapt_forever(state, _argument):
    """Be the helper thread: one job for each partition published, until told to stop."""
    floats = flush_to_zero()
    s = carray(state, (1,))[0]
    c = carray(record_at(s.canceller, _CANCELLER), (1,))[0]
    done = load_acquire(c.exchange + 8 * DONE)
    while load_acquire(c.exchange + 8 * STOP) == 0:
        if sleep_until(c.exchange + 8 * PUBLISHED, done + 1, c.exchange + 8 * STOP):
            _job(s, c, done)
            done += 1
    restore_floats(floats)
    return 0
