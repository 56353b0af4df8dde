"""Learns the bleed paths of a stage from a recording in which every performer plays alone for some seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rtsep.calibration import Calibration
from rtsep.errors import InputError
from rtsep.systems.solofit import SoloFit
from rtsep.systems.solos import Solo

Float = NDArray[np.float64]
Audio = NDArray[np.float32]

_SHORTEST = 1.0  # s; a shorter passage holds too little to learn a room from
_WINDOW = 1.5  # s; of 1, 1.5 s and frames of 85, 171 ms this pair parted solos from tutti best
_STEP = 0.25  # s
_FRAME = 0.171  # s; shorter frames take the late room for another source
_BAND = (80.0, 8000.0)  # Hz; below is rumble, above the air and the microphones' noise decide
_ACTIVE = 10 ** (-20 / 10)  # of the microphone's own loud level
_RIVAL = 10 ** (-3 / 10)  # a microphone this close to the loudest may be the one that is played
_INCOHERENT = 10 ** (-8 / 10)  # solos in rooms of RT60 .4-.9 s reach -8.6 … -38 dB, tutti -0.6 … -6.9 dB
_TAIL = 10 ** (-40 / 10)


def find_solos(mics: Audio, rate: int) -> list[Solo]:
    """Find the passages in which one performer plays alone.

    A passage of `_WINDOW` seconds is a solo of microphone j when j is near its own loud level, and what the
    other microphones hear is coherent with j, i.e. comes from one source through fixed paths. Where a
    microphone never plays, its loud level is bleed and it looks as loud as the player: then the one that the
    sound reaches first is the player.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz.

    Returns
    -------
    list of Solo
        In the order of time; each at least one second, several of a microphone possible.
    """
    size = 1 << round(math.log2(_FRAME * rate))
    hop = size // 4
    span = max(round(_WINDOW * rate / hop), 2)
    spectra = _spectra(mics, rate, size, hop)
    k, frames, _ = spectra.shape
    starts = range(0, frames - span + 1, max(round(_STEP * rate / hop), 1))
    if k < 2 or not len(starts):
        return []
    power: Float = np.asarray(np.sum(np.abs(spectra) ** 2, axis=2, dtype=np.float64))
    level = np.stack([power[:, s : s + span].mean(1) for s in starts], axis=1)
    # Two seconds at the top, so that one bang does not set it.
    loud: Float = np.asarray(np.sort(level, axis=1)[:, -min(len(starts), round(2 / _STEP))])
    floor: Float = np.asarray(np.percentile(power, 5, axis=1))
    found: list[tuple[int, int, Float]] = []
    for w, start in enumerate(starts):
        near = level[:, w] / np.maximum(loud, 1e-30)
        rivals = [
            j
            for j in range(k)
            if near[j] >= max(_ACTIVE, _RIVAL * near.max()) and level[j, w] > 4 * min(floor[j], loud[j] / 40)
        ]
        apart = {j: _incoherent(spectra[:, start : start + span], j) / span / np.maximum(loud, 1e-30) for j in rivals}
        rivals = [j for j in rivals if apart[j].max() <= _INCOHERENT * near[j]]
        passage = mics[:, start * hop : (start + span - 1) * hop + size]
        player = rivals[0] if len(rivals) == 1 else _first_reached(passage, rivals)
        if player is not None:
            found.append((player, start, apart[player] / near[player]))
    solos: list[Solo] = []
    for j in range(k):
        own = [(start, excess) for player, start, excess in found if player == j]
        if own:
            # A second, softer player stays below the threshold but stands out against the purest passages.
            usual = np.maximum(4 * np.percentile([excess for _, excess in own], 25, axis=0), 1e-2)
            pure = [start for start, excess in own if np.all(excess <= usual)]
            solos += _passages(mics, rate, j, [(s * hop, (s + span - 1) * hop + size) for s in pure], size)
    return sorted(_louder_than_bleed(mics, solos), key=lambda solo: solo.start)


def learn(
    mics: Audio,
    rate: int,
    solos: Sequence[Solo],
    names: Sequence[str],
    taps: int = 16384,
    progress: Callable[[float], None] | None = None,
) -> Calibration:
    """Learn the bleed paths from solos.

    Each path is the most likely filter from the player's microphone to the other one, where others may leak and
    the taps decay as the room does (see `rtsep.systems.solofit`). A player who cannot be heard in the own solo,
    or a solo in which somebody else plays, teaches nothing: confidence 0 and no path.

    Parameters
    ----------
    mics : float32[mics, frames]
        The recording.
    rate : int
        Sampling rate, Hz.
    solos : sequence of Solo
        Who plays alone when; microphones without one teach nothing.
    names : sequence of str
        One per microphone.
    taps : int
        Length of the paths, samples.
    progress : callable, optional
        Called with the part that is done, 0 to 1.

    Returns
    -------
    Calibration
        The paths, the noise floors, the confidence in each path.

    Raises
    ------
    InputError
        Names or solos do not belong to the recording.
    """
    k, frames = mics.shape
    _check_arguments(k, frames, solos, names, taps)
    noise = _noise_floors(mics, rate)
    paths = np.zeros((k, k, taps), dtype=np.float32)
    confidence = np.zeros((k, k), dtype=np.float32)
    own = [[solo for solo in solos if solo.mic == j] for j in range(k)]
    heard = _heard(mics, own)
    loud = _loud_levels(mics, rate)
    for j in range(k):
        if own[j] and _plays(j, heard, loud, noise):
            fit = SoloFit(mics, j, [(solo.start, solo.end) for solo in own[j]], taps, rate)
            left = np.zeros(k)
            for i in range(k):
                if i != j:
                    paths[i, j], left[i] = fit.path(i)
                    confidence[i, j] = _explained(heard[i, j], left[i], noise[i])
                    if progress is not None:
                        progress((j + (i + 1) / k) / k)
            # What is left at microphone i against the level that its own player reaches.
            own_level = np.where(np.isfinite(heard.diagonal()), heard.diagonal(), loud)
            leak = np.maximum(left - 1.5 * noise, 0) / np.maximum(own_level, 1e-30)
            unexplained = 1 - np.delete(confidence[:, j], j)
            if leak.max() > _LEAKY and unexplained.max() > _UNEXPLAINED:
                paths[:, j] = 0
                confidence[:, j] = 0
        if progress is not None:
            progress((j + 1) / k)
    noise_db = (10 * np.log10(np.maximum(noise, 1e-16))).astype(np.float32)
    return Calibration(rate, tuple(names), paths, noise_db, confidence)


_SOFTEST = 10 ** (-3 / 10)  # of the bleed of others in the own microphone
_LEAKY = 10 ** (-10 / 10)  # of a player's own level
_UNEXPLAINED = 0.5  # of the power that a microphone hears in somebody else's solo


def _louder_than_bleed(mics: Audio, solos: list[Solo]) -> list[Solo]:
    """Drop passages in which a microphone hears less than it does of other players: talk, or a slip."""
    heard = _heard(mics, [[s for s in solos if s.mic == j] for j in range(len(mics))])
    np.fill_diagonal(heard, 0)
    bleed = np.nan_to_num(heard).max(axis=1)
    return [s for s in solos if _power([mics[s.mic, s.start : s.end]]) > _SOFTEST * bleed[s.mic] * (s.end - s.start)]


def _plays(j: int, heard: Float, loud: Float, noise: Float) -> bool:
    """Tell whether microphone j is played in its own solo."""
    level = heard[j, j]
    bleed = np.delete(heard[j], j)
    loudest_bleed = np.max(bleed[np.isfinite(bleed)], initial=0.0)
    # Through leaks a silent performer's microphone lies some 40 dB lower; 3 dB leave room for a soft player.
    return bool(level > 4 * noise[j] and level > loud[j] / 100 and level > _SOFTEST * loudest_bleed)


def _explained(heard: float, left: float, noise: float) -> float:
    if heard <= 0:
        return 0.0
    return float(np.clip(1 - max(left - 1.5 * noise, 0.0) / heard, 0, 1))


def _heard(mics: Audio, own: list[list[Solo]]) -> Float:
    """Return power[mic, solo], NaN where there is no solo."""
    k = len(mics)
    heard = np.full((k, k), np.nan)
    for j, passages in enumerate(own):
        if passages:
            energy = sum(np.sum(mics[:, s.start : s.end].astype(np.float64) ** 2, axis=1) for s in passages)
            heard[:, j] = energy / sum(s.end - s.start for s in passages)
    return heard


def _frame_powers(mics: Audio, length: int) -> Float:
    count = max(mics.shape[1] // length, 1)
    framed = mics[:, : count * length].reshape(len(mics), count, -1)
    return np.asarray(np.mean(framed.astype(np.float64) ** 2, axis=2))


def _noise_floors(mics: Audio, rate: int) -> Float:
    return np.asarray(np.percentile(_frame_powers(mics, rate // 20), 2, axis=1))


def _loud_levels(mics: Audio, rate: int) -> Float:
    return np.asarray(np.percentile(_frame_powers(mics, rate), 95, axis=1))


def _power(signals: Sequence[Float | Audio]) -> float:
    return sum(float(np.sum(np.square(s, dtype=np.float64))) for s in signals)


def _check_arguments(k: int, frames: int, solos: Sequence[Solo], names: Sequence[str], taps: int) -> None:
    if len(names) != k:
        raise InputError("names", f"{len(names)} names for {k} microphones", "one name per microphone")
    if taps < 16:
        raise InputError("taps", str(taps), "16 or more")
    for n, solo in enumerate(solos, 1):
        if not 0 <= solo.mic < k:
            raise InputError(f"solo {n}", f"microphone {solo.mic}", f"0 to {k - 1}")
        if not 0 <= solo.start < solo.end <= frames:
            raise InputError(f"solo {n}", f"samples {solo.start} to {solo.end}", f"within 0 to {frames}")


def _spectra(mics: Audio, rate: int, size: int, hop: int) -> NDArray[np.complex64]:
    """Return complex[mics, frames, bins] of the band, tilted so that every octave counts alike."""
    from scipy import fft

    frequency = np.arange(size // 2 + 1) * rate / size
    band = (frequency >= _BAND[0]) & (frequency <= min(_BAND[1], 0.45 * rate))
    tilt = np.sqrt(frequency[band]).astype(np.float32)
    window = np.hanning(size).astype(np.float32)
    count = max((mics.shape[1] - size) // hop + 1, 0)
    spectra = np.empty((len(mics), count, int(band.sum())), dtype=np.complex64)
    for n in range(count):  # frame by frame: all frames at once would hold every sample four times
        spectra[:, n] = fft.rfft(mics[:, n * hop : n * hop + size] * window)[:, band] * tilt
    return spectra


def _incoherent(spectra: NDArray[np.complex64], j: int) -> Float:
    """Return the energy of each microphone that is not coherent with microphone j."""
    frames = spectra.shape[1]
    chance = min(1 / (0.25 * frames * 1.9), 0.5)  # of independent frames among Hann windows, 3/4 overlapped
    energy: Float = np.asarray(np.sum(np.abs(spectra) ** 2, axis=1, dtype=np.float64))
    cross = np.abs(np.einsum("itf,tf->if", spectra, spectra[j].conj())).astype(np.float64) ** 2
    coherence = cross / np.maximum(energy * energy[j], 1e-60)
    coherence = np.clip((coherence - chance) / (1 - chance), 0, 1)
    apart: Float = np.asarray(np.sum(energy * (1 - coherence), axis=1))
    apart[j] = 0
    return apart


def _first_reached(passage: Audio, rivals: list[int]) -> int | None:
    """Return the rival that the sound reaches first; where it reaches all at once, the loudest."""
    if not rivals:
        return None
    lags = {(i, j): _lag(passage[i], passage[j]) for i in rivals for j in rivals if i != j}
    if all(abs(lag) <= 1 for lag in lags.values()):
        return max(rivals, key=lambda j: float(np.sum(passage[j] ** 2)))
    return next((j for j in rivals if all(lags[i, j] > 0 for i in rivals if i != j)), None)


def _lag(late: Audio, early: Audio) -> int:
    """Return by how many samples `late` lags behind `early` (generalised cross-correlation, PHAT)."""
    from scipy import fft

    size = fft.next_fast_len(2 * len(late), real=True)
    cross = fft.rfft(late, size) * np.conj(fft.rfft(early, size))
    correlation = np.abs(fft.irfft(cross / np.maximum(np.abs(cross), 1e-30), size))
    peak = int(np.argmax(correlation))
    return peak if peak < size // 2 else peak - size


def _passages(mics: Audio, rate: int, j: int, windows: list[tuple[int, int]], size: int) -> list[Solo]:
    """Join windows that overlap, and cut the ends in which microphone j rests or somebody else is heard."""
    joined: list[list[int]] = []
    for start, end in windows:
        if joined and start <= joined[-1][1]:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    frame = size // 4
    solos = []
    for start, end in joined:
        spectra = _spectra(mics[:, start:end], rate, frame, frame // 2)
        level: Float = np.asarray(np.sum(np.abs(spectra) ** 2, axis=2, dtype=np.float64))
        playing = level[j] > _ACTIVE * level[j].max()
        bleed: Float = np.asarray(np.median(level[:, playing], axis=1))
        alone = np.all(level <= 4 * np.outer(bleed / bleed[j], level[j]), axis=0)
        sure = np.flatnonzero(alone & playing)
        if len(sure):
            first = start + int(sure[0]) * (frame // 2)
            last = start + int(sure[-1]) * (frame // 2) + frame
            if last - first >= _SHORTEST * rate:
                solos.append(Solo(j, first, last))
    return solos
