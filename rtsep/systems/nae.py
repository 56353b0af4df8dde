"""NAE: a nonnegative autoencoder, which is NMF whose activations cost one product instead of a search.

Use it where parts were heard alone or are annotated (soundcheck, score), and a frame must be taken apart at almost no
cost: the encoder is one matrix product. Do not use it where NMF has the time to iterate: NMF explains the same data
better. Without an annotation the parts are whatever repeats; nobody names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems import drums, onsets, templatefile
from rtsep.systems.dictionary import frequency
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep.systems.templatefile import Frames
from rtsep_kernels import nae as kernels
from rtsep_kernels.maths.vectors import LANES

Floats = NDArray[np.floating[Any]]

_TINY = 1e-12
# A component may sound so long before a note's onset and after its end, seconds (SYSTEMS.md 4.2).
_BEFORE, _AFTER = 0.2, 0.5
_TOLERANCE = 0.05    # of a partial's frequency: how far from it a template may be above 0
_STEP = 0.03         # of a weight's mean at the start: step of the projected gradient
_MEMORY = (0.9, 0.999)   # of Adam's means
_MOST_PARTS = 16     # that the live stage's `keep` can name


@dataclass(frozen=True)
class Weights:
    """A trained autoencoder.

    Parameters
    ----------
    encoder, decoder : float[components, bins]
        W_E and the transpose of W_D.
    owner : int64[components]
        Number of the part that each component belongs to.
    parts : tuple of str
    """

    encoder: Floats
    decoder: Floats
    owner: NDArray[np.int64]
    parts: tuple[str, ...]

    def padded(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return encoder and decoder as kernels want them, float32[components, row]."""
        more = ((0, 0), (0, row - self.encoder.shape[1]))
        return np.pad(self.encoder, more).astype(np.float32), np.pad(self.decoder, more).astype(np.float32)


_DEFAULTS = SYSTEMS["nae"].defaults


@dataclass
class Nae:
    """Masks from a nonnegative autoencoder, H = max(W_E V, 0), V ≈ max(W_D (H ∘ M_H), 0), for each channel.

    Without a score it learns once, from the excerpt. With one, a component stands for each pitch of each part (or for
    the part, if it has no pitches), M_H is 0 where it may not sound (structured dropout), a pitch's template is 0
    beside its partials, and each passage is learnt from in turn.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    causal : bool
        As the live stage: saved weights (built-in ones where no file is given), no score.
    parts : int
        Components, without a score; each is a part.
    update : str
        `multiplicative`, or the projected `gradient` with Adam's steps.
    iterations : int
    score : str
    templates, save : str
        Weights: to be used instead of learning; where to write what was learnt first.

    References
    ----------
    Smaragdis & Venkataramani, "A neural network alternative to non-negative audio models", ICASSP 2017; Ewert &
    Sandler, "Structured dropout for weak label and multi-instance learning and its application to score-informed
    source separation", ICASSP 2017. Equations: SYSTEMS.md 4.4.
    """

    window: int = _DEFAULTS["window"]
    causal: bool = _DEFAULTS["causal"]
    parts: int = _DEFAULTS["parts"]
    update: str = _DEFAULTS["update"]
    iterations: int = _DEFAULTS["iterations"]
    score: str = _DEFAULTS["score"]
    templates: str = _DEFAULTS["templates"]
    save: str = _DEFAULTS["save"]

    def fit(self, excerpt: Passage) -> None:
        """Read or learn the weights, or read the score."""
        if self.score and (self.causal or self.templates):
            other = "causal=true" if self.causal else "templates"
            raise InputError("score", f"is given with {other}", "allowed is one of both: a score is learnt by")
        if self.save and (self.causal or self.templates):
            raise InputError("save", "is given where nothing is learnt", "allowed is save without templates and causal")
        templatefile.check_target(self.save)
        self._components: list[list[onsets.Event]] = []
        if self.score:
            self._weights = self._start(excerpt.rate)
        elif self.causal or self.templates:
            self._weights = known(self.templates, Frames(excerpt.rate, self.window))
        else:
            rng = np.random.default_rng(0)
            shape = (self.parts, self.window // 2 + 1)
            names = tuple(f"part {n + 1}" for n in range(self.parts))
            start = Weights(rng.random(shape), rng.random(shape), np.arange(self.parts), names)
            self._weights = self._learn(start, excerpt, None)
            if self.save:
                save(self.save, Frames(excerpt.rate, self.window), self._weights)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; a part for each component, or for each part of the score, or of the file."""
        frames = passage.sound.shape[1]
        spectrum = self._spectrum()
        allowed = None
        if self.score:
            allowed = self._allowed(passage, spectrum.count(frames))
            self._weights = self._learn(self._weights, passage, allowed)
            if self.save and passage.first == 0:
                decoder = self._weights.decoder
                encoder = without_score(self._magnitudes(passage), decoder, self.iterations)
                save(self.save, Frames(passage.rate, self.window), replace(self._weights, encoder=encoder))
        weights = self._weights
        row = -(-spectrum.bins // LANES) * LANES
        encoder, decoder = weights.padded(row)
        may = np.ones((spectrum.count(frames), len(encoder)), np.float32)
        if allowed is not None:
            may[:] = allowed
        parts = {name: np.empty_like(passage.sound) for name in weights.parts}
        mask = np.empty((len(may), row), np.float32)
        for channel, sound in enumerate(passage.sound):
            spectra = spectrum.analyse(sound[None])[0]
            power = np.pad(spectra.real**2 + spectra.imag**2, ((0, 0), (0, row - spectrum.bins)))
            for which, name in enumerate(weights.parts):
                kernels.masks(power, encoder, decoder, weights.owner, may, len(weights.parts), which, mask)
                parts[name][channel] = spectrum.resynthesise((mask[:, : spectrum.bins] * spectra)[None], frames)[0]
        return parts

    def _spectrum(self) -> Spectrum:
        # The live stage's windows, so that what is saved here fits there.
        return Spectrum(self.window, self.window // 4, live=True)

    def _start(self, rate: int) -> Weights:
        """Return weights before learning by the score, and remember its events by component."""
        by_component: dict[tuple[str, int], list[onsets.Event]] = {}
        for event in onsets.read(self.score):
            by_component.setdefault((event.part, -1 if event.pitch is None else event.pitch), []).append(event)
        keys = sorted(by_component)
        self._components = [by_component[key] for key in keys]
        parts = tuple(sorted({part for part, _ in keys}))
        rng = np.random.default_rng(0)
        bins = self.window // 2 + 1
        decoder = np.stack([
            rng.random(bins) if pitch < 0 else template(pitch, rate, self.window) for _, pitch in keys
        ])
        owner = np.array([parts.index(part) for part, _ in keys], np.int64)
        return Weights(rng.random(decoder.shape), decoder, owner, parts)

    def _allowed(self, passage: Passage, count: int) -> NDArray[np.bool_]:
        hop = self.window // 4
        middles = (passage.first + np.arange(count) * hop - self.window / 2) / passage.rate
        return np.stack([onsets.active(each, middles, _BEFORE, _AFTER) for each in self._components], axis=1)

    def _learn(self, start: Weights, passage: Passage, allowed: NDArray[np.bool_] | None) -> Weights:
        encoder, decoder = learn(
            self._magnitudes(passage), start.encoder, start.decoder, allowed, self.update, self.iterations
        )
        return Weights(encoder, decoder, start.owner, start.parts)

    def _magnitudes(self, passage: Passage) -> Floats:
        """Return the root mean square over channels, float32[frames, bins]."""
        magnitudes: Floats = np.sqrt(np.mean(np.abs(self._spectrum().analyse(passage.sound)) ** 2, axis=0))
        return magnitudes


class NaeLive(Masking):
    """The same in the stream, with weights that are known.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    templates : str
        Weights learnt with the same rate and window; none: those of made drums (kick, snare, hi-hat).
    """

    stage = "nae"
    entry = kernels.nae
    table = kernels.NAE

    def configure(self, templates: str) -> None:
        """See `Masking.configure`."""
        self._templates = templates

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        weights = known(self._templates, Frames(sizes.rate, sizes.window))
        if len(weights.parts) > _MOST_PARTS:
            raise InputError(self._templates, f"has {len(weights.parts)} parts", f"allowed is {_MOST_PARTS} at most")
        encoder, decoder = weights.padded(sizes.row)
        return {
            "components": len(encoder), "parts": len(weights.parts), "encoder": encoder, "decoder": decoder,
            "owner": weights.owner,
        }


def learn(
    magnitudes: Floats, encoder: Floats, decoder: Floats, allowed: NDArray[np.bool_] | None, update: str,
    iterations: int,
) -> tuple[Floats, Floats]:
    """Return encoder and decoder, float[components, bins], after so many updates from given ones.

    Parameters
    ----------
    magnitudes : float[frames, bins]
    encoder, decoder : float[components, bins]
        Entries of the decoder that are 0 stay so (template constraint).
    allowed : bool[frames, components], optional
        M_H.
    update : str
        `multiplicative` or `gradient`.
    iterations : int
    """
    kind = magnitudes.dtype
    mean = magnitudes.mean()
    if not mean > 0:
        return encoder.astype(kind), decoder.astype(kind)
    spectra: Floats = magnitudes / mean
    may = None if allowed is None else allowed.astype(kind)
    encoder, decoder = balanced(spectra, encoder.astype(kind), decoder.astype(kind), may)
    if update == "gradient":
        return _descend(spectra, encoder, decoder, may, iterations)
    for _ in range(iterations):
        encoder, decoder = multiply(spectra, encoder, decoder, may)
    return encoder, decoder


def without_score(magnitudes: Floats, decoder: Floats, iterations: int) -> Floats:
    """Return an encoder for a decoder that was learnt with dropout, where nothing will say what sounds.

    Under dropout an encoder may answer as it likes to what it is not asked for; in the stream everything is asked for.
    """
    spectra: Floats = magnitudes / max(float(magnitudes.mean()), _TINY)
    decoder = decoder.astype(spectra.dtype)
    encoder, _ = balanced(spectra, decoder + decoder.mean(), decoder, None)
    for _ in range(iterations):
        encoder = _encoder_update(spectra, encoder, decoder, None)
    return encoder


def balanced(
    spectra: Floats, encoder: Floats, decoder: Floats, may: Floats | None
) -> tuple[Floats, Floats]:
    """Scale a starting point so that it explains as much as there is."""
    made = (hidden(spectra, encoder, may) @ decoder).mean()
    return encoder * spectra.dtype.type(spectra.mean() / max(made, _TINY)), decoder


def hidden(spectra: Floats, encoder: Floats, may: Floats | None) -> Floats:
    """Return the activations after dropout, float[frames, components]."""
    activations: Floats = np.maximum(spectra @ encoder.T, 0)
    return activations if may is None else activations * may


def loss(spectra: Floats, encoder: Floats, decoder: Floats, may: Floats | None) -> float:
    """Return the squared error of the reconstruction."""
    return float(np.sum((spectra - hidden(spectra, encoder, may) @ decoder) ** 2))


def multiply(spectra: Floats, encoder: Floats, decoder: Floats, may: Floats | None) -> tuple[Floats, Floats]:
    """Return both weights after one multiplicative update each, which never makes the loss larger.

    All of them must be nonnegative. SYSTEMS.md 4.4, option B.
    """
    encoder = _encoder_update(spectra, encoder, decoder, may)
    activations = hidden(spectra, encoder, may)
    return encoder, decoder * (activations.T @ spectra) / (activations.T @ activations @ decoder + _TINY)


def _encoder_update(spectra: Floats, encoder: Floats, decoder: Floats, may: Floats | None) -> Floats:
    wanted, made = spectra @ decoder.T, hidden(spectra, encoder, may) @ (decoder @ decoder.T)
    if may is not None:
        wanted, made = wanted * may, made * may
    updated: Floats = encoder * (wanted.T @ spectra) / (made.T @ spectra + _TINY)
    return updated


def gradients(spectra: Floats, encoder: Floats, decoder: Floats, may: Floats | None) -> tuple[Floats, Floats]:
    """Return the derivatives of `loss` by both weights; the decoder must be nonnegative (its rectifier is idle)."""
    activations = hidden(spectra, encoder, may)
    error = 2 * (activations @ decoder - spectra)
    # Where the rectifier or the dropout has made a 0, nothing passes.
    back = (error @ decoder.T) * (activations > 0)
    return back.T @ spectra, activations.T @ error


def _descend(
    spectra: Floats, encoder: Floats, decoder: Floats, may: Floats | None, iterations: int
) -> tuple[Floats, Floats]:
    """Projected gradient with Adam's steps: SYSTEMS.md 4.4, option A."""
    weights = [encoder, decoder]
    steps = [_STEP * float(weight.mean()) for weight in weights]
    means = [np.zeros_like(weight) for weight in weights]
    squares = [np.zeros_like(weight) for weight in weights]
    open_entries = decoder > 0
    for n in range(1, iterations + 1):
        for i, gradient in enumerate(gradients(spectra, weights[0], weights[1], may)):
            means[i] += (1 - _MEMORY[0]) * (gradient - means[i])
            squares[i] += (1 - _MEMORY[1]) * (gradient**2 - squares[i])
            scale = np.sqrt(squares[i] / (1 - _MEMORY[1] ** n)) + _TINY
            weights[i] = weights[i] - steps[i] / (1 - _MEMORY[0] ** n) * means[i] / scale
        weights[1] = np.maximum(weights[1], 0) * open_entries
    return weights[0].astype(spectra.dtype), weights[1].astype(spectra.dtype)


def template(pitch: int, rate: int, window: int) -> NDArray[np.float64]:
    """Return a pitch's template before learning: 1 / m around partial m, 0 elsewhere."""
    frequencies = np.arange(window // 2 + 1) * rate / window
    fundamental = frequency(pitch)
    shape = np.zeros(len(frequencies))
    for partial in range(1, int(rate / 2 / fundamental) + 1):
        middle = partial * fundamental
        near = np.abs(frequencies - middle) <= _TOLERANCE * middle
        # Deep partials are narrower than a bin: the nearest one is theirs.
        near[np.argmin(np.abs(frequencies - middle))] = True
        shape[near] = np.maximum(shape[near], 1 / partial)
    return shape


def save(path: str, frames: Frames, weights: Weights) -> None:
    """Write weights to a file."""
    arrays: dict[str, NDArray[Any]] = {
        "encoder": weights.encoder.astype(np.float32), "decoder": weights.decoder.astype(np.float32),
        "owner": weights.owner,
    }
    templatefile.save(path, "nae", frames, weights.parts, arrays)


def known(path: str, frames: Frames) -> Weights:
    """Return weights from a file, or, of no name, those of made drums.

    Raises
    ------
    InputError
        If the file holds no weights, or those of something else.
    """
    if not path:
        return generic(frames)
    _, parts, arrays = templatefile.load(path, "nae", frames, {"encoder": "cb", "decoder": "cb", "owner": "c"})
    owner = arrays["owner"].astype(np.int64)
    if arrays["decoder"].min() < 0 or owner.min() < 0 or owner.max() >= len(parts):
        raise InputError(path, "holds no weights of nae", "allowed is what nae has saved")
    return Weights(arrays["encoder"].astype(np.float32), arrays["decoder"].astype(np.float32), owner, parts)


@cache
def generic(frames: Frames) -> Weights:
    """Return weights learnt from the made soundcheck of `drums`."""
    sound, events = drums.soundcheck(frames.rate)
    spectrum = Spectrum(frames.window, frames.window // 4, live=True)
    magnitudes: Floats = np.abs(spectrum.analyse(sound[None])[0])
    middles = (np.arange(len(magnitudes)) * spectrum.hop - frames.window / 2) / frames.rate
    # The hits follow each other closely: none may sound in another's time.
    allowed = np.stack([onsets.active(each, middles, 0.0, _gap(each)) for each in events], axis=1)
    rng = np.random.default_rng(0)
    shape = (len(events), spectrum.bins)
    _, decoder = learn(magnitudes, rng.random(shape), rng.random(shape), allowed, "multiplicative", Nae.iterations)
    encoder = without_score(magnitudes, decoder, Nae.iterations)
    return Weights(encoder, decoder, np.arange(len(events)), drums.PARTS)


def _gap(events: Sequence[onsets.Event]) -> float:
    return events[1].start - events[0].start
