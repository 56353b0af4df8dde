"""NMF: a spectrogram is the product of a few spectra (templates) and how strongly each sounds at what time.

Use it where every sound returns with the same spectrum: drum kits, organs, a hum, or a stage whose sounds were learnt
before from a recording of each (`save`, then `templates`; that also runs live). Do not expect it to find a voice, whose
spectrum never is the same twice, nor to know by itself which templates make one instrument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems import dictionary
from rtsep.systems.dictionary import DIVERGENCES, Dictionary
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep_kernels import nmf as kernels

Matrix = NDArray[np.floating[Any]]

_BLOCK_FRAMES = 256   # whose model and ratio stay in a processor's second cache
_LEARNING = 100       # iterations: templates take longer to settle than their strengths
_REPEATS = 2          # Euclidean updates of a factor in a row: the products with V, which cost most, stay the same


_DEFAULTS = SYSTEMS["nmf"].defaults


@dataclass
class Nmf:
    """Nonnegative matrix factorisation of each channel, with templates that all channels share.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        With the live stage's windows and arithmetic. Each frame is taken by itself either way; the templates are
        learnt beforehand.
    divergence : str
        What is minimised: `euclidean`, `kl` (Kullback-Leibler), `is` (Itakura-Saito, on powers). A file's own
        counts instead, if there is one.
    rank : int
        How many templates are learnt.
    parts : int
        Into how many parts they are grouped, those together that sound together; 0: each is a part.
    iterations : int
        Updates of the strengths in each frame.
    templates : str
        A file with templates; `combs` for a harmonic comb at each semitone; empty: learn them.
    split : int
        MIDI pitch from which on combs are `high`.
    save : str
        File to which what was learnt is written; empty: none.

    References
    ----------
    Lee & Seung, "Algorithms for non-negative matrix factorization", NIPS 2000, eq. (4) and (5); Févotte, Bertin,
    Durrieu, Neural Computation 2009, doi:10.1162/neco.2008.04-08-771.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    divergence: str = _DEFAULTS["divergence"]
    rank: int = _DEFAULTS["rank"]
    parts: int = _DEFAULTS["parts"]
    iterations: int = _DEFAULTS["iterations"]
    templates: str = _DEFAULTS["templates"]
    split: int = _DEFAULTS["split"]
    save: str = _DEFAULTS["save"]
    _learnt: Dictionary | None = field(default=None, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Learn the templates, or read them."""
        if self.templates:
            self._learnt = dictionary.find("templates", self.templates, self.window, excerpt.rate, self.split)
            return
        if self.parts > self.rank:
            raise InputError("parts", f"{self.parts} parts of {self.rank} templates", "allowed is up to the rank")
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        power = np.zeros((spectrum.count(excerpt.sound.shape[1]), spectrum.bins), np.float32)
        for sound in excerpt.sound:
            power += power_of(spectrum.analyse(sound[None])[0])
        if not power.any():
            raise InputError("nmf", "the recording is silent", "templates are learnt from sound")
        wanted = level(power, self.divergence).T
        start = random_start(wanted, self.rank)
        spectra, strengths = factorise(wanted, *start, self.divergence, _LEARNING)
        strengths *= np.linalg.norm(spectra, axis=0)[:, None]   # as strong as they are heard
        members = together(spectra, strengths, self.parts)
        names = tuple(f"part {number + 1}" for number in range(self.parts or self.rank))
        self._learnt = Dictionary(
            dictionary.scaled(spectra.T), members, names, self.window, excerpt.rate, self.divergence
        )
        if self.save:
            self._learnt.save(self.save)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each of the templates' parts, which add up to the recording."""
        assert self._learnt is not None
        known = self._learnt
        frames = passage.sound.shape[1]
        spectrum = Spectrum(self.window, self.window // 4, live=self.causal)
        parts = {name: np.empty_like(passage.sound) for name in known.names}
        members = known.members.astype(np.float32)
        for channel, sound in enumerate(passage.sound):
            spectra = spectrum.analyse(sound[None])[0]
            strengths = frame_by_frame(power_of(spectra), known, self.iterations)
            mask = np.empty(spectra.shape, np.float32)
            for which, name in enumerate(known.names):
                kernels.shares(known.templates, strengths, members, len(known.names), which, mask)
                parts[name][channel] = spectrum.resynthesise((mask * spectra)[None], frames)[0]
        return parts


class NmfLive(Masking):
    """The same in the stream, with templates from a file.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    templates : str
        A file with templates of windows as long as `analysis`; or `combs`.
    split, iterations
        As in `Nmf`.
    """

    stage = "nmf"
    entry = kernels.nmf
    table = kernels.NMF

    def configure(self, templates: str, split: int, iterations: int) -> None:
        """See `Masking.configure`."""
        self._templates, self._split, self._iterations = templates, split, iterations

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        place = f"{self.name}.templates"
        known = dictionary.find(place, self._templates, sizes.window, sizes.rate, self._split)
        columns, gram = _products(known.templates)
        return {
            "rank": len(known.templates), "parts": len(known.names), "divergence": DIVERGENCES.index(known.divergence),
            "iterations": self._iterations, "templates": known.templates, "columns": columns, "gram": gram,
            "members": known.members.astype(np.float32),
        }


def factorise(
    v: Matrix, w: Matrix, h: Matrix, divergence: str = "kl", iterations: int = 100, fixed_w: bool = False
) -> tuple[Matrix, Matrix]:
    """Approximate a nonnegative matrix by a product, with multiplicative updates of H and then W.

    What is 0 at the start stays exactly 0: that is how knowledge is put in. No divergence ever grows. It runs the
    given number of iterations; nothing is measured to stop before.

    Parameters
    ----------
    v : float[bins, frames]
        As precise as the result is to be. Quickest if frames are contiguous (the transpose of [frames, bins]).
    w : float[bins, rank]
    h : float[rank, frames]
        Where to start.
    divergence : str
        `euclidean`, `kl` or `is`.
    iterations : int
    fixed_w : bool
        Leave W as it is.

    Returns
    -------
    w, h : float[bins, rank], float[rank, frames]
        New arrays.

    References
    ----------
    Lee & Seung, NIPS 2000, eq. (4) and (5). Euclidean updates repeated as by Gillis & Glineur, Neural Computation 2012,
    doi:10.1162/NECO_a_00256. Itakura-Saito without the square root of the MM algorithm: the steps of
    Févotte & Idier's ME algorithm, Neural Computation 2011, doi:10.1162/NECO_a_00168, which do not increase it either.
    """
    if not v.any():
        return w.astype(v.dtype), np.zeros_like(h, dtype=v.dtype)
    work = _Factors(v, w, h)
    update = {"euclidean": work.euclidean, "kl": work.kullback_leibler, "is": work.itakura_saito}[divergence]
    for _ in range(iterations):
        update(fixed_w)
    return work.templates.T, work.strengths.T


def loss(v: Matrix, w: Matrix, h: Matrix, divergence: str) -> float:
    """Return what `factorise` minimises: half the squared error, or the divergence; V is positive for `is`."""
    model = w @ h
    if divergence == "euclidean":
        return float(((v - model) ** 2).sum() / 2)
    if divergence == "kl":
        ratio = np.where(v > 0, v / model, 1)
        return float((v * np.log(ratio) - v + model).sum())
    return float((v / model - np.log(v / model) - 1).sum())


def random_start(v: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Return W and H of random numbers, always the same, whose product is about as large as V."""
    rng = np.random.default_rng(0)
    w = rng.random((v.shape[0], rank)).astype(v.dtype)
    h = rng.random((rank, v.shape[1])).astype(v.dtype)
    return w, h * v.dtype.type(4 / rank * float(v.mean()))


def level(power: NDArray[np.float32], divergence: str) -> NDArray[np.float32]:
    """Return what is factorised of a power spectrogram: the power for `is`, else the magnitude; mean 1, nowhere 0."""
    wanted: NDArray[np.float32] = power.copy() if divergence == "is" else np.sqrt(power)
    wanted /= max(float(wanted.mean(dtype=np.float64)), float(kernels.SILENCE))
    wanted += kernels.FLOOR
    return wanted


def together(w: Matrix, h: Matrix, parts: int) -> NDArray[np.int64]:
    """Return the part of each template: those whose strengths rise and fall together; numbered from low to high.

    Ward's hierarchical clustering of the normalised strengths, each weighted by its energy, so that a faint template
    goes to what it is most like and does not make a part.

    Parameters
    ----------
    w, h : float[bins, rank], float[rank, frames]
    parts : int
        0: each template is one.
    """
    rank = w.shape[1]
    tiny = np.finfo(np.float64).tiny
    centre = (np.arange(len(w)) @ w) / np.maximum(w.sum(axis=0), tiny)
    energy = np.maximum((h.astype(np.float64) ** 2).sum(axis=1), tiny)
    heard = h / np.sqrt(energy)[:, None]
    groups = [[r] for r in range(rank)]
    while len(groups) > (parts or rank):
        apart = ((heard[:, None] - heard[None]) ** 2).sum(axis=2)
        cost = apart * energy[:, None] * energy[None] / (energy[:, None] + energy[None])
        cost[np.tril_indices(len(groups))] = np.inf
        one, other = np.unravel_index(int(cost.argmin()), cost.shape)
        both = energy[one] + energy[other]
        heard[one] = (heard[one] * energy[one] + heard[other] * energy[other]) / both
        energy[one] = both
        groups[one] += groups.pop(other)
        heard, energy = np.delete(heard, other, 0), np.delete(energy, other)
    members = np.empty(rank, np.int64)
    for number, group in enumerate(sorted(groups, key=lambda group: float(centre[group].mean()))):
        members[group] = number
    return members


def frame_by_frame(power: NDArray[np.float32], known: Dictionary, iterations: int) -> NDArray[np.float32]:
    """Return how strongly each template sounds, float32[frames, templates]: exactly what the live stage computes."""
    columns, gram = _products(known.templates)
    strengths = np.empty((len(power), len(known.templates)), np.float32)
    number = DIVERGENCES.index(known.divergence)
    kernels.activations(power, known.templates, columns, gram, number, iterations, strengths)
    return strengths


def _products(templates: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.ascontiguousarray(templates.T), templates @ templates.T


def power_of(spectra: NDArray[Any]) -> NDArray[np.float32]:
    """Return the power of every bin."""
    found: NDArray[np.float32] = spectra.real**2 + spectra.imag**2
    return found


class _Factors:
    """The matrices of a factorisation, rows for columns: a block of frames goes through all steps in the cache."""

    def __init__(self, v: Matrix, w: Matrix, h: Matrix) -> None:
        self.wanted = np.ascontiguousarray(v.T)
        self.templates = np.array(w.T, dtype=v.dtype, order="C")
        self.strengths = np.array(h.T, dtype=v.dtype, order="C")
        count, bins = self.wanted.shape
        self._blocks = [slice(first, min(first + _BLOCK_FRAMES, count)) for first in range(0, count, _BLOCK_FRAMES)]
        self._scratch = np.empty((2, min(_BLOCK_FRAMES, count), bins), v.dtype)
        self._tiny = np.finfo(v.dtype).tiny
        self._floor = v.dtype.type(float(v.mean()) * np.finfo(v.dtype).eps)

    def euclidean(self, fixed_w: bool) -> None:
        above, gram = self.wanted @ self.templates.T, self.templates @ self.templates.T
        for _ in range(_REPEATS):
            kernels.step(self.strengths, above, self.strengths @ gram, self._tiny)
        if fixed_w:
            return
        above, gram = self.strengths.T @ self.wanted, self.strengths.T @ self.strengths
        for _ in range(_REPEATS):
            kernels.step(self.templates, above, gram @ self.templates, self._tiny)

    def kullback_leibler(self, fixed_w: bool) -> None:
        total = self.templates.sum(axis=1)
        for block in self._blocks:
            strengths = self.strengths[block]
            below = np.tile(total, (len(strengths), 1))
            kernels.step(strengths, self._ratio(block) @ self.templates.T, below, self._tiny)
        if fixed_w:
            return
        above = np.zeros_like(self.templates)
        for block in self._blocks:
            above += self.strengths[block].T @ self._ratio(block)
        below = np.repeat(self.strengths.sum(axis=0)[:, None], above.shape[1], axis=1)
        kernels.step(self.templates, above, below, self._tiny)

    def itakura_saito(self, fixed_w: bool) -> None:
        for block in self._blocks:
            ratio, inverse = self._ratios(block)
            above, below = ratio @ self.templates.T, inverse @ self.templates.T
            kernels.step(self.strengths[block], above, below, self._tiny)
        if fixed_w:
            return
        above, below = np.zeros_like(self.templates), np.zeros_like(self.templates)
        for block in self._blocks:
            ratio, inverse = self._ratios(block)
            above += self.strengths[block].T @ ratio
            below += self.strengths[block].T @ inverse
        kernels.step(self.templates, above, below, self._tiny)

    def _model(self, block: slice) -> Matrix:
        out = self._scratch[0, : block.stop - block.start]
        model: Matrix = np.matmul(self.strengths[block], self.templates, out=out)
        return model

    def _ratio(self, block: slice) -> Matrix:
        """Return V / model."""
        model = self._model(block)
        kernels.divide(self.wanted[block], model, self._floor)
        return model

    def _ratios(self, block: slice) -> tuple[Matrix, Matrix]:
        """Return V / model² and 1 / model."""
        inverse = self._model(block)
        ratio = self._scratch[1, : len(inverse)]
        kernels.divide_twice(self.wanted[block], inverse, ratio, self._floor)
        return ratio, inverse
