"""What runs a recording through trained networks, whichever they are: which file is for which mic, lengths, levels.

Passages come at the recording's rate and level, networks want theirs; long ones are cut into pieces that are
cross-faded. Above what a network's rate can hold, a cleaned mic stays as it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from rtsep.errors import InputError
from rtsep.models.card import LEVEL, MAGNITUDE, MATRIX, STEP, Card
from rtsep.models.file import ModelFile, open_model
from rtsep.models.mics import Mics
from rtsep.models.session import Session
from rtsep.stages.unmix import unmixing_of
from rtsep.systems.spectrum import Spectrum

Block = NDArray[np.float32]

_SILENT = 1e-6         # RMS: nothing to bring to a level
_PIECE_SECONDS = 10.0  # of networks that take any length: as long as the examples of the bleed papers
_BATCH = 64            # pieces in one call: as the CAE was trained
_MOST_BATCH = 1 << 22  # numbers in one call's input, so that large networks do not fill the memory


@dataclass(frozen=True)
class Loaded:
    """A network, and the channels that it gets.

    Parameters
    ----------
    session : Session
    rows : tuple of int
    """

    session: Session
    rows: tuple[int, ...]

    @property
    def card(self) -> Card:
        """Of its file."""
        return self.session.model.card


def load(system: str, given: str, names: Sequence[str], provider: str) -> list[Loaded]:
    """Open the model files of a system and share out the mics.

    Parameters
    ----------
    system : str
        Name in the catalogue; files of others are refused, but for `custom`.
    given : str
        A file, a folder of files, or files with commas between them.
    names : sequence of str
        Of the mics. A network for each stem is found by its file's name, or else by the order of names.
    provider : str
        See `Session`.

    Raises
    ------
    InputError
        If there are none, or they do not fit the system, each other or the mics.
    """
    files = [open_model(path) for path in _paths(system, given)]
    for file in files:
        if file.card.system not in (system, "custom"):
            raise InputError(file.path, f"is a model of {file.card.system}", f"allowed is --method {file.card.system}")
        if file.card.kind == STEP:
            raise InputError(file.path, "is one step of a stream", "allowed are magnitude, wave and matrix")
    return [Loaded(Session(file, provider), rows) for file, rows in _shared(system, files, names)]


def level(excerpt: Block) -> float:
    """Return what brings a sound to the networks' level; 1 for silence."""
    power = math.sqrt(float(np.mean(np.square(excerpt, dtype=np.float64))))
    return LEVEL / power if power > _SILENT and math.isfinite(power) else 1.0


def separated(loaded: Loaded, sound: Block, rate: int, gain: float) -> Block:
    """Return what a network makes of a passage.

    Parameters
    ----------
    sound : float32[mics, frames]
        Its mics.
    rate : int
        Hz.
    gain : float
        From the recording's level to the network's.

    Returns
    -------
    float32[groups, parts, frames]
        See `Mics`; without sources, the cleaned mics.
    """
    card = loaded.card
    low = resampled(sound, rate, card.rate) * np.float32(gain)
    run = _spectral if card.kind == MAGNITUDE else _direct
    found = run(loaded, low)
    if not np.isfinite(found).all():
        raise InputError(loaded.session.model.path, "returns what is not finite", "allowed is another model")
    found /= np.float32(gain)
    frames = sound.shape[1]
    if card.sources:
        return resampled(found, card.rate, rate)[..., :frames]
    taken = resampled(low / np.float32(gain) - found[:, 0], card.rate, rate)[:, :frames]
    return (sound - taken)[:, None] if card.rate != rate else found[..., :frames]


def gains(loaded: Loaded, sound: Block, rate: int, gain: float) -> NDArray[np.float64]:
    """Return what undoes the bleed, float64[mics, mics], by a network that tells gains: the median over its windows.

    Raises
    ------
    InputError
        If there is no such network, it takes another number of mics, or its gains cannot be undone.
    """
    card, path = loaded.card, loaded.session.model.path
    mics = len(sound)
    if card.channels not in (0, mics):
        raise InputError(path, f"the recording has {mics} channels", f"allowed are {card.channels}")
    low = resampled(sound, rate, card.rate) * np.float32(gain)
    window = card.frames or round(_PIECE_SECONDS * card.rate / card.multiple) * card.multiple
    if low.shape[1] < window:   # it knows no other length; silence would be music that nobody plays
        low = np.tile(low, (1, -(-window // low.shape[1])))
    bound = loaded.session.bind(mics, window)
    found = []
    for start in range(0, low.shape[1] - window + 1, window):
        bound.x[0] = low[:, start : start + window]
        found.append(bound.run()[0].copy())
    return unmixing_of(path, np.median(found, axis=0))


def resampled(sound: Block, rate: int, other: int) -> Block:
    """Return a sound at another rate, last axis time; as long as, or a little longer."""
    if rate == other:
        return sound.copy()
    common = math.gcd(rate, other)
    return np.asarray(resample_poly(sound, other // common, rate // common, axis=-1), np.float32)


def _spectral(loaded: Loaded, low: Block) -> Block:
    card, mics = loaded.card, Mics(loaded.session, len(low))
    spectrum = Spectrum(card.window, card.hop, taper=card.taper)
    spectra = spectrum.analyse(low)
    size = np.abs(spectra)
    found = pieces(mics, size)
    phase = spectra / np.maximum(size, np.finfo(np.float32).tiny)
    return np.stack([
        np.asarray(spectrum.resynthesise(found[:, part] * phase, low.shape[1]), np.float32)
        for part in range(mics.parts)
    ], axis=1)


def _direct(loaded: Loaded, low: Block) -> Block:
    return pieces(Mics(loaded.session, len(low)), low)


def pieces(mics: Mics, x: Block) -> Block:
    """Return a network's output for a passage of any length, float32[groups, parts, frames(, bins)].

    Parameters
    ----------
    mics : Mics
    x : float32[mics, frames(, bins)]
    """
    card, frames = mics.card, x.shape[1]
    steady = bool(card.states)
    per_second = card.rate / (card.hop or 1)
    length = card.frames or min(round(_PIECE_SECONDS * per_second), frames)
    length = -(-length // card.multiple) * card.multiple
    shown = mics.call(np.zeros((1, len(x), length, *x.shape[2:]), np.float32))
    kept = shown.shape[3]
    before = 0 if kept == length else length - kept - _after(card, length - kept)
    # A network with a state goes on where it was; one that returns less than it sees has seen what is around it; a
    # patch of a few frames overlaps by two thirds, as DeepConvSep's do; what is long by a quarter.
    step = kept if steady or kept < length else max(1, kept // 3) if card.hop and card.frames else kept - kept // 4
    lead = 0 if steady or kept < length else kept - step
    count = -(-(frames + lead) // step)
    padded = np.zeros((len(x), (count - 1) * step + length, *x.shape[2:]), np.float32)
    start = lead + before
    end = min(frames, padded.shape[1] - start)
    padded[:, start : start + end] = x[:, :end]
    mics.reset()
    return _overlapped(mics.call, padded, step, length, _weights(kept, step, steady), count, _at_once(mics, x, length),
                       card.latency // (card.hop or 1))[:, :, lead:, ...][:, :, :frames]


def _overlapped(
    call: Callable[[Block], Block], padded: Block, step: int, length: int, weights: Block, count: int, most: int,
    late: int,
) -> Block:
    """Add up weighted pieces, `most` of them in one call; what is late by itself is moved to its place."""
    total: Block | None = None
    weight = np.zeros((count - 1) * step + len(weights), np.float32)
    for first in range(0, count, most):
        starts = [step * n for n in range(first, min(first + most, count))]
        found = call(np.stack([padded[:, s : s + length] for s in starts]))
        if total is None:
            total = np.zeros((*found.shape[1:3], len(weight), *found.shape[4:]), np.float32)
        shape = (len(weights), *(1 for _ in found.shape[4:]))
        for n, s in enumerate(starts):
            total[:, :, s : s + len(weights)] += found[n] * weights.reshape(shape)
            weight[s : s + len(weights)] += weights
    assert total is not None
    total /= weight.reshape(len(weight), *(1 for _ in total.shape[3:]))
    if late:
        total = np.concatenate([total[:, :, late:], np.zeros_like(total[:, :, :late])], axis=2)
    return total


def _weights(kept: int, step: int, steady: bool) -> Block:
    """Return how much each frame of a piece counts: less towards its ends, where it knows less."""
    if steady or step == kept:
        return np.ones(kept, np.float32)
    ramp = np.minimum(np.arange(kept) + 1, kept - np.arange(kept))
    return np.minimum(ramp, max(1, kept - step)).astype(np.float32)


def _after(card: Card, missing: int) -> int:
    """Return how much of what a network of waves sees, and does not return, comes after it."""
    return missing // 2 if card.look_ahead is None else min(missing, card.look_ahead)


def _at_once(mics: Mics, x: Block, length: int) -> int:
    if not mics.most_at_once:
        return 1
    return max(1, min(_BATCH, _MOST_BATCH // max(1, length * x[:, 0].size)))


def _paths(system: str, given: str) -> list[Path]:
    if not given:
        allowed = "allowed is --set model=FILE.onnx, as `rtsep export` writes them"
        raise InputError(system, "there is no model file", allowed)
    path = Path(given)
    if path.is_dir():
        found = sorted(path.glob("*.onnx"))
        if not found:
            raise InputError(given, "holds no models", "allowed is a folder of .onnx files")
        return found
    return [path] if path.exists() else [Path(part.strip()) for part in given.split(",")]


def _shared(
    system: str, files: list[ModelFile], names: Sequence[str]
) -> list[tuple[ModelFile, tuple[int, ...]]]:
    """Return which channels each file gets."""
    every = tuple(range(len(names)))
    kinds = {(file.card.kind, bool(file.card.sources)) for file in files}
    if len(kinds) > 1:
        raise InputError(system, "the models are of several kinds", "allowed are models of one kind")
    if len(files) == 1:
        return [(files[0], every)]
    if files[0].card.kind == MATRIX:
        raise InputError(system, f"there are {len(files)} models of gains", "allowed is one")
    sources = [source for file in files for source in file.card.sources]
    if sources:   # each finds its sources in all channels
        if len(set(sources)) < len(sources):
            raise InputError(system, f"two models make the same of {', '.join(sorted(set(sources)))}",
                             "allowed is one for each source")
        return [(file, every) for file in files]
    by_name = {Path(file.path).stem.lower(): file for file in files}
    if all(name.lower() in by_name for name in names):
        return [(by_name[name.lower()], (row,)) for row, name in enumerate(names)]
    if len(files) != len(names):
        raise InputError(system, f"there are {len(files)} models and {len(names)} channels",
                         "allowed is one for each, or files named after the channels")
    return [(file, (row,)) for row, file in enumerate(files)]
