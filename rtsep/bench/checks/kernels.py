"""Acceptance of section 3, masks and kernel methods, and of 4.7, which is made of them."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version
from rtsep.systems import yin
from rtsep.systems.cascade import Cascade
from rtsep.systems.hpss import Hpss
from rtsep.systems.kam import Kam
from rtsep.systems.masks import Masks
from rtsep.systems.repet import Repet
from rtsep.systems.repet_sim import RepetSim
from rtsep.systems.separator import Audio, Passage, Separator
from rtsep.systems.spectrum import Spectrum

_SECONDS = 10
_TIMES = 3   # of which a speed is the median


def _passage(mix: NDArray[np.floating]) -> Passage:
    return Passage(np.atleast_2d(mix).astype(np.float32), sts.RATE, ("mix",))


def _run(system: Separator, mix: sts.Signal) -> tuple[dict[str, Audio], float]:
    """Return the parts of a mono mix, and the seconds of work for each second of it."""
    passage = _passage(mix)
    system.fit(passage)
    system.separate(passage)
    parts, seconds = timed(lambda: system.separate(passage))
    return parts, seconds * sts.RATE / len(mix)


# --- 3.1 -------------------------------------------------------------------------------------------------------------
def _oracle(mask: str) -> tuple[sts.Signal, sts.Signal, float]:
    """Return the true sources, what masks made of them leave of their mono mix, and the cost."""
    sources = sts.sources()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "sources.wav")
        soundfile.write(path, sources.T, sts.RATE, subtype="FLOAT")
        parts, cost = _run(Masks(mask=mask, sources=path), sources.sum(axis=0))
    return sources, np.concatenate(list(parts.values())).astype(np.float64), cost


def _norbert(sources: sts.Signal) -> str:
    if not version("norbert"):
        return ""
    import norbert

    spectrum = Spectrum(2048, 512)
    mixture = np.ascontiguousarray(spectrum.analyse(sources.sum(axis=0)[None]).transpose(1, 2, 0))
    powers = np.abs(spectrum.analyse(sources).transpose(1, 2, 0)[:, :, None]) ** 2
    shares, cost = timed(lambda: norbert.wiener(powers, mixture, iterations=0))
    found = spectrum.resynthesise(np.ascontiguousarray(shares[:, :, 0].transpose(2, 0, 1)), sources.shape[1])
    return f"{version('norbert')}: {sts.sdr(sources, found).min():.2f} dB, {cost / _SECONDS:.4f} s/s without spectra"


def _masks_wiener() -> Measured:
    sources, found, cost = _oracle("wiener")
    return Measured(float(sts.sdr(sources, found).min()), cost, _norbert(sources))


def _masks_order() -> Measured:
    sources, found, cost = _oracle("wiener")
    binary = _oracle("binary")[1]
    return Measured(float((sts.sdr(sources, found) - sts.sdr(sources, binary)).min()), cost)


def _masks_mix() -> Measured:
    sources, found, cost = _oracle("wiener")
    return Measured(float(np.abs(found.sum(axis=0) - sources.sum(axis=0)).max()), cost)


def _masks_sum() -> Measured:
    spectra = Spectrum(2048, 512).analyse(sts.sources().astype(np.float32))
    power = (spectra.real**2 + spectra.imag**2).astype(np.float32)
    power[:, :20] = 0   # near-silent bins are where masks get lost
    power[:, 20:40] *= np.float32(1e-15)
    sums = [Masks(mask=mask).shares(power).sum(axis=0) for mask in ("binary", "soft", "wiener", "alpha")]
    return Measured(max(float(np.abs(total - 1).max()) for total in sums))


# --- 3.2 -------------------------------------------------------------------------------------------------------------

def _tones_and_clicks() -> tuple[sts.Signal, sts.Signal]:
    """Return two sines (440, 660 Hz) and short bursts of noise, 27 dB weaker, 10 s."""
    rng = np.random.default_rng(0)
    time = np.arange(10 * sts.RATE) / sts.RATE
    tones = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 660 * time)
    clicks = np.zeros_like(tones)
    for start in range(0, len(clicks) - 400, sts.RATE // 4):
        clicks[start : start + 400] = rng.standard_normal(400) * np.exp(-np.arange(400) / 80)
    clicks *= np.sqrt((tones**2).sum() / (clicks**2).sum()) * 10 ** (-13.6 / 20)
    return tones, clicks


def _hpss(part: str) -> Measured:
    tones, clicks = _tones_and_clicks()
    mix = tones + clicks
    parts, cost = _run(Hpss(window=1024), mix)
    truth = tones if part == "harmonic" else clicks
    which = 0 if part == "harmonic" else 1
    references = []
    if version("librosa"):
        import librosa

        single = mix.astype(np.float32)
        librosa.effects.hpss(single[:4096], kernel_size=31, n_fft=1024)
        theirs, seconds = timed(lambda: librosa.effects.hpss(single, kernel_size=31, n_fft=1024))
        references.append(_told("librosa", float(sts.sdr(truth, theirs[which])), seconds))
    if version("libfmp"):
        from libfmp.c8 import hps

        hps(mix[:4096], sts.RATE, 1024, 512, 0.2, 500, mask="soft")
        theirs, seconds = timed(lambda: hps(mix, sts.RATE, 1024, 512, 0.2, 500, mask="soft"))
        references.append(_told("libfmp", float(sts.sdr(truth, theirs[which])), seconds))
    return Measured(float(sts.sdr(truth, parts[part][0])), cost, "; ".join(references))


def _hpss_speed() -> Measured:
    tones, clicks = _tones_and_clicks()
    _run(Hpss(window=1024), tones)
    mix = (tones + clicks).astype(np.float32)
    system, length = Hpss(window=1024), len(mix) / sts.RATE
    own = [timed(lambda: system.separate(_passage(mix)))[1] for _ in range(_TIMES)]
    if not version("librosa"):
        return Measured(float("nan"), statistics.median(own) / length)
    import librosa

    librosa.effects.hpss(mix[:4096], kernel_size=31, n_fft=1024)
    theirs = [timed(lambda: librosa.effects.hpss(mix, kernel_size=31, n_fft=1024))[1] for _ in range(_TIMES)]
    told = f"{version('librosa')}: {statistics.median(theirs) / length:.3f} s/s"
    return Measured(statistics.median(theirs) / statistics.median(own), statistics.median(own) / length, told)


def _told(package: str, figure: float, seconds: float) -> str:
    return f"{version(package)}: {figure:.1f} dB, {seconds / _SECONDS:.4f} s/s"


# --- 3.3 -------------------------------------------------------------------------------------------------------------
_PERIOD = 1.0   # seconds


def _loop_and_voice() -> tuple[sts.Signal, sts.Signal]:
    """Return the first second of bass and drums again and again, and the voice, 3.1 dB weaker."""
    voice, bass, drums, _ = sts.sources()
    bar = (bass + drums)[: round(_PERIOD * sts.RATE)]
    loop = np.tile(bar, -(-len(voice) // len(bar)))[: len(voice)]
    return loop * np.sqrt(np.sum(voice**2) / np.sum(loop**2)) * 10 ** (3.1 / 20), voice


def _repet() -> Measured:
    loop, voice = _loop_and_voice()
    parts, cost = _run(Repet(period_s=_PERIOD), loop + voice)
    gain = sts.sdr(loop, parts["background"][0]) - sts.sdr(loop, loop + voice)
    return Measured(float(gain), cost)


def similar_frames(mix: Audio, median: Callable[[Audio, int], Audio]) -> Audio:
    """Return the background of a sound by someone else's median of similar frames, called with magnitudes."""
    spectrum = Spectrum(2048, 512)
    spectra = spectrum.analyse(mix[None])[0]
    magnitudes = np.abs(spectra)
    model = np.minimum(median(magnitudes, sts.RATE // 512), magnitudes)
    mask = (model + np.float32(1e-10)) / (magnitudes + np.float32(1e-10))
    sound: Audio = spectrum.resynthesise((mask * spectra)[None], len(mix))[0].astype(np.float32)
    return sound


def numpy_median(magnitudes: Audio, apart: int) -> Audio:
    """Return REPET-SIM's model as one would write it first: all similarities, and a median for each frame."""
    directions = magnitudes / (np.linalg.norm(magnitudes, axis=1, keepdims=True) + 1e-10)
    similarity = directions @ directions.T
    out = np.empty_like(magnitudes)
    for n, row in enumerate(similarity):
        order: list[int] = []
        for place in np.argsort(-row):
            if row[place] > 0 and all(abs(place - other) >= apart for other in order):
                order.append(int(place))
            if len(order) == 100:
                break
        out[n] = np.median(magnitudes[order or [n]], axis=0)
    return out


def librosa_median(magnitudes: Audio, apart: int) -> Audio:
    """Return what librosa's nearest neighbours give."""
    import librosa

    found = librosa.decompose.nn_filter(
        np.ascontiguousarray(magnitudes.T), aggregate=np.median, metric="cosine", width=apart
    )
    turned: Audio = np.ascontiguousarray(found.T, dtype=np.float32)
    return turned


def _repet_sim_speed() -> Measured:
    loop, voice = _loop_and_voice()
    rng = np.random.default_rng(0)
    mix = (np.tile(loop + voice, 2) + 1e-4 * rng.standard_normal(2 * len(loop))).astype(np.float32)
    _run(RepetSim(), loop)
    # The voice and the loop are known over the first half; all of it is timed.
    own, theirs = [], []
    median, name = (librosa_median, "librosa") if version("librosa") else (numpy_median, "numpy")
    similar_frames(mix[: 2 * sts.RATE], median)
    system = RepetSim()
    for _ in range(_TIMES):
        system.fit(_passage(mix))
        parts, seconds = timed(lambda: system.separate(_passage(mix)))
        other, others = timed(lambda: similar_frames(mix, median))
        own.append(seconds)
        theirs.append(others)
    half, length = slice(0, len(loop)), len(mix) / sts.RATE
    figures = [float(sts.sdr(loop, found[half])) for found in (parts["background"][0], other)]
    told = f"{version(name)}: {figures[1]:.1f} dB of the loop, {statistics.median(theirs) / length:.3f} s/s; "
    told += f"here {figures[0]:.1f} dB"
    return Measured(statistics.median(theirs) / statistics.median(own), statistics.median(own) / length, told)


# --- 3.4 -------------------------------------------------------------------------------------------------------------
def _kam() -> Measured:
    """Return how far from soft HPSS kernels of 19 frames and of 19 bins end, in either part."""
    tones, clicks = _tones_and_clicks()
    window, hop = 1024, 256
    across, along = 19 * hop / sts.RATE * 1000, 19 * sts.RATE / window
    parts, cost = _run(
        Kam(window=window, iterations=1, harmonic_ms=across, percussive_hz=along), tones + clicks
    )
    kam = [sts.sdr(tones, parts["horizontal"][0]), sts.sdr(clicks, parts["vertical"][0])]
    if version("librosa"):
        import librosa

        spectrum = Spectrum(window, hop)
        spectra = spectrum.analyse((tones + clicks).astype(np.float32)[None])[0]
        power = np.ascontiguousarray((spectra.real**2 + spectra.imag**2).T)
        masks, seconds = timed(lambda: librosa.decompose.hpss(power, kernel_size=19, power=1.0, mask=True))
        found = [spectrum.resynthesise((mask.T * spectra)[None], len(tones))[0] for mask in masks]
        figures = [sts.sdr(tones, found[0]), sts.sdr(clicks, found[1])]
        reference = f"{version('librosa')}: {figures[0]:.1f} / {figures[1]:.1f} dB, {seconds / _SECONDS:.4f} s/s; "
        reference += f"here {kam[0]:.1f} / {kam[1]:.1f} dB"
    else:
        reference = ""
    parts = _run(Hpss(window=window, harmonic_ms=across, percussive_hz=along), tones + clicks)[0]
    hpss = [sts.sdr(tones, parts["harmonic"][0]), sts.sdr(clicks, parts["percussive"][0])]
    return Measured(float(max(abs(one - other) for one, other in zip(kam, hpss, strict=True))), cost, reference)


# --- 3.5 and 4.7 -----------------------------------------------------------------------------------------------------
def _yin_tone() -> Measured:
    tone = (0.5 * np.sin(2 * np.pi * 220 * np.arange(2 * sts.RATE) / sts.RATE)).astype(np.float32)

    def cents(pitch: NDArray[np.floating]) -> float:
        return float(np.abs(1200 * np.log2(pitch / 220)).max())

    yin.track(tone, sts.RATE, 2048, 512, 98.0, 400.0, 0.15)
    (pitch, _), seconds = timed(lambda: yin.track(tone, sts.RATE, 2048, 512, 98.0, 400.0, 0.15))
    reference = ""
    if version("librosa"):
        import librosa

        librosa.yin(tone[:8192], fmin=98, fmax=400, sr=sts.RATE, trough_threshold=0.15)
        theirs, cost = timed(lambda: librosa.yin(tone, fmin=98, fmax=400, sr=sts.RATE, trough_threshold=0.15))
        # Its first and last frames are half silence.
        reference = f"{version('librosa')}: {cents(theirs[2:-2]):.2f} cents, {cost / 2:.4f} s/s"
    return Measured(cents(pitch[4:-4]), seconds / 2, reference)


def _voice_and_drums() -> tuple[sts.Signal, sts.Signal]:
    voice, _, drums, _ = sts.sources()
    return voice, voice + drums


def _gain(system: Separator) -> Measured:
    voice, mix = _voice_and_drums()
    parts, cost = _run(system, mix)
    return Measured(float(sts.sdr(voice, parts["voice"][0]) - sts.sdr(voice, mix)), cost)


def _cascade_sum() -> Measured:
    _, mix = _voice_and_drums()
    (voice, accompaniment), seconds = timed(lambda: Cascade().extract(mix, sts.RATE))
    return Measured(float(np.abs(voice + accompaniment - mix).max()), seconds / _SECONDS)


CHECKS = (
    Check("3.1", "masks", "masks of STS, silence among it: sum off 1", 1e-6, False, "", _masks_sum),
    Check("3.1", "masks", "STS, mono mix of 4: estimates' sum off the mix", 1e-6, False, "", _masks_mix),
    Check("3.1", "masks", "STS, mono mix of 4: oracle Wiener, worst source", 10.0, True, "dB SDR", _masks_wiener),
    Check("3.1", "masks", "STS, mono mix of 4: Wiener above the binary mask, worst source", 0.0, True, "dB",
          _masks_order),
    Check("3.2", "hpss", "sines and clicks: harmonic part", 30.0, True, "dB SDR", lambda: _hpss("harmonic")),
    Check("3.2", "hpss", "sines and clicks: percussive part", 17.0, True, "dB SDR", lambda: _hpss("percussive")),
    Check("3.3", "repet", "a loop of known period under a voice: background", 13.0, True, "dB SDR gain", _repet),
    Check("3.3", "repet-sim", "the reference's time on the same input", 1.0, True, "times", _repet_sim_speed,
          slow=True),
    Check("3.2", "hpss", "the reference's time on the same input", 1.0, True, "times", _hpss_speed, slow=True),
    Check("3.4", "kam", "sines and clicks, kernels of 19, one iteration: off soft HPSS", 1.0, False, "dB", _kam),
    Check("3.5", "yin", "a tone of 220 Hz: worst error", 5.0, False, "cents", _yin_tone),
    Check("3.5", "yin", "STS voice over drums, comb mask: voice", 7.0, True, "dB SDR gain", lambda: _gain(yin.Yin())),
    Check("4.7", "cascade", "STS voice over drums: voice and accompaniment off the mix", 1e-12, False, "",
          _cascade_sum),
    Check("4.7", "cascade", "STS voice over drums: voice", 6.0, True, "dB SDR gain", lambda: _gain(Cascade())),
)
