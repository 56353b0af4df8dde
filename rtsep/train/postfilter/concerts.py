"""Concerts to learn from: what the microphones hear, what the canceller makes of it, and the truth."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep import presets, scenes
from rtsep.atomic import replacing
from rtsep.learning import learn
from rtsep.session import Session
from rtsep.train.sidebyside import each

Audio = NDArray[np.float32]

RATE = 48000
_SECONDS = 14.0
_BLOCK = 512                 # what the canceller's `doubt` may change at
_SOUNDCHECK_SECONDS = 4.0
_CHECKED = 0.3               # of the concerts that can begin after a soundcheck do
_MISSING, _CLIPPED = 0.1, 0.05   # of the concerts: a source without a mic; mics that clip
_AFTER = "+soundcheck"       # at the end of such a concert's kind
_LEVEL_DB = 6.0              # bleed is that much stronger or weaker than the scene's own


@dataclass(frozen=True, eq=False)
class CleanedConcert:
    """A concert that the canceller has cleaned.

    Parameters
    ----------
    heard, cleaned, truth : float32[mics, frames]
        At 48 kHz.
    doubt : float32[mics, frames / 512]
        What the canceller said of the bleed that it left; see `rtsep.stage.Stage.doubt`.
    kind : str
        What it was made from.
    """

    heard: Audio
    cleaned: Audio
    truth: Audio
    doubt: Audio
    kind: str

    @property
    def checked(self) -> bool:
        """Whether it began after a soundcheck."""
        return self.kind.endswith(_AFTER)

    def save(self, path: pathlib.Path) -> None:
        """Write it, beside and renamed."""
        with replacing(path) as file:
            np.savez(file, heard=self.heard, cleaned=self.cleaned, truth=self.truth, doubt=self.doubt, kind=self.kind)


def load(path: pathlib.Path) -> CleanedConcert:
    """Read a concert."""
    with np.load(path) as kept:
        return CleanedConcert(kept["heard"], kept["cleaned"], kept["truth"], kept["doubt"], str(kept["kind"]))


def make(number: int, cases: Sequence[str] = ()) -> CleanedConcert:
    """Make a concert from its number, always the same one.

    Parameters
    ----------
    number : int
    cases : sequence of str
        Files of `mix` float32[mics, frames] and `images` float32[mics, sources, frames]; half of the concerts are
        made of them.
    """
    rng = np.random.default_rng([number, 77])
    if cases and rng.random() < 0.5:
        return _cleaned(*_of_case(cases[int(rng.integers(len(cases)))], rng), rng)
    return _cleaned(*_of_scene(number, rng), rng)


def make_all(
    folder: pathlib.Path, count: int, cases: Sequence[str], processes: int, advance: Callable[[float], None],
) -> list[pathlib.Path]:
    """Make concerts 0 to `count` - 1 that are not in a folder yet; what is there is kept when it is interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.npz" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    arguments = [(number, tuple(cases), paths[number]) for number in missing]
    for done, _ in enumerate(each(_make_and_save, arguments, processes), 1):
        advance(1 - (len(missing) - done) / count)
    return paths


def _make_and_save(number: int, cases: Sequence[str], path: pathlib.Path) -> None:
    make(number, cases).save(path)


Parts = tuple[Audio, Audio, tuple[Audio, list[tuple[str | int, float, float]]] | None, str]


def _of_scene(number: int, rng: np.random.Generator) -> Parts:
    """Return what mics hear, the truth, a soundcheck or None, and the kind."""
    kind = str(rng.choice(["room", "room", "hall", "room-moving"]))
    mics = max(3 if kind == "room-moving" else 2, int(rng.integers(2, 9)))
    checked = mics <= 6 and rng.random() < _CHECKED
    made = scenes.make_scene(kind, 700000 + number, mics, _SECONDS, RATE, _SOUNDCHECK_SECONDS if checked else 0.0)
    begin = made.mics.shape[1] - round(_SECONDS * RATE)
    truth = made.images[:, begin:]
    # The paths of a soundcheck hold at its own level only.
    louder = 1.0 if checked else 10 ** (rng.uniform(-_LEVEL_DB, _LEVEL_DB) / 20)
    heard = truth + np.float32(louder) * (made.mics[:, begin:] - truth)
    solos: list[tuple[str | int, float, float]] = [
        (mic, start, end) for mic, (_, start, end) in enumerate(made.solos, 1)
    ]
    return heard, truth, (made.mics[:, :begin], solos) if checked else None, kind


def _of_case(path: str, rng: np.random.Generator) -> Parts:
    with np.load(path) as case:
        heard, images = case["mix"], case["images"]
    own = np.arange(len(heard))
    truth = images[own, own]
    chosen = rng.permutation(own)[: int(rng.integers(min(2, len(own)), len(own) + 1))]
    return heard[chosen], truth[chosen], None, pathlib.Path(path).stem


def _cleaned(
    heard: Audio, truth: Audio, check: tuple[Audio, list[tuple[str | int, float, float]]] | None, kind: str,
    rng: np.random.Generator,
) -> CleanedConcert:
    if len(heard) > 3 and rng.random() < _MISSING and check is None:
        heard, truth = heard[1:], truth[1:]
    if rng.random() < _CLIPPED:
        most = np.abs(heard).max() / 2
        heard = np.clip(heard, -most, most)
    names = [f"mic{n}" for n in range(len(heard))]
    known = None if check is None else learn(np.ascontiguousarray(check[0]), RATE, check[1], names)
    blocks = heard.shape[1] // _BLOCK
    heard = np.ascontiguousarray(heard[:, : blocks * _BLOCK], np.float32)
    cleaned, doubt = np.empty_like(heard), np.empty((len(heard), blocks), np.float32)
    session = Session.open(presets.load("live"), RATE, names, known, ())
    try:
        runner = session.start()
        canceller = next(stage for stage in session.engine.chain.stages if stage.doubt is not None)
        for block in range(blocks):
            place = slice(block * _BLOCK, (block + 1) * _BLOCK)
            out = np.empty((len(heard), _BLOCK), np.float32)
            runner.process(np.ascontiguousarray(heard[:, place]), out)
            cleaned[:, place], doubt[:, block] = out, canceller.doubt
    finally:
        session.close()
    return CleanedConcert(heard, cleaned, np.ascontiguousarray(truth[:, : blocks * _BLOCK], np.float32), doubt,
                   kind + ("" if check is None else _AFTER))
