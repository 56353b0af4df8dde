"""PROJET: sources that overlap, told apart by how loud they are in projections that each cancel another place.

Use it for a stereo mix of panned sources that play at the same time: where DUET gives a bin to one source, PROJET
shares it. Do not use it for sources with the same pan, nor in a reverberant room; in the stream it knows pans only,
no delays. It costs more than DUET, much more with delays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems.duet import Duet
from rtsep.systems.pairs import even_angles, forgetting, in_place, planes, quiet
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectra, Spectrum
from rtsep_kernels import duet
from rtsep_kernels import projet as kernels

Wide = NDArray[np.float64]

_PLACE_DELAYS, _LOOK_DELAYS = 17, 9   # of the grid of places, and of the projections
_LEARN_BINS = 256                     # with delays, from which Q is learnt: it is the same in all
_MOST_VALUES = 1 << 22                # magnitudes of projections that Q is learnt from
_CHUNK = 1 << 16                      # columns that are separated at once
_BUMP_DEGREES = 5.0                   # around a peak of DUET, where a source is looked for at first
_WIDE_BUMP_DEGREES = 12.0             # the same where only its sector is known
_ELSEWHERE = 1e-3                     # as a share of the bump: places outside are not excluded
_PRIOR = 1e-3                         # weight of the first Q in the recursive sums: less than any frame's


_DEFAULTS = SYSTEMS["projet"].defaults


@dataclass
class Projet:
    """Projection-based separation: Q (where each source is) learnt once, P (how loud) in every bin.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        Learn Q while running, with the live stage's windows; pans only.
    sources : int
    iterations : int
        Updates of Q and P while learning, and of P in every bin of the recording.
    max_delay : float
        Largest delay between the channels, samples; 0: sources differ by pan only.
    updates : int
        With `causal`, updates of P in a frame; it starts from the frame before.
    memory_s : float
        With `causal`, time after which what was learnt counts 1/e. To follow a source that moves takes several
        times as long.

    References
    ----------
    FitzGerald, Liutkus, Badeau, "Projection-based demixing of spatial audio", IEEE/ACM TASLP 24(9), 2016,
    doi:10.1109/TASLP.2016.2570945. The filter is P_j k_m Q_j over its sum: a product, not a quotient as in nussl.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    sources: int = _DEFAULTS["sources"]
    iterations: int = _DEFAULTS["iterations"]
    max_delay: float = _DEFAULTS["max_delay"]
    updates: int = _DEFAULTS["updates"]
    memory_s: float = _DEFAULTS["memory_s"]
    _places: Wide = field(init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Learn Q, starting from the peaks of DUET; see `Separator.fit`."""
        excerpt.demand_channels("projet", 2, 2)
        if self.causal:
            if self.max_delay:
                raise InputError("max_delay", f"{self.max_delay:g} with causal", "allowed is 0: pans only")
            return
        scout = Duet(self.window, sources=self.sources, max_delay=self.max_delay)
        scout.fit(excerpt)
        self._places = self._bumps(scout.peaks)
        groups = list(self._lessons(excerpt))
        columns = max(len(seen[0]) for seen, _ in groups)
        work = np.empty((self.sources + 1, columns), np.float32)
        levels = [self._flat(seen) for seen, _ in groups]
        for _ in range(self.iterations):
            self._step(groups, levels, work)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `source1`, `source2`, ... from left to right, in stereo."""
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        spectra = spectrum.analyse(passage.sound)
        frames = passage.sound.shape[1]
        images = self._followed(spectra, passage.rate) if self.causal else self._filtered(spectra)
        return {f"source{j + 1}": spectrum.resynthesise(image, frames) for j, image in enumerate(images)}

    def _filtered(self, spectra: Spectra) -> Spectra:
        """Return the images, complex64[sources, 2, frames, bins]."""
        images = np.empty((self.sources, *spectra.shape), np.complex64)
        projections = Projections(self.max_delay)
        for where, omega in self._blocks(spectra):
            part = spectra[where]
            columns = part.reshape(2, -1)
            looks, response = projections.at(omega)
            projected = looks @ columns
            seen = np.abs(projected)
            heard = np.ascontiguousarray(response @ self._places, np.float32)
            level = self._flat(seen)
            work = np.empty((self.sources + 1, columns.shape[1]), np.float32)
            for _ in range(self.iterations):
                kernels.update(seen, heard, level, work)
            projected /= heard @ level + kernels.TINY
            unlook = np.linalg.pinv(looks)
            for j in range(self.sources):
                images[(j, *where)] = ((unlook * heard[:, j]) @ (projected * level[j])).reshape(part.shape)
        return images

    def _followed(self, spectra: Spectra, rate: int) -> Iterator[Spectra]:
        """Yield each image, complex64[2, frames, bins], as the live stage makes it."""
        hop, bins = self.window // 4, spectra.shape[2]
        state = kernels.PROJET.make(
            channels=2, bins=bins, row=bins, updates=self.updates, forget=forgetting(self.memory_s, hop, rate),
            quiet=quiet(self.window, self.window, hop), **first_values(self.sources, 1),
        )
        unmix = np.empty((self.sources, 2, spectra.shape[1], 2, bins), np.float32)
        kernels.follow_all(state.record, *planes(spectra), unmix)
        for rows in unmix:
            yield rows[:, :, 0] * spectra[0] + rows[:, :, 1] * spectra[1]

    def _step(self, groups: list[tuple[Audio, Wide]], levels: list[Audio], work: Audio) -> None:
        """Update every P and then Q once."""
        up, down = np.zeros_like(self._places), np.zeros_like(self._places)
        for (seen, response), level in zip(groups, levels, strict=True):
            heard = np.ascontiguousarray(response @ self._places, np.float32)
            here = np.ascontiguousarray(work[:, : seen.shape[1]])
            pull, mass = np.empty((len(seen), self.sources)), np.empty(self.sources)
            kernels.update(seen, heard, level, here)
            kernels.gather(seen, heard, level, here[0], pull, mass)
            up += response.T @ pull
            down += response.sum(axis=0)[:, None] * mass
        moved = self._places * up / (down + kernels.TINY)
        total = moved.sum(axis=0)
        # A source in which nothing was heard stays where it was looked for.
        self._places = np.where(total > 0, moved / np.where(total > 0, total, 1), self._places)

    def _lessons(self, excerpt: Passage) -> Iterator[tuple[Audio, Wide]]:
        """Yield what Q is learnt from: magnitudes float32[looks, columns], and the response of the bins they are of."""
        spectra = Spectrum(self.window, self.window // 4).analyse(excerpt.sound)
        count = kernels.LOOKS * (_LOOK_DELAYS if self.max_delay else 1)
        bins = np.arange(1, spectra.shape[2])
        if self.max_delay:
            bins = bins[:: -(-len(bins) // _LEARN_BINS)]
        stride = -(-count * spectra.shape[1] * len(bins) // _MOST_VALUES)
        chosen = spectra[:, ::stride, bins]
        projections = Projections(self.max_delay)
        if not self.max_delay:
            looks, response = projections.at(0.0)
            yield np.abs(looks @ chosen.reshape(2, -1)), response
            return
        for number, bin_ in enumerate(bins):
            looks, response = projections.at(self._omega(int(bin_)))
            yield np.abs(looks @ chosen[:, :, number]), response

    def _blocks(self, spectra: Spectra) -> Iterator[tuple[tuple[Any, ...], float]]:
        """Yield index and frequency of the parts that are computed at once: with delays one bin, else some frames."""
        if self.max_delay:
            for bin_ in range(spectra.shape[2]):
                yield (slice(None), slice(None), slice(bin_, bin_ + 1)), self._omega(bin_)
            return
        length = max(1, _CHUNK // spectra.shape[2])
        for first in range(0, spectra.shape[1], length):
            yield (slice(None), slice(first, first + length)), 0.0

    def _bumps(self, peaks: Wide) -> Wide:
        phi, delta = points(place_angles(), delays(self.max_delay, _PLACE_DELAYS))
        bump = np.square((phi[:, None] - peaks[:, duet.ANGLE]) / math.radians(_BUMP_DEGREES))
        if self.max_delay:
            spacing = 2 * self.max_delay / (_PLACE_DELAYS - 1)
            bump += np.square((delta[:, None] - peaks[:, duet.DELAY]) / spacing)
        return normalised(np.exp(-bump / 2) + _ELSEWHERE)

    def _omega(self, bin_: int) -> float:
        return 2 * math.pi * bin_ / self.window

    def _flat(self, seen: Audio) -> Audio:
        return np.repeat(seen.mean(axis=0)[None] + kernels.TINY, self.sources, axis=0)


class Projections:
    """What the projections are, and what they hear of each place, in one bin after another.

    Parameters
    ----------
    most : float
        Largest delay, samples.
    """

    def __init__(self, most: float) -> None:
        self._look_delays, self._place_delays = delays(most, _LOOK_DELAYS), delays(most, _PLACE_DELAYS)
        self._theta, self._tau = points(look_angles(), self._look_delays)
        phi, _ = points(place_angles(), self._place_delays)
        straight = np.outer(np.cos(self._theta), np.cos(phi))
        turned = np.outer(np.sin(self._theta), np.sin(phi))
        self._sum, self._product = straight**2 + turned**2, 2 * straight * turned

    def at(self, omega: float) -> tuple[Spectra, Wide]:
        """Return the projections, complex64[looks, 2], and k, float64[looks, places], at ω radians per sample."""
        second = np.sin(self._theta) * np.exp(-1j * omega * self._tau)
        looks = np.stack([np.cos(self._theta) + 0j, second], axis=1).astype(np.complex64)
        across = np.cos(omega * (self._look_delays[:, None] + self._place_delays))
        every = np.tile(across, (kernels.LOOKS, kernels.PLACES))
        return looks, np.sqrt(np.maximum(self._sum + self._product * every, 0))


class ProjetLive(Masking):
    """The same in the stream, for channels 1 and 2, 3 and 4, ...; an odd last one passes.

    A source's image is a linear filter of both channels: with a range of 0 dB a mic is heard as it is, else so much of
    it is mixed to the image. `keep` counts from the left; at the start sources are looked for in equal sectors.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    sources, updates, memory_s
        As in `Projet`.
    """

    stage = "projet"
    entry = kernels.projet
    table = kernels.PROJET
    # By pair of microphones.
    knowledge: Mapping[str, tuple[int, ...]] = {"places": (), "drawn": (), "weighed": (), "heard": ()}

    def configure(self, sources: int, updates: int, memory_s: float) -> None:
        """See `Masking.configure`."""
        self._sources, self._updates, self._memory = sources, updates, memory_s

    def _in_place(self, name: str, array: NDArray[Any]) -> NDArray[Any] | None:
        return in_place(array, self._known(name), self._places)

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        unmix = np.zeros((sizes.channels, 2, sizes.row), np.float32)
        for mic in range(sizes.channels):
            unmix[mic, mic % 2] = 1
        return {
            "updates": self._updates, "forget": forgetting(self._memory, sizes.hop, sizes.rate),
            "quiet": quiet(sizes.window, self._synthesis, sizes.hop), "unmix": unmix,
            **first_values(self._sources, sizes.channels // 2),
        }


def first_values(sources: int, pairs: int) -> dict[str, Any]:
    """Return what pairs of channels are known by before anything was heard, by pans only."""
    theta, phi = look_angles(), place_angles()
    looks = np.stack([np.cos(theta), np.sin(theta)])
    response = np.abs(np.cos(theta[:, None] - phi))
    bump = (phi[:, None] - even_angles(sources)) / math.radians(_WIDE_BUMP_DEGREES)
    places = np.tile(normalised(np.exp(-(bump**2) / 2) + _ELSEWHERE), (pairs, 1, 1))
    return {
        "sources": sources, "pairs": pairs, "looks": looks.astype(np.float32),
        "unlook": np.linalg.pinv(looks.T).astype(np.float32),
        "response": response, "places": places, "drawn": places * _PRIOR, "weighed": np.full_like(places, _PRIOR),
        "heard": (response @ places).astype(np.float32), "level": float(kernels.TINY),
    }


def look_angles() -> Wide:
    """Return the pans of the projections; each cancels a place a quarter turn away."""
    return np.linspace(-math.pi / 2, 0, kernels.LOOKS)


def place_angles() -> Wide:
    """Return the pans of the grid of places, from left to right."""
    return np.linspace(0, math.pi / 2, kernels.PLACES)


def delays(most: float, count: int) -> Wide:
    """Return the delays of a grid, samples."""
    return np.linspace(-most, most, count) if most else np.zeros(1)


def points(angles: Wide, lags: Wide) -> tuple[Wide, Wide]:
    """Return pan and delay of each point of a grid."""
    return np.repeat(angles, len(lags)), np.tile(lags, len(angles))


def normalised(places: Wide) -> Wide:
    """Return shares that sum to 1 for each source."""
    shares: Wide = places / places.sum(axis=0)
    return shares
