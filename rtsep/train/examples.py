"""Examples: what a network of some task gets, and what it should make of it, cut out of concerts at random.

A batch depends on the seed and its number alone, so that training goes on after an interruption as if there had been
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.models.card import LEVEL
from rtsep.scenes import Audio, Signal
from rtsep.train.recipe import Recipe
from rtsep.train.store import Concert

_TRIES = 20            # until a stem sounds; then it is left at that
_SOUNDS = 0.01 * LEVEL   # RMS

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def sources_of(recipe: Recipe, concerts: Sequence[Concert], stem: str) -> tuple[str, ...]:
    """Return what comes out of a network by name; empty: one output for each channel.

    Raises
    ------
    InputError
        If concerts do not fit each other, the recipe or the stem.
    """
    names, task = concerts[0].names, recipe.task
    known = "known: " + ", ".join(names)
    if task in ("mic", "target") and not stem:
        raise InputError("--stem", f"a network of {recipe.name} is for one stem", known)
    if task in ("mics", "gains") and stem:
        raise InputError("--stem", f"a network of {recipe.name} is for all mics", "leave it out")
    for one in concerts:
        if stem and stem not in one.names:
            raise InputError("--stem", f"there is no {stem} in {', '.join(one.names)}", known)
        if task == "sources" and not stem and one.names != names:
            problem = f"some have {', '.join(names)}, others {', '.join(one.names)}"
            raise InputError("--data", problem, "allowed are the same in all")
        if task in ("mics", "gains") and len(one.names) != len(names):
            raise InputError("--data", f"some have {len(names)} mics, others {len(one.names)}", "one number of them")
        if task in ("mic", "mics", "gains") and not len(one.images):
            problem = "nobody knows what its mics should have heard"
            raise InputError("--data", problem, f"{recipe.name} is trained on clean stems")
    if task == "sources":
        return (stem, "rest") if stem else names
    return (stem,) if task == "target" else ()


@dataclass(frozen=True)
class Examples:
    """What is cut out of concerts for a recipe.

    Parameters
    ----------
    recipe : Recipe
    concerts : sequence of Concert
        That fit, see `sources_of`.
    frames : int
        Of an example.
    stem : str
        Which mic's; empty where it is about all of them.
    context : (int, int)
        Samples by which the network's output is shorter, before and after.
    varied : bool
        Gains and stems of several songs as the recipe says; for training, not for validation.
    sounding : float
        Share of examples in which the stem has to sound, 0 to 1.

    Raises
    ------
    InputError
        If a concert is shorter than an example, or there is no stem to sound.
    """

    recipe: Recipe
    concerts: Sequence[Concert]
    frames: int
    stem: str = ""
    context: tuple[int, int] = (0, 0)
    varied: bool = False
    sounding: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sounding <= 1 or (self.sounding and not self.stem):
            raise InputError("--sounding", f"{self.sounding:g}", "allowed is 0 to 1, together with --stem")
        for one in self.concerts:
            if one.frames < self.samples:
                rate = self.recipe.rate
                problem = f"an example has {self.samples / rate:.2f} s, and one of them {one.frames / rate:.2f} s"
                raise InputError("--data", problem, "allowed are longer --seconds, or fewer --frames")

    @property
    def samples(self) -> int:
        """Length of what is cut out."""
        r = self.recipe
        return r.window + (self.frames - 1) * r.hop if r.window else self.frames

    def batch(self, size: int, *seed: int) -> Pair:
        """Return `size` inputs and targets, of seeds that name the batch."""
        rng = np.random.default_rng(seed)
        pairs = [self._one(rng) for _ in range(size)]
        return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])

    def _one(self, rng: np.random.Generator) -> Pair:
        concert, part = self._place(rng)
        mics = np.asarray(concert.mics[:, part], np.float32)
        if self.recipe.task == "gains":
            if self.varied and self.recipe.remix and concert.mixing is not None:
                return self._mix_again(rng)
            return mics, self._gains(concert, part).astype(np.float32)
        if self.varied and self.recipe.task in ("target", "sources"):
            mics = self._vary(concert, mics, rng)
        x, y = self._signals(concert, mics, part)
        if self.recipe.kind == "magnitude":
            r = self.recipe
            return magnitudes(x, r.window, r.hop, r.taper), magnitudes(y, r.window, r.hop, r.taper)
        before, after = self.context
        return x, y[..., before : y.shape[-1] - after]

    def _place(self, rng: np.random.Generator) -> tuple[Concert, slice]:
        """Return where an example is cut out; often enough where the stem sounds."""
        wanted = rng.random() < self.sounding
        for _ in range(_TRIES):
            concert = self.concerts[int(rng.integers(len(self.concerts)))]
            start = int(rng.integers(concert.frames - self.samples + 1))
            part = slice(start, start + self.samples)
            if not wanted or np.square(concert.mics[concert.names.index(self.stem), part]).mean() > _SOUNDS**2:
                break
        return concert, part

    def _mix_again(self, rng: np.random.Generator) -> Pair:
        """Return mics and gains of a new concert: each stem from any song, the gains into each mic from any other.

        With one matrix a song, a network learns the songs by heart.
        """
        stems, rows = [], []
        for row in range(len(self.concerts[0].names)):
            one, other = (self.concerts[int(n)] for n in rng.integers(len(self.concerts), size=2))
            start = int(rng.integers(one.frames - self.samples + 1))
            stems.append(one.sources[row, start : start + self.samples])
            rows.append(np.eye(len(other.names))[row] if other.mixing is None else other.mixing[row])
        gains = np.stack(rows).astype(np.float32)
        return gains @ np.stack(stems), gains

    def _vary(self, concert: Concert, mics: Audio, rng: np.random.Generator) -> Audio:
        """Return stems with gains of their own, each from any song where the recipe remixes."""
        rows = []
        for row, name in enumerate(concert.names):
            other = self.concerts[int(rng.integers(len(self.concerts)))]
            start = int(rng.integers(other.frames - self.samples + 1))
            if self.recipe.remix and name != self.stem and name in other.names:
                taken = other.mics[other.names.index(name), start : start + self.samples]
            else:
                taken = mics[row]
            rows.append(np.float32(rng.uniform(*self.recipe.gains)) * taken)
        return np.stack(rows)

    def _signals(self, concert: Concert, mics: Audio, part: slice) -> tuple[Audio, Audio]:
        """Return input and target as signals, with the axes that the spectrum keeps."""
        task, names = self.recipe.task, concert.names
        if task == "mics":
            return mics, np.asarray(concert.images[:, part], np.float32)
        if task == "mic":
            row = names.index(self.stem)
            return mics[row][None], np.asarray(concert.images[row, part], np.float32)[None]
        # Separators learn the stems as the mics have them, bleed and all: what the bleed papers measure.
        mics = concert.mixture_gain * mics
        mixture = mics.sum(0, keepdims=True)
        if task == "target":
            return mixture, mics[names.index(self.stem)][None]
        if self.stem:
            voice = mics[names.index(self.stem)][None]
            mics = np.concatenate((voice, mixture - voice))
        return mixture, mics[:, None] if self.recipe.kind == "magnitude" else mics

    def _gains(self, concert: Concert, part: slice) -> Signal:
        """Return the gains that explain the mics best: from the sources, in rooms from their images.

        In rooms the dry sources are late, and gains from them mean nothing (SYSTEMS.md 0.2).
        """
        truth = concert.images if concert.mixing is None else concert.sources
        found: Signal = concert.mics[:, part].astype(np.float64) @ np.linalg.pinv(truth[:, part].astype(np.float64))
        return found


def magnitudes(x: Audio, window: int, hop: int, taper: str) -> Audio:
    """Return |FFT| of float32[..., samples], float32[..., frames, bins], without any padding or scale.

    Parameters
    ----------
    x : float32[..., samples]
    window, hop : int
        Samples.
    taper : str
        hann or sqrt-hann, both periodic.
    """
    from scipy import fft, signal

    shape = signal.windows.hann(window, sym=False)
    if taper == "sqrt-hann":
        shape = np.sqrt(shape)
    cut = np.lib.stride_tricks.sliding_window_view(x, window, axis=-1)[..., ::hop, :]
    spectrum: Audio = np.abs(fft.rfft(cut * shape.astype(np.float32), axis=-1)).astype(np.float32)
    return spectrum
