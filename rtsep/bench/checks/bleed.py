"""Acceptance of bleed: models of powers (sections 1.5 to 1.7), the rooms of 1.9, the post-filter of 1.12."""

from __future__ import annotations

from functools import cache, partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed
from rtsep.systems.fastmira import FastMira
from rtsep.systems.kamir import Kamir
from rtsep.systems.mira import Mira
from rtsep.systems.postfilter import PostFilter
from rtsep.systems.powermodel import Fit, Power, magnitude2, own_mics, pairs_of
from rtsep.systems.separator import Audio, Passage, Separator
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels.powers import LEAST

_WINDOW, _HOP = 2048, 512   # of SYSTEMS.md's figures
_TRIALS = 3


def passage(scene: sts.Scene) -> Passage:
    """Return a scene's microphones."""
    return Passage(scene.mics.astype(np.float32), sts.RATE, sts.NAMES)


def gain(scene: sts.Scene, cleaned: NDArray[np.floating], first: int = 0) -> float:
    """Return by how many dB the SDR rises, the mean over microphones, from a frame on."""
    after = sts.sdr(scene.images[:, first:], cleaned[:, first:])
    return float(np.mean(after - sts.sdr(scene.images[:, first:], scene.mics[:, first:])))


def _run(system: Separator, scene: sts.Scene) -> tuple[Audio, float]:
    """Return the cleaned microphones and the seconds of work per second of audio."""
    given = passage(scene)

    def work() -> dict[str, Audio]:
        system.fit(given)
        return system.separate(given)

    parts, seconds = timed(work)
    return np.concatenate([parts[name] for name in sts.NAMES]), seconds * sts.RATE / given.sound.shape[1]


def _scene_c_gain(system: Separator, seconds_skipped: float = 0.0) -> Measured:
    scene = sts.scene_c()
    cleaned, cost = _run(system, scene)
    return Measured(gain(scene, cleaned, round(seconds_skipped * sts.RATE)), cost)


def _causal_gain(window: int, steps: int) -> Measured:
    return _scene_c_gain(Mira(window, 4, True, steps=steps), 5.0)


def _sum_of_images() -> Measured:
    scene = sts.scene_a(3.0)
    system = Kamir(_WINDOW, 4, close=";".join(["1,2,3,4"] * 4))
    parts, seconds = timed(lambda: system.separate(passage(scene)))
    together = sum(part.astype(np.float64) for part in parts.values())
    return Measured(float(np.abs(together - scene.mics.astype(np.float32)).max()), seconds / 3)


def _cost_rises() -> Measured:
    """Return the largest step up of the Itakura-Saito cost, beside the cost, over ten rounds without sparsity."""
    power = _power(sts.scene_c())
    floored = power + power.mean(axis=(0, 1)) * np.float64(LEAST)   # as the fit does
    costs = []
    for rounds in range(1, 11):
        leak, found = Fit("mira", rounds)(power, own_mics(4))
        ratio = floored / np.einsum("ijf,jtf->itf", leak.astype(np.float64), found)
        costs.append(float(np.sum(ratio - np.log(ratio) - 1)))
    return Measured(float(np.max(np.diff(costs)) / costs[-1]))


def _power(scene: sts.Scene) -> Power:
    return magnitude2(Spectrum(_WINDOW, _HOP).analyse(scene.mics.astype(np.float32)))


# ------------------------------------------------------------------ against plain NumPy

_FITS = {
    "kamir": Fit("kamir", 5, first_leak=0.8, least_leak=0.05, rows_to_1=True),
    "mira": Fit("mira", 6, sparsity=100.0),
}


def numpy_gains(method: str, v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gains of the own sources as a matrix program writes them down; v float32[bins, mics, frames]."""
    fit = _FITS[method]
    k = v.shape[1]
    v = v / (v.mean(axis=(1, 2), keepdims=True) + np.float32(1e-30)) + LEAST
    own = np.arange(k)
    leak = np.full((len(v), k, k), fit.first_leak, np.float32)
    leak[:, own, own] = 1
    p = v.copy()
    m = leak @ p
    for _ in range(fit.rounds):
        if method == "kamir":
            diagonal = leak[:, own, own][..., None]
            p = np.maximum((diagonal * p / m) ** 2 * v / diagonal, LEAST)
        else:
            total = p.sum(axis=1, keepdims=True)
            mean = np.exp(np.mean(np.log(p), axis=1, keepdims=True))
            back = leak.transpose(0, 2, 1)
            more = back @ (v / (m * m)) + fit.sparsity * k * mean / (total * total)
            less = back @ (1 / m) + fit.sparsity * mean / (p * total)
            p = np.maximum(p * more / less, LEAST)
        m = leak @ p
        leak *= ((v / (m * m)) @ p.transpose(0, 2, 1)) / ((1 / m) @ p.transpose(0, 2, 1))
        if method == "kamir":
            leak = np.maximum(leak / leak.sum(axis=2, keepdims=True), np.float32(fit.least_leak))
        else:
            scale = leak[:, own, own].copy()
            leak /= scale[:, None, :]
            p *= scale[..., None]
        m = leak @ p
    gains: NDArray[np.float32] = leak[:, own, own][..., None] * p / m
    return gains


def our_gains(method: str, power: Power) -> NDArray[np.float32]:
    """Return the same from float32[mics, frames, bins]."""
    own = own_mics(len(power))
    return _FITS[method].gains(*_FITS[method](power, own), pairs_of(own))


def _speed(method: str) -> Measured:
    """Return how many times as fast the kernels are, without the transforms that both need; the median of three."""
    power = _power(sts.scene_c())
    bins_first = np.ascontiguousarray(power.transpose(2, 0, 1))
    ours, theirs = [], []
    for _ in range(_TRIALS):
        ours.append(timed(lambda: our_gains(method, power))[1])
        theirs.append(timed(lambda: numpy_gains(method, bins_first))[1])
    reference = f"plain NumPy {np.__version__}: {median(theirs) / 10:.4f} s/s"
    return Measured(median(theirs) / median(ours), median(ours) / 10, reference)


# ------------------------------------------------------------------ FastMIRA

@cache
def _minute() -> tuple[sts.Scene, Power, NDArray[np.float32]]:
    """Return Scene A of 60 s, full MIRA's leaks and the energies float32[sources, bins] that weigh them."""
    scene = sts.scene_a(60.0)
    leak, found = Fit("mira", 6, sparsity=100.0)(_power(scene), own_mics(4))
    return scene, leak, found.sum(axis=1)


def amplitudes(leak: Power, energy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return Λ[mics, sources]: amplitudes √(L_ij / L_jj), weighted over bins by the sources' energy."""
    own = np.diagonal(leak).T
    result: NDArray[np.float64] = (np.sqrt(leak / own) * energy).sum(axis=2, dtype=np.float64) / energy.sum(axis=1)
    return result


def _fastmira(against: str, sketch: str = "frames") -> Measured:
    scene, leak, energy = _minute()
    system = FastMira(_WINDOW, 4, sketch=sketch)
    _, seconds = timed(lambda: system.fit(passage(scene)))
    assert system.leak is not None
    found = amplitudes(system.leak, energy)
    assert scene.mixing is not None
    truth = amplitudes(leak, energy) if against == "mira" else scene.mixing
    return Measured(float(np.abs(found - truth).max()), seconds / 60)


# ------------------------------------------------------------------ rooms

_SDR = (11.8, 9.9, 8.7, 11.3)
_NEIGHBOURS, _FARTHER = ((-15.0, -11.8),), ((-19.0, -15.0), (-24.0, -21.0))


def _levels() -> Measured:
    """Return how far a level lies from where SYSTEMS.md found it: neighbours in one range, the others in two.

    A level is that of a source in another mic beside its own. Two places away it is mostly in the first of the two
    ranges, farther mostly in the second; a bass two places away from a vocal is as weak as one three places away.
    """
    scene = sts.scene_c()
    assert scene.images_all is not None
    level = 10 * np.log10((scene.images_all**2).sum(axis=2))
    level -= np.diag(level)
    distances = [
        min(max(low - level[i, j], level[i, j] - high, 0.0) for low, high in ranges)
        for i in range(4) for j in range(4) if i != j
        for ranges in (_NEIGHBOURS if abs(i - j) == 1 else _FARTHER,)
    ]
    return Measured(float(max(distances)))


def _input_sdr() -> Measured:
    scene = sts.scene_c()
    return Measured(float(np.abs(sts.sdr(scene.images, scene.mics) - _SDR).max()))


# ------------------------------------------------------------------ post-filter

def bleed_index(stems: NDArray[np.floating]) -> float:
    """Return the largest envelope of the normalised cross-correlation of two stems, over pairs and lags, dB."""
    size = 1 << (2 * stems.shape[1] - 1).bit_length()
    spectra = np.fft.rfft(stems.astype(np.float64) / np.linalg.norm(stems, axis=1, keepdims=True), size)
    largest = 0.0
    for i in range(len(stems)):
        for j in range(i):
            analytic = np.zeros(size, np.complex128)
            analytic[: size // 2 + 1] = 2 * spectra[i] * np.conj(spectra[j])
            largest = max(largest, float(np.abs(np.fft.ifft(analytic)).max()))
    return 20 * float(np.log10(largest))


@cache
def _filtered() -> tuple[sts.Scene, Audio, Audio, float]:
    """Return Scene C, its microphones cleaned by the best matrix of gains, the same filtered, and the cost.

    A matrix is what t-UNet and Algorithm 1 find; in a room it is the wrong model, as on live recordings.
    """
    scene = sts.scene_c()
    assert scene.images_all is not None
    mixing = np.einsum("ijt,jt->ij", scene.images_all, scene.images) / (scene.images**2).sum(axis=1)
    cleaned = np.linalg.solve(mixing, scene.mics).astype(np.float32)
    pairs = np.ascontiguousarray(np.stack([scene.mics.astype(np.float32), cleaned], axis=1).reshape(8, -1))
    names = tuple(f"{name} {part}" for name in sts.NAMES for part in ("bleedy", "cleaned"))
    parts, seconds = timed(lambda: PostFilter().separate(Passage(pairs, sts.RATE, names)))
    return scene, cleaned, np.concatenate([parts[name] for name in names[1::2]]), seconds / 10


def _postfilter_sdr() -> Measured:
    scene, cleaned, filtered, cost = _filtered()
    return Measured(gain(scene, filtered) - gain(scene, cleaned), cost)


def _postfilter_index() -> Measured:
    _, cleaned, filtered, cost = _filtered()
    return Measured(bleed_index(cleaned) - bleed_index(filtered), cost)


def _postfilter_silence() -> Measured:
    """Return how many windows of 20 ms are below -60 dBFS behind the filter that were not before it."""
    _, cleaned, filtered, cost = _filtered()
    size = sts.RATE // 50
    quiet = []
    for sound in (cleaned, filtered):
        windows = sound[:, : sound.shape[1] // size * size].reshape(len(sound), -1, size)
        quiet.append((windows**2).mean(axis=2) < 1e-6)
    return Measured(float((quiet[1] & ~quiet[0]).sum()), cost)


CHECKS: tuple[Check, ...] = (
    Check("1.5", "kamir", "Scene C, mean gain", 6.0, True, "dB SDR", lambda: _scene_c_gain(Kamir(_WINDOW, 4))),
    Check("1.5", "kamir", "all mics close to all voices: images less mics", 1e-6, False, "", _sum_of_images),
    Check("1.5", "kamir", "as fast as plain NumPy", 1.0, True, "times", lambda: _speed("kamir"),
          slow=True),
    Check("1.6", "mira", "cost falls in every round: largest rise, ρ = 0", 0.0, False, "of it", _cost_rises),
    Check("1.6", "mira", "Scene C, mean gain", 9.0, True, "dB SDR", lambda: _scene_c_gain(Mira(_WINDOW, 4))),
    Check("1.6", "mira", "Scene C, mean gain (measured less 1 dB)", 10.6, True, "dB SDR",
          lambda: _scene_c_gain(Mira(_WINDOW, 4))),
    *(
        Check("1.6", "mira", f"Scene C, causal, window {window}, {steps} steps, from 5 s on", limit, True, "dB SDR",
              partial(_causal_gain, window, steps))
        for window, steps, limit in
        ((512, 3, 7.2), (1024, 3, 9.7), (1024, 6, 10.0), (2048, 3, 11.3), (2048, 6, 11.9))
    ),
    Check("1.6", "mira", "as fast as plain NumPy", 1.0, True, "times", lambda: _speed("mira"),
          slow=True),
    Check("1.7", "fastmira", "Scene A, 60 s: Λ off full MIRA's", 0.01, False, "", lambda: _fastmira("mira")),
    Check("1.7", "fastmira", "Scene A, 60 s: Λ off the truth", 0.03, False, "", lambda: _fastmira("truth")),
    Check("1.9", "bleed rooms", "Scene C, levels off the table", 1.0, False, "dB", _levels),
    Check("1.9", "bleed rooms", "Scene C, input SDR off the figures", 0.5, False, "dB", _input_sdr),
    Check("1.12", "postfilter", "Scene C behind the best matrix: change of SDR", -0.5, True, "dB", _postfilter_sdr),
    Check("1.12", "postfilter", "Scene C behind the best matrix: bleed index falls", 3.0, True, "dB",
          _postfilter_index),
    Check("1.12", "postfilter", "Scene C behind the best matrix: windows newly silent", 0.0, False, "",
          _postfilter_silence),
)
