"""AuxIVA: unmix in every bin of a spectrum, told which bins belong together by how they sound together.

Use it for a few microphones (two to six) in a room: unlike gains, its matrices hold delays and the echoes within a
window. It only adds up the microphones, so nothing is gated or musical. Do not use it with more sources than
microphones, for echoes much longer than the window, or where sources share few notes or always sound together: on the
close microphones of a band (Scene C of SYSTEMS.md) it does harm, where KAMIR and MIRA help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.stages.masking import Masking, Sizes
from rtsep.stages.spectral import windows
from rtsep.systems.ica import assign
from rtsep.systems.separator import Audio, Passage, by_name
from rtsep.systems.spectrum import Spectra, Spectrum
from rtsep_kernels import auxiva as kernels

_NOISE = 1e-6
"""Of the recording's level, added before learning: two equal mics or a dead one would make a covariance singular."""
_MOST_VALUES = 8_000_000
"""Bins of frames that are learnt from: 128 MB. Of a longer excerpt every n-th frame is taken."""
_QUIET = 1e-8
"""Power of a frame below which nothing is learnt: -80 dBFS."""


_DEFAULTS = SYSTEMS["auxiva"].defaults


@dataclass
class Auxiva:
    """Independent vector analysis by auxiliary functions, each source projected back onto its own microphone.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    iterations : int
    causal : bool
        Online, as the live stage: learnt frame by frame, with the live stage's windows and hop.
    memory_s : float
        With `causal`, time constant of forgetting.

    References
    ----------
    Ono, "Stable and fast update rules for independent vector analysis based on auxiliary function technique", WASPAA
    2011, doi:10.1109/ASPAA.2011.6082320: the implementation is pyroomacoustics'. Online: Taniguchi, Ono, Kawamura,
    Sagayama, HSCMA 2014, doi:10.1109/HSCMA.2014.6843261, with the updates of Scheibler & Ono, "Fast and stable blind
    source separation with rank-1 updates", ICASSP 2020, doi:10.1109/ICASSP40776.2020.9053556, which invert nothing.
    """

    window: int = _DEFAULTS["window"]
    iterations: int = _DEFAULTS["iterations"]
    causal: bool = _DEFAULTS["causal"]
    memory_s: float = _DEFAULTS["memory_s"]

    def fit(self, excerpt: Passage) -> None:
        """See `Separator.fit`."""
        excerpt.demand_channels("auxiva", 2)
        self._state: dict[str, Any] | None = None
        if not self.causal:
            self._unmixing = self._learn(excerpt.sound)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each mic: its own source as it hears it."""
        hop = self.window // (8 if self.causal else 4)
        spectrum = Spectrum(self.window, hop, live=self.causal)
        spectra = spectrum.analyse(passage.sound)
        if self.causal:
            own = self._online(spectra, passage, hop)
        else:
            own = np.einsum("fij,jnf->inf", self._unmixing, spectra)
        return by_name(spectrum.resynthesise(own, passage.sound.shape[1]), passage.names)

    def _learn(self, sound: Audio) -> Spectra:
        """Return matrices, complex64[bins, mics, mics], that give each mic its own source."""
        from pyroomacoustics.bss import auxiva

        spectrum = Spectrum(self.window, self.window // 4)
        apart: Spectra = np.tile(np.eye(len(sound), dtype=np.complex64), (spectrum.bins, 1, 1))
        if sound.shape[1] < self.window:   # all frames are the same one: there is nothing to learn from
            return apart
        level = np.sqrt(np.mean(sound.astype(np.float64) ** 2)) + _NOISE
        noise = _NOISE * level * np.random.default_rng(0).standard_normal(sound.shape)
        spectra = spectrum.analyse((sound + noise).astype(np.float32))
        step = max(1, spectra.size // _MOST_VALUES)
        frames = np.ascontiguousarray(spectra[:, ::step].transpose(1, 2, 0), np.complex128)
        try:
            parts, unmixing = auxiva(frames, n_iter=self.iterations, proj_back=False, return_filters=True)
        except np.linalg.LinAlgError:
            return apart
        if not np.isfinite(unmixing).all():
            return apart
        # alpha[bin, mic, source]: the image of each part in each microphone is alpha times the part.
        cross = np.einsum("tfi,tfn->fin", frames, parts.conj())
        power = np.einsum("tfn,tfn->fn", parts, parts.conj()).real
        alpha = cross / np.maximum(power, 1e-30)[:, None]
        image = np.einsum("fin,fn->in", np.abs(alpha) ** 2, power)
        source = assign(image / image.sum(axis=0))
        mics = np.arange(len(source))
        own: Spectra = (alpha[:, mics, source][..., None] * unmixing[:, source]).astype(np.complex64)
        return own

    def _online(self, spectra: Spectra, passage: Passage, hop: int) -> Spectra:
        """Return the spectra of the own sources; what is learnt is kept for the next passage."""
        k, frames, bins = spectra.shape
        row = -(-bins // 16) * 16
        if self._state is None or passage.first == 0:
            self._state = first_values(Sizes(k, bins, row, self.window, hop, passage.rate), self.memory_s)
        re, im = (np.zeros((frames, k, row), np.float32) for _ in range(2))
        re[..., :bins] = spectra.real.swapaxes(0, 1)
        im[..., :bins] = spectra.imag.swapaxes(0, 1)
        kernels.separate(re, im, **self._state, work=np.empty((2 * k + 5, row), np.float32))
        return np.ascontiguousarray((re + 1j * im)[..., :bins].swapaxes(0, 1), np.complex64)


def first_values(sizes: Sizes, memory_s: float) -> dict[str, Any]:
    """Return what `rtsep_kernels.auxiva` keeps, as it is at the start, and its numbers."""
    k, row = sizes.channels, sizes.row
    unmixing = np.zeros((k, k, 2, row), np.float32)
    unmixing[np.arange(k), np.arange(k), 0] = 1
    frames = memory_s * sizes.rate / sizes.hop
    analysis = windows(sizes.window, sizes.window, sizes.hop)[0].astype(np.float64)
    return {
        "covariances": np.zeros((k, k * (k + 1) // 2, 2, row), np.float32), "unmixing": unmixing,
        "scale": np.zeros((k, 3, row), np.float32), "count": np.zeros(2, np.int64),
        "memory": np.float32(np.exp(-1 / frames)), "warm": round(frames / 2),
        # Noise of that power at one mic has so much in all its bins.
        "quiet": np.float32(_QUIET * np.sum(analysis**2) * sizes.bins),
    }


class AuxivaLive(Masking):
    """AuxIVA online: one update of every matrix a frame.

    The work of a frame grows with the fourth power of the mics: four are easy for one processor at a hop of 256, eight
    are too many for blocks of 64. Until half of `memory_s` has been heard, the microphones pass as they are.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    memory_s : float
        Time constant of forgetting; too short for as many frames as a matrix has numbers, nothing comes of it.
    """

    stage = "auxiva"
    entry = kernels.auxiva
    table = kernels.AUXIVA
    knowledge: Mapping[str, tuple[int, ...]] = {"covariances": (0,), "unmixing": (0, 1), "scale": (0,), "count": ()}

    def configure(self, memory_s: float) -> None:
        """See `Masking.configure`."""
        self._memory_s = memory_s

    def _in_place(self, name: str, array: NDArray[Any]) -> NDArray[Any] | None:
        placed = super()._in_place(name, array)
        if self._places is None or placed is None or name != "covariances":
            return placed
        # Of each source pairs i >= j of mics, the conjugate of the others.
        k = len(self._places)
        pair = np.zeros((k, k), np.int64)
        pair[np.tril_indices(k)] = pair.T[np.tril_indices(k)] = np.arange(k * (k + 1) // 2)
        mics = np.array(self._places)
        i, j = np.tril_indices(k)
        turned: NDArray[Any] = placed[:, pair[mics[i], mics[j]]]
        turned[:, mics[i] < mics[j], 1] *= -1
        return turned

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        return {"pairs": sizes.channels * (sizes.channels + 1) // 2, **first_values(sizes, self._memory_s)}
