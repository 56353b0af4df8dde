"""Masks: every bin is shared among the sources by how loud each is in it.

Use it on mics that each hear one source best: every mic keeps what it hears louder than the others do. With `sources`
(the true ones, in a file or folder) it shows what a mask can reach at most. Do not use it on mics that all hear the
same, as a stereo pair: there is nothing to tell their shares apart; and expect no more than about 12 dB of a mono mix,
for the phase stays that of the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.finite import open_sound
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectra, Spectrum
from rtsep_kernels import masks as kernels

_HALF_ALPHA = {"soft": 0.5, "wiener": 1.0, "binary": 1.0, "multichannel": 1.0}
_REGULARISATION = 1e-8   # of the mixture's mean power, in every direction
_SILENCE = 1e-30         # power where there is none at all


_DEFAULTS = SYSTEMS["masks"].defaults


@dataclass
class Masks:
    """A mask for each source: the microphones themselves, or true sources that are given.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        With the live stage's windows.
    mask : str
        `binary` gives a bin to the loudest, `soft` shares it by magnitude, `wiener` by power, `alpha` by |X|^alpha;
        `multichannel` also knows from where each source comes (EM with full spatial covariances).
    alpha : float
        Exponent of `alpha`.
    iterations : int
        Of `multichannel`.
    logit : bool
        Push masks towards 0 and 1: 1 / (1 + exp(-15 (M - 0.6))). They no longer add up to 1.
    sources : str
        File or folder with the true sources, one a channel, as long as the recording; empty: each microphone is
        taken for its source.

    References
    ----------
    Liutkus & Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP 2015,
    doi:10.1109/ICASSP.2015.7177973. Duong, Vincent, Gribonval, IEEE TASLP 18.7, 2010, doi:10.1109/TASL.2010.2050716;
    the simplified EM of Nugraha, Liutkus, Vincent, EUSIPCO 2016.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    mask: str = _DEFAULTS["mask"]
    alpha: float = _DEFAULTS["alpha"]
    iterations: int = _DEFAULTS["iterations"]
    logit: bool = _DEFAULTS["logit"]
    sources: str = _DEFAULTS["sources"]

    def fit(self, excerpt: Passage) -> None:
        """Learn nothing; refuse one microphone without sources, and sources that do not fit."""
        if self.mask == "multichannel" and (self.causal or self.logit):
            other = "causal" if self.causal else "logit"
            raise InputError("--set mask=multichannel", f"is not possible with {other}", "allowed is one of them")
        if self.sources:
            with open_sound(self.sources) as given:
                if given.rate != excerpt.rate:
                    raise InputError(self.sources, f"has {given.rate} Hz", f"allowed is {excerpt.rate} Hz")
                if given.channels < 2:
                    raise InputError(self.sources, "has one source", "allowed is 2 or more")
        else:
            excerpt.demand_channels("masks", 2)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each microphone, or for each source in all channels."""
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        mixture = levels = spectrum.analyse(passage.sound)
        names = passage.names
        if self.sources:
            with open_sound(self.sources) as given:
                names, sound = given.names, np.zeros((given.channels, passage.sound.shape[1]), np.float32)
                given.seek(min(passage.first, given.frames))
                read = given.read(sound.shape[1])
                sound[:, : read.shape[1]] = read
            levels = spectrum.analyse(sound)
        shares = self.shares((levels.real**2 + levels.imag**2).astype(np.float32))
        samples = passage.sound.shape[1]
        if self.mask == "multichannel":
            images: Spectra = shares[:, None] * mixture[None]
            for _ in range(self.iterations):
                images = filtered(mixture, images)
        parts = {}
        for j, name in enumerate(names):
            channels = slice(None) if self.sources else slice(j, j + 1)   # a microphone's own source in itself
            image = images[j][channels] if self.mask == "multichannel" else shares[j] * mixture[channels]
            parts[name] = spectrum.resynthesise(image, samples)
        return parts

    def shares(self, power: Audio) -> Audio:
        """Return the masks float32[sources, frames, bins] of the powers of the sources."""
        out = np.empty_like(power)
        flat = (len(power), -1)
        half_alpha = np.float32(_HALF_ALPHA.get(self.mask, self.alpha / 2))
        kernels.shares(power.reshape(flat), half_alpha, self.mask == "binary", self.logit, out.reshape(flat))
        return out


def filtered(mixture: Spectra, images: Spectra) -> Spectra:
    """Return the sources' images after one round of multichannel Wiener filtering.

    Parameters
    ----------
    mixture : complex[channels, frames, bins]
    images : complex[sources, channels, frames, bins]
        Estimates; their powers and spatial covariances make the filter W_j = v_j R_j (Σ v_i R_i)⁻¹.

    Returns
    -------
    complex[sources, channels, frames, bins]
        They add up to the mixture: what regularises the inverse is shared out to the sources as well.
    """
    powers = np.mean(images.real**2 + images.imag**2, axis=1, dtype=np.float64)
    turned = images.transpose(0, 3, 1, 2).astype(np.complex128)
    spatial = turned @ turned.conj().swapaxes(2, 3)
    spatial /= powers.sum(axis=1)[..., None, None] + np.finfo(np.float64).tiny
    extra = _REGULARISATION * float(np.mean(mixture.real**2 + mixture.imag**2)) + _SILENCE
    out = np.empty_like(images)
    kernels.multichannel(mixture, powers, spatial, extra, out)
    return out


class MasksLive(Masking):
    """The same in the stream, between the microphones: frame by frame, no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    mask, alpha, logit
        As in `Masks`; not `multichannel`.
    """

    stage = "masks"
    entry = kernels.masks
    table = kernels.MASKS

    def configure(self, mask: str, alpha: float, logit: bool) -> None:
        """See `Masking.configure`."""
        self._half_alpha = _HALF_ALPHA.get(mask, alpha / 2)
        self._binary, self._logit = mask == "binary", logit

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        del sizes   # nothing hangs on them
        return {"binary": self._binary, "logit": self._logit, "half_alpha": self._half_alpha}
