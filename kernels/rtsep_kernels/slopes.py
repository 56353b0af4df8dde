"""What gains leave of a concert, and its slopes: `rtsep.train.postfilter.sums` says what that is. For training only.

Unlike in every other kernel the compiler may round as it likes: nobody is promised these bits.
"""

import numba
import numpy as np

from rtsep_kernels.learned import LIMIT

SETTLING = 10        # steps that are not counted: the gains begin open
_LN2 = np.float32(np.log(2.0))
_ONE = np.float32(1)

_fast = numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)


@_fast
def forward(weights, odds, weighed, cleaned, both, truth, counts, below, above, share, floor, release, gains, opened):
    """Return the sums of each mic; keep gains, and how far they were to open, for `backward`."""
    mics, steps, bins = odds.shape
    power, common, harm = np.zeros(mics), np.zeros(mics), np.zeros(mics)
    now, gain = np.empty(bins, np.float32), np.empty(bins, np.float32)
    for m in range(mics):
        gain[:] = _ONE
        for t in range(steps):
            for b in range(bins):
                low, high = weights[m, t, 0, below[b]], weights[m, t, 0, above[b]]
                now[b] = odds[m, t, b] + low + (high - low) * share[b]
            for e in range(weighed.shape[1]):
                for b in range(bins):
                    low, high = weights[m, t, e + 1, below[b]], weights[m, t, e + 1, above[b]]
                    now[b] += (low + (high - low) * share[b]) * weighed[m, e, t, b]
            a, c, h = np.float32(0), np.float32(0), np.float32(0)
            for b in range(bins):
                limited = min(max(now[b], -LIMIT), LIMIT)
                open_ = _ONE / (_ONE + np.exp(-limited * _LN2))
                wanted = floor + (_ONE - floor) * open_
                gain[b] = wanted if wanted > gain[b] else gain[b] + (wanted - gain[b]) * release
                gains[m, t, b], opened[m, t, b] = gain[b], open_
                a += gain[b] * gain[b] * cleaned[m, t, b] * counts[b]
                c += gain[b] * both[m, t, b] * counts[b]
                h += (_ONE - gain[b]) ** 2 * truth[m, t, b] * counts[b]
            if t >= SETTLING:
                power[m] += a
                common[m] += c
                harm[m] += h
    return power, common, harm


@_fast
def backward(odds, weighed, cleaned, both, truth, counts, below, above, share, floor, release, gains, opened,
             by_power, by_common, by_harm, slopes):
    """Add to `slopes` how a function of the sums, of which `by_…` are the slopes, depends on the weights."""
    mics, steps, bins = odds.shape
    carried, slope = np.empty(bins, np.float32), np.empty(bins, np.float32)
    for m in range(mics):
        carried[:] = np.float32(0)
        for t in range(steps - 1, -1, -1):
            for b in range(bins):
                gain, here = gains[m, t, b], carried[b]
                if t >= SETTLING:
                    here += counts[b] * (
                        2 * gain * cleaned[m, t, b] * by_power[m] + both[m, t, b] * by_common[m]
                        - 2 * (_ONE - gain) * truth[m, t, b] * by_harm[m]
                    )
                before = gains[m, t - 1, b] if t > 0 else _ONE
                open_ = opened[m, t, b]
                if floor + (_ONE - floor) * open_ > before:
                    carried[b] = np.float32(0)
                else:
                    carried[b] = here * (_ONE - release)
                    here = here * release
                slope[b] = here * (_ONE - floor) * open_ * (_ONE - open_) * _LN2
            for b in range(bins):
                part = slope[b] * share[b]
                slopes[m, t, 0, above[b]] += part
                slopes[m, t, 0, below[b]] += slope[b] - part
            for e in range(weighed.shape[1]):
                for b in range(bins):
                    whole_ = slope[b] * weighed[m, e, t, b]
                    part = whole_ * share[b]
                    slopes[m, t, e + 1, above[b]] += part
                    slopes[m, t, e + 1, below[b]] += whole_ - part
