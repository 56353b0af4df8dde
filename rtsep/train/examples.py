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
from rtsep.scenes import Audio, Signal
from rtsep.train.recipe import Recipe
from rtsep.train.store import Concert

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Examples:
    """What is cut out of concerts for a recipe.

    Parameters
    ----------
    recipe : Recipe
    concerts : sequence of Concert
    stem : str
        Which mic's; empty: all, or for task `sources` all of them.
    context : (int, int)
        Samples by which the network's output is shorter, before and after.
    frames : int
        Of an example; the recipe's, 0.

    Raises
    ------
    InputError
        If concerts do not fit each other or the recipe.
    """

    recipe: Recipe
    concerts: Sequence[Concert]
    stem: str = ""
    context: tuple[int, int] = (0, 0)
    frames: int = 0

    def __post_init__(self) -> None:
        r = self.recipe
        first = self.concerts[0]
        if r.task in ("mic", "target") and not self.stem:
            problem = f"a network of {r.name} is for one stem"
            raise InputError("--stem", problem, "known: " + ", ".join(first.names))
        for one in self.concerts:
            if self.stem and self.stem not in one.names:
                raise InputError("--stem", f"there is no {self.stem} in all concerts",
                                 "known: " + ", ".join(first.names))
            if not self.stem and one.names != first.names and r.task != "mics":
                raise InputError("--data", f"some have {', '.join(first.names)}, others {', '.join(one.names)}",
                                 "allowed are the same names in all")
            if len(one.names) != len(first.names) and r.task in ("mics", "gains"):
                raise InputError("--data", f"some have {len(first.names)} mics, others {len(one.names)}",
                                 "allowed is one number of mics")
            if r.task in ("mic", "mics", "gains") and not len(one.images):
                raise InputError("--data", "nobody knows what its mics should have heard",
                                 f"{r.name} is trained on clean stems")
            if one.frames < self.samples:
                problem = f"an example of {r.name} has {self.samples / r.rate:.2f} s, a concert {one.frames / r.rate:.2f}"
                raise InputError("--seconds", problem, "make them longer")

    @property
    def samples(self) -> int:
        """Length of what is cut out."""
        frames = self.frames or self.recipe.frames
        return self.recipe.window + (frames - 1) * self.recipe.hop if self.recipe.window else frames

    @property
    def sources(self) -> tuple[str, ...]:
        """What comes out of the network by name; empty: one output for each channel."""
        if self.recipe.task == "target":
            return (self.stem,)
        if self.recipe.task != "sources":
            return ()
        return (self.stem, "rest") if self.stem else self.concerts[0].names

    def batch(self, size: int, *seed: int) -> Pair:
        """Return `size` inputs and targets, of seeds that name the batch."""
        rng = np.random.default_rng(seed)
        pairs = [self._one(rng) for _ in range(size)]
        return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])

    def _one(self, rng: np.random.Generator) -> Pair:
        concert = self.concerts[int(rng.integers(len(self.concerts)))]
        start = int(rng.integers(concert.frames - self.samples + 1))
        part = slice(start, start + self.samples)
        mics = np.asarray(concert.mics[:, part], np.float32)
        if self.recipe.task == "gains":
            return mics, self._gains(concert, part).astype(np.float32)
        x, y = self._signals(concert, mics, part)
        if self.recipe.kind == "magnitude":
            r = self.recipe
            return magnitudes(x, r.window, r.hop, r.taper), magnitudes(y, r.window, r.hop, r.taper)
        before, after = self.context
        return x, y[..., before : y.shape[-1] - after]

    def _signals(self, concert: Concert, mics: Audio, part: slice) -> tuple[Audio, Audio]:
        """Return input and target as signals, with the axes that the spectrum keeps."""
        task, names = self.recipe.task, concert.names
        if task == "mics":
            return mics, np.asarray(concert.images[:, part], np.float32)
        if task == "mic":
            row = names.index(self.stem)
            return mics[row][None], np.asarray(concert.images[row, part], np.float32)[None]
        # Separators learn the stems as the mics have them, bleed and all: what the bleed papers measure.
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
