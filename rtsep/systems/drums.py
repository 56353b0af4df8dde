"""Drums: kick, snare and hi-hat out of one mic, each known by how its spectrum goes on after a hit (NMFD).

Use it for a drum recording whose hits are annotated (MIDI or a table), to remix it or to cut out single drums; and
live with templates from a soundcheck, against the other drums in a close mic. Do not use it for toms and cymbals,
which it knows nothing of: they go to the drum that they are most like. Without an annotation it works from templates
alone, and worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.stages.masking import Masking, Sizes
from rtsep.systems import onsets, templatefile
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum
from rtsep.systems.templatefile import Frames
from rtsep_kernels import drums as kernels
from rtsep_kernels.masking import UNEXPLAINED
from rtsep_kernels.maths.vectors import LANES

Floats = NDArray[np.floating[Any]]

PARTS = ("kick", "snare", "hihat")

SWEEPS = 2
"""Updates of the last activations at each frame of the stream: each one is updated in so many times `frames`."""

_NAMES = {
    "kick": 0, "bd": 0, "bass drum": 0, "snare": 1, "sd": 1, "snare drum": 1, "hihat": 2, "hi-hat": 2, "hh": 2,
}
_GENERAL_MIDI = {35: 0, 36: 0, 37: 1, 38: 1, 39: 1, 40: 1, 42: 2, 44: 2, 46: 2}
# A hit may begin in a frame that ends so much before or after its annotation, seconds.
_EARLY, _LATE = 0.025, 0.1
_TINY = 1e-12


_DEFAULTS = SYSTEMS["drums"].defaults


@dataclass
class Drums:
    """Nonnegative matrix factor deconvolution of each channel: V ≈ Σ_t W_t shift_t(H), informed by onsets.

    Parameters
    ----------
    window, hop : int
        Samples.
    causal : bool
        As the live stage: templates (built-in ones where no file is given), no score.
    score : str
        MIDI file (General MIDI's drum notes) or table (`time_s,drum`).
    templates : str
        Learnt before by `save`; with a score too, only the activations are learnt.
    save : str
        File for the templates of the first channel's first passage.
    frames : int
        Length of a template.
    iterations : int

    References
    ----------
    Dittmar & Müller, "Reverse engineering the Amen break", IEEE/ACM TASLP 24(9), 2016, doi:10.1109/TASLP.2016.2567645.
    """

    window: int = _DEFAULTS["window"]
    hop: int = _DEFAULTS["hop"]
    causal: bool = _DEFAULTS["causal"]
    score: str = _DEFAULTS["score"]
    templates: str = _DEFAULTS["templates"]
    save: str = _DEFAULTS["save"]
    frames: int = _DEFAULTS["frames"]
    iterations: int = _DEFAULTS["iterations"]

    def fit(self, excerpt: Passage) -> None:
        """Read the annotation or the templates; refuse a recording that comes with neither."""
        if self.window % self.hop or self.window < 2 * self.hop:
            raise InputError("hop", f"{self.hop} with a window of {self.window}",
                             "allowed is a whole number of hops in a window, at least two")
        if self.causal and self.score:
            raise InputError("score", "is given with causal=true", "allowed is one of both: a stream has no score")
        if not (self.causal or self.score or self.templates):
            raise InputError("drums", "neither a score nor templates are given",
                             "allowed is score=FILE.mid, score=FILE.csv or templates=FILE.npz")
        if self.save and (self.causal or self.templates):
            raise InputError("save", "is given where nothing is learnt", "allowed is save with a score only")
        templatefile.check_target(self.save)
        self._hits = hits(self.score) if self.score else None
        self._known: Floats | None = None
        if self.causal or self.templates:
            self._known = known(self.templates, Frames(excerpt.rate, self.window, self.hop), self.frames)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; parts `kick`, `snare` and `hihat`, which add up to the recording."""
        frames = passage.sound.shape[1]
        # The live stage's windows, so that what is saved here fits there.
        spectrum = Spectrum(self.window, self.hop, live=True)
        parts = {name: np.empty_like(passage.sound) for name in PARTS}
        for channel, sound in enumerate(passage.sound):
            spectra = spectrum.analyse(sound[None])[0]
            if self.causal:
                assert self._known is not None
                shares = _follow(spectra, self._known)
            else:
                shares = self._informed(np.abs(spectra), passage)
                if self.save and channel == 0 and passage.first == 0:
                    templatefile.save(self.save, "drums", Frames(passage.rate, self.window, self.hop), PARTS,
                                      {"templates": self._learnt.astype(np.float32)})
            for name, share in zip(PARTS, shares, strict=True):
                parts[name][channel] = spectrum.resynthesise((share * spectra)[None], frames)[0]
        return parts

    def _informed(self, magnitudes: Floats, passage: Passage) -> Floats:
        ends = (passage.first + np.arange(len(magnitudes)) * self.hop) / passage.rate
        may = np.ones((len(magnitudes), len(PARTS)), np.bool_)
        if self._hits is not None:
            may = np.stack([onsets.active(each, ends, _EARLY, _LATE) for each in self._hits], axis=1)
        self._learnt, activations = learn(magnitudes, may, self.frames, self.iterations, self._known)
        models = np.stack([
            shifted(activations[:, r : r + 1], self._learnt.shape[1]) @ self._learnt[r] for r in range(len(PARTS))
        ])
        spare = UNEXPLAINED * magnitudes + _TINY
        shares: Floats = (models + spare / len(PARTS)) / (models.sum(axis=0) + spare)
        return shares


class DrumsLive(Masking):
    """The same in the stream, from templates: hits of the last frames are found again at every frame, no look-ahead.

    Parameters
    ----------
    name : str
    analysis, synthesis, hop
        As in `Masking`.
    templates : str
        Learnt with the same rate, window and hop; none: built-in templates.
    frames : int
        Length of the built-in templates.
    """

    stage = "drums"
    entry = kernels.drums
    table = kernels.DRUMS

    def configure(self, templates: str, frames: int) -> None:
        """See `Masking.configure`."""
        self._templates, self._frames = templates, frames

    def values(self, sizes: Sizes) -> Mapping[str, NDArray[Any] | int | float]:
        """See `Masking.values`."""
        templates = known(self._templates, Frames(sizes.rate, sizes.window, sizes.hop), self._frames)
        padded, sums = padded_with_sums(templates, sizes.row)
        parts, depth, _ = padded.shape
        return {"parts": parts, "depth": depth, "sweeps": SWEEPS, "templates": padded, "sums": sums}


def learn(
    magnitudes: Floats, may: NDArray[np.bool_], depth: int, iterations: int, templates: Floats | None = None
) -> tuple[Floats, Floats]:
    """Explain a spectrogram by what each drum sounds like and when it is hit, by the Kullback-Leibler divergence.

    The activations' update is the ratio of sums over t, which never makes the divergence larger; SYSTEMS.md's average
    of ratios does, at times, as its steps for each t know nothing of the others.

    Parameters
    ----------
    magnitudes : float[frames, bins]
    may : bool[frames, parts]
        Where a hit may begin.
    depth : int
        Frames of a template.
    iterations : int
    templates : float[parts, depth, bins], optional
        Then they stay as they are.

    Returns
    -------
    templates : float[parts, depth, bins]
        Of unit sum each.
    activations : float[frames, parts]
    """
    frames, bins = magnitudes.shape
    kind = magnitudes.dtype
    fixed = templates is not None
    if templates is None:
        templates = np.full((may.shape[1], depth, bins), 1 / (depth * bins), kind)
    parts, depth = templates.shape[:2]
    flat = templates.reshape(parts * depth, bins).astype(kind)
    activations = may * magnitudes.mean() * kind.type(bins)
    for _ in range(iterations):
        if not fixed:
            delayed = shifted(activations, depth)
            ratio = magnitudes / (delayed @ flat + _TINY)
            flat *= (delayed.T @ ratio) / (delayed.sum(axis=0)[:, None] + _TINY)
            sums = flat.reshape(parts, -1).sum(axis=1) + kind.type(_TINY)
            flat /= np.repeat(sums, depth)[:, None]
            activations *= sums
        ratio = magnitudes / (shifted(activations, depth) @ flat + _TINY)
        pulls = (ratio @ flat.T).reshape(frames, parts, depth)
        # What a hit sounds after the end does not count.
        reach = np.cumsum(flat.sum(axis=1).reshape(parts, depth), axis=1)[:, _reach(frames, depth)].T
        pull = np.zeros_like(activations)
        for t in range(min(depth, frames)):
            pull[: frames - t] += pulls[t:, :, t]
        activations *= pull / (reach + _TINY)
    return flat.reshape(parts, depth, bins), activations


def shifted(activations: Floats, depth: int) -> Floats:
    """Return activations float[frames, parts] as float[frames, parts * depth]: each delayed by 0, 1, ... frames."""
    frames, parts = activations.shape
    delayed = np.zeros((frames, parts, depth), activations.dtype)
    for t in range(min(depth, frames)):
        delayed[t:, :, t] = activations[: frames - t]
    return delayed.reshape(frames, parts * depth)


def hits(path: str) -> list[list[onsets.Event]]:
    """Return the hits of each drum in an annotation; toms and cymbals of a MIDI file are left out.

    Raises
    ------
    InputError
        If the annotation cannot be read, names something else, or has no drum.
    """
    events = onsets.read(path)
    if any(event.percussive for event in events):
        events = [event for event in events if event.percussive]
    found: list[list[onsets.Event]] = [[] for _ in PARTS]
    for event in events:
        if event.pitch is not None:
            which = _GENERAL_MIDI.get(event.pitch)
        elif event.part.lower() in _NAMES:
            which = _NAMES[event.part.lower()]
        else:
            raise InputError(path, f"{event.part} is no drum that is known", "allowed is " + ", ".join(PARTS))
        if which is not None:
            # A drum's note has no length.
            found[which].append(onsets.Event(event.start, event.start, PARTS[which]))
    if not any(found):
        raise InputError(path, "holds no hit of kick, snare or hi-hat", "allowed are MIDI notes 35 to 40, 42, 44, 46")
    return found


def known(path: str, frames: Frames, depth: int) -> Floats:
    """Return templates float32[parts, depth, bins] from a file, or, of no name, the built-in ones.

    Raises
    ------
    InputError
        If the file holds no templates, or those of something else.
    """
    if not path:
        return generic(frames, depth)
    _, parts, arrays = templatefile.load(path, "drums", frames, {"templates": "ptb"})
    templates = arrays["templates"].astype(np.float32)
    sums = templates.sum(axis=(1, 2), keepdims=True)
    if parts != PARTS or templates.min() < 0 or sums.min() <= 0:
        raise InputError(path, "holds no template of each drum", "allowed is what drums has saved")
    return np.asarray(templates / sums)


@cache
def generic(frames: Frames, depth: int) -> Floats:
    """Return templates learnt from a made soundcheck: no drum kit's, but better than none."""
    sound, events = soundcheck(frames.rate)
    spectra = Spectrum(frames.window, frames.hop, live=True).analyse(sound[None])[0]
    ends = np.arange(len(spectra)) * frames.hop / frames.rate
    may = np.stack([onsets.active(each, ends, _EARLY, _LATE) for each in events], axis=1)
    templates = learn(np.abs(spectra), may, depth, Drums.iterations)[0].astype(np.float32)
    templates.flags.writeable = False
    return templates


def soundcheck(rate: int) -> tuple[Audio, list[list[onsets.Event]]]:
    """Return made hits of each drum, one after the other, and when they are."""
    rng = np.random.default_rng(0)
    step = rate * 2 // 5
    time = np.arange(step) / rate
    made, found = [], []
    for part, name in enumerate(PARTS):
        # Three drums of each kind: no two sound alike.
        for size in range(3):
            if part == 0:
                glide = (45 + 10 * size) * time + (1 - np.exp(-40 * time))
                hit = np.exp(-(20 + 5 * size) * time) * np.sin(2 * np.pi * glide)
                hit += 0.1 * np.exp(-400 * time) * rng.standard_normal(step)
            elif part == 1:
                hit = 0.5 * np.exp(-(22 + 6 * size) * time) * rng.standard_normal(step)
                hit += 0.5 * np.exp(-30 * time) * np.sin(2 * np.pi * (170 + 25 * size) * time)
            else:
                hit = 0.3 * np.exp(-(30 + 25 * size) * time) * np.diff(rng.standard_normal(step), 2, prepend=[0, 0])
            made.append(hit)
        found.append([onsets.Event((3 * part + n) * step / rate, (3 * part + n) * step / rate, name) for n in range(3)])
    return (0.3 * np.concatenate(made)).astype(np.float32), found


def _follow(spectra: NDArray[np.complexfloating[Any, Any]], templates: Floats) -> Floats:
    """Return the masks float32[parts, frames, bins] as the live stage makes them."""
    frames, bins = spectra.shape
    row = -(-bins // LANES) * LANES
    padded, sums = padded_with_sums(templates, row)
    out = np.empty((len(padded), frames, row), np.float32)
    power = spectra.real**2 + spectra.imag**2
    kernels.masks(np.pad(power, ((0, 0), (0, row - bins))), padded, sums, SWEEPS, out)
    return out[:, :, :bins]


def padded_with_sums(templates: Floats, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return templates with rows of that length, and the sums of their first 1 ... depth frames."""
    parts, depth, bins = templates.shape
    padded = np.zeros((parts, depth, row), np.float32)
    padded[:, :, :bins] = templates
    return padded, np.ascontiguousarray(np.cumsum(padded.sum(axis=2), axis=1), dtype=np.float32)


def _reach(frames: int, depth: int) -> Sequence[int]:
    """Return for each frame how many frames after it there are, at most depth - 1."""
    return [min(depth, frames - n) - 1 for n in range(frames)]
