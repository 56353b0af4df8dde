"""What KAMIR, MIRA and FastMIRA share: the loops of their offline forms, and their state in the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.stages.masking import Sizes
from rtsep.stages.spectral import windows
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import powerfit, powerlive
from rtsep_kernels.powers import KAMIR, MIRA, WIDTH

Power = NDArray[np.float32]
Pairs = NDArray[np.int64]

_METHODS = {"kamir": KAMIR, "mira": MIRA}
_BINS = 4 * WIDTH   # worked on at a time: bins do not know of each other, and all at once would fill the memory
_QUIET, _SILENCE = 1e-10, 1e-12   # powers beside a full-scale bin's: -100 and -120 dB


def own_mics(count: int) -> Pairs:
    """Return int64[mics, sources] that says whose close mic each is: the unit matrix."""
    return np.eye(count, dtype=np.int64)


def pairs_of(close: Pairs) -> Pairs:
    """Return int64[pairs, 2], mic and source of each that are close, source by source."""
    return np.ascontiguousarray(np.argwhere(close.T)[:, ::-1])


@dataclass(frozen=True)
class Fit:
    """How a whole passage is fitted; see `rtsep_kernels.powerfit.fit`.

    Parameters
    ----------
    method : str
        `kamir` or `mira`.
    rounds, updates : int
        Steps on the powers, and on the leaks in each.
    first_leak : float
        Leak to begin with where a mic is not close.
    sparsity : float
        MIRA's ρ.
    least_leak : float
        KAMIR's.
    rows_to_1, logistic : bool
        KAMIR's.
    median : int
        Frames that KAMIR smooths powers over.
    """

    method: str
    rounds: int
    updates: int = 1
    first_leak: float = 0.5
    sparsity: float = 0.0
    least_leak: float = 0.0
    rows_to_1: bool = False
    logistic: bool = False
    median: int = 1

    def __call__(self, power: Power, close: Pairs, leak: Power | None = None) -> tuple[Power, Power]:
        """Fit leaks and powers.

        Parameters
        ----------
        power : float32[mics, frames, bins]
            |X|².
        close : int64[mics, sources]
            1 where a mic is close to a source.
        leak : float32[mics, sources, bins], optional
            Leaks that are known: only the powers are found.

        Returns
        -------
        leak : float32[mics, sources, bins]
            Power gains.
        powers : float32[sources, frames, bins]
        """
        _, frames, bins = power.shape
        updates = self.updates if leak is None else 0
        if leak is None:
            leak = np.repeat(np.maximum(close, np.float32(self.first_leak))[..., None].astype(np.float32), bins, 2)
        found, powers = np.ascontiguousarray(leak).copy(), np.empty((close.shape[1], frames, bins), np.float32)
        powerfit.fit(
            _METHODS[self.method], np.ascontiguousarray(power), close, found, self.rounds, updates,
            np.float32(self.sparsity), np.float32(self.least_leak), self.rows_to_1, self.median, powers,
        )
        return found, powers

    def gains(self, leak: Power, powers: Power, pairs: Pairs) -> Power:
        """Return the gains, float32[pairs, frames, bins], that leave of a mic what is a source's."""
        result = np.empty((len(pairs), *powers.shape[1:]), np.float32)
        powerfit.gains(leak, powers, pairs, self.logistic, result)
        return result

    def clean(self, spectrum: Spectrum, sound: Audio, close: Pairs, leak: Power | None = None) -> list[Audio]:
        """Return the image of every source in each of its close mics, float32[close mics, frames] each.

        Parameters
        ----------
        spectrum : Spectrum
        sound : float32[mics, frames]
        close, leak
            As for the fit.
        """
        spectra = analyse(spectrum, sound)
        pairs = pairs_of(close)
        alone = np.array_equal(close, own_mics(len(sound)))
        images = spectra if alone else np.empty((len(pairs), *spectra.shape[1:]), np.complex64)
        for first in range(0, spectrum.bins, _BINS):
            part = np.s_[..., first : first + _BINS]
            found, powers = self(magnitude2(spectra[part]), close, None if leak is None else leak[part])
            images[part] = spectra[part][pairs[:, 0]] * self.gains(found, powers, pairs)
        heard = resynthesise(spectrum, images, sound.shape[1])
        return [np.ascontiguousarray(heard[pairs[:, 1] == source]) for source in range(close.shape[1])]


@dataclass(frozen=True)
class Tracking:
    """How the model is followed frame by frame; see `rtsep_kernels.powerlive`.

    Parameters
    ----------
    method, first_leak, sparsity, least_leak, rows_to_1, logistic
        As in `Fit`.
    steps : int
        On the powers in each frame.
    memory_s : float
        Seconds that leaks are learnt from.
    reservoir, share : int
        FastMIRA's: frames kept, and how many of them each frame goes over.
    """

    method: str
    steps: int
    memory_s: float
    first_leak: float = 0.5
    sparsity: float = 0.0
    least_leak: float = 0.0
    rows_to_1: bool = False
    logistic: bool = False
    reservoir: int = 0
    share: int = 0

    def values(self, sizes: Sizes, synthesis: int) -> dict[str, NDArray[Any] | int | float]:
        """Return what `rtsep.stages.masking.Masking.values` does."""
        k = sizes.channels
        blocks = -(-sizes.bins // WIDTH)
        leak = np.full((blocks, k, k, WIDTH), self.first_leak, np.float32)
        leak[:, np.arange(k), np.arange(k)] = 1
        weight = 0.0 if self.reservoir else float(powerlive.BEGIN_WEIGHT)
        full = float((windows(sizes.window, synthesis, sizes.hop)[0] ** 2).sum())
        return {
            "method": _METHODS[self.method], "blocks": blocks, "steps": self.steps,
            "logistic": self.logistic, "rows_to_1": self.rows_to_1, "sparsity": self.sparsity,
            "least_leak": self.least_leak, "silence": _SILENCE * full, "quiet": _QUIET * full,
            "memory": max(1.0, self.memory_s * sizes.rate / sizes.hop), "close": np.eye(k, dtype=np.float32),
            "leak": leak, "above": weight * leak, "below": weight, "size": self.reservoir, "share": self.share,
        }


class Causal:
    """The offline side of a live stage: the same frames, the same kernel, from passage to passage.

    Parameters
    ----------
    tracking : Tracking
    spectrum : Spectrum
        With `live` windows.
    channels, rate : int

    Attributes
    ----------
    state : State
        A record of `rtsep_kernels.powerlive.POWERS`.
    """

    def __init__(self, tracking: Tracking, spectrum: Spectrum, channels: int, rate: int) -> None:
        self._spectrum = spectrum
        sizes = Sizes(channels, spectrum.bins, spectrum.bins, spectrum.window, spectrum.hop, rate)
        self.state = powerlive.POWERS.make(
            channels=channels, bins=spectrum.bins, row=spectrum.bins,
            power=np.zeros((channels, spectrum.bins), np.float32), **tracking.values(sizes, spectrum.window),
        )
        self.state.start()

    @property
    def leak(self) -> Power:
        """Leaks as learnt so far, float32[mics, sources, bins]."""
        return np.concatenate(list(self.state["leak"]), axis=2)[..., : self._spectrum.bins]

    def clean(self, sound: Audio) -> Audio:
        """Return the image of each mic's own source in it, float32[mics, frames]."""
        spectra = analyse(self._spectrum, sound)
        masks = np.empty(spectra.shape, np.float32)
        powerlive.masks(self.state.record, magnitude2(spectra), masks)
        spectra *= masks
        return resynthesise(self._spectrum, spectra, sound.shape[1])


class PowerModel:
    """What the live stages of the three add to `Masking`: kernel, record, and its arrays from a `Tracking`."""

    entry = powerlive.powers
    table = powerlive.POWERS
    knowledge: Mapping[str, tuple[int, ...]] = {"leak": (1, 2), "above": (1, 2), "below": (1, 2)}
    pairwise = True
    _tracking: Tracking
    _synthesis: int

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        return self._tracking.values(sizes, self._synthesis)


class Follower:
    """Keeps a `Causal` from passage to passage of one recording."""

    def __init__(self) -> None:
        self._causal: Causal | None = None

    def clean(self, tracking: Tracking, spectrum: Spectrum, passage: Passage) -> Audio:
        """Go on where the passage before ended, or begin."""
        if self._causal is None or passage.first == 0:
            self._causal = Causal(tracking, spectrum, len(passage.sound), passage.rate)
        return self._causal.clean(passage.sound)


def analyse(spectrum: Spectrum, sound: Audio) -> NDArray[np.complex64]:
    """Return what `Spectrum.analyse` does; mic by mic, as its frames take twice the memory of the spectra."""
    spectra = np.empty((len(sound), spectrum.count(sound.shape[1]), spectrum.bins), np.complex64)
    for mic in range(len(sound)):
        spectra[mic] = spectrum.analyse(sound[mic : mic + 1])[0]
    return spectra


def resynthesise(spectrum: Spectrum, spectra: NDArray[np.complexfloating[Any, Any]], samples: int) -> Audio:
    """Return what `Spectrum.resynthesise` does, mic by mic."""
    sound = np.empty((len(spectra), samples), np.float32)
    for mic in range(len(spectra)):
        sound[mic] = spectrum.resynthesise(spectra[mic : mic + 1], samples)[0]
    return sound


def magnitude2(spectra: NDArray[np.complexfloating[Any, Any]]) -> Power:
    """Return |X|² in one piece."""
    power: Power = np.ascontiguousarray(spectra.real**2 + spectra.imag**2, dtype=np.float32)
    return power


def demand(system: str, passage: Passage, window: int, overlap: int) -> None:
    """Raise InputError for a recording or for windows that no model of powers can use."""
    passage.demand_channels(system, 2)
    if window % overlap:
        raise InputError(f"{system}.overlap", f"{overlap} frames to a window of {window}", "allowed is a divisor of it")
