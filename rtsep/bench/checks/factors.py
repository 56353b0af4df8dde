"""Acceptance of sections 4.1 to 4.3: factorisation, plain and with a score."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed, version
from rtsep.systems.dictionary import frequency
from rtsep.systems.hands import Hands
from rtsep.systems.midi import Note
from rtsep.systems.nmf import factorise, level, loss, power_of
from rtsep.systems.nmf_score import Informed
from rtsep.systems.separator import Passage
from rtsep.systems.spectrum import Spectrum

_SCIKIT = {"euclidean": "frobenius", "kl": "kullback-leibler", "is": "itakura-saito"}
_ROUNDING = 1e-12   # of a divergence, as a share of it: what counts as growth must be more

Matrix = NDArray[np.floating[Any]]


def _product() -> tuple[Matrix, Matrix, Matrix]:
    """Return a 300 x 400 product of uniform random numbers of rank 12, and where the factorisation starts."""
    rng = np.random.default_rng(0)
    v = rng.random((300, 12)) @ rng.random((12, 400))
    return v, rng.random((300, 12)), rng.random((12, 400))


def _grown(divergence: str) -> Measured:
    v, w, h = _product()
    before, grown = loss(v, w, h, divergence), 0
    for _ in range(100):
        w, h = factorise(v, w, h, divergence, 1)
        after = loss(v, w, h, divergence)
        grown += after > before * (1 + _ROUNDING)
        before = after
    return Measured(float(grown))


def _error() -> Measured:
    v, w, h = _product()
    (spectra, strengths), seconds = timed(lambda: factorise(v, w, h, "euclidean", 100))
    reference = ""
    if version("scikit-learn"):
        scikit(v, w, h, "euclidean", 1)   # imports
        product, cost = timed(lambda: scikit(v, w, h, "euclidean", 100))
        error = np.linalg.norm(v - product[0] @ product[1]) / np.linalg.norm(v)
        reference = f"{version('scikit-learn')} (mu): {error:.3f}, {cost:.3f} s; here {seconds:.3f} s"
    return Measured(float(np.linalg.norm(v - spectra @ strengths) / np.linalg.norm(v)), reference=reference)


def _speed(divergence: str) -> Measured:
    """Return how many times as fast as scikit-learn a hundred updates are; medians of five, in turn."""
    v, w, h = _product()
    scikit(v, w, h, divergence, 1)
    own, theirs = [], []
    for _ in range(5):
        own.append(timed(lambda: factorise(v, w, h, divergence, 100))[1])
        theirs.append(timed(lambda: scikit(v, w, h, divergence, 100))[1])
    told = f"{version('scikit-learn')} (mu): {statistics.median(theirs):.3f} s; here {statistics.median(own):.3f} s"
    return Measured(statistics.median(theirs) / statistics.median(own), reference=told)


def scikit(v: Matrix, w: Matrix, h: Matrix, divergence: str, iterations: int) -> tuple[Matrix, Matrix]:
    """Return scikit-learn's factors after as many multiplicative updates."""
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(
        w.shape[1], init="custom", solver="mu", beta_loss=_SCIKIT[divergence], max_iter=iterations, tol=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        spectra = model.fit_transform(v, W=w.copy(), H=h.copy())
    return spectra, model.components_


@dataclass(frozen=True)
class Piece:
    """A piece for two hands, and its score.

    Parameters
    ----------
    left, right : float64[frames]
        At `sts.RATE`.
    notes : list of (start s, end s, pitch, hand)
        Hand 0 is the left.
    """

    left: sts.Signal
    right: sts.Signal
    notes: list[tuple[float, float, int, int]]


def two_hands(seconds: float = 16.0) -> Piece:
    """Return a waltz: bass and chords below, a melody above; notes of ten decaying partials, equally loud hands."""
    rng = np.random.default_rng(0)
    beat, frames = 0.5, int(seconds * sts.RATE)
    hands, notes = np.zeros((2, frames)), []
    chords = ((43, 55, 59), (40, 52, 55), (45, 52, 57), (38, 54, 57))
    melody = (62, 64, 66, 67, 69, 71, 74, 76)
    for number in range(int(seconds / beat) - 2):
        chord = chords[number // 3 % len(chords)]
        lower = chord[:1] if number % 3 == 0 else chord[1:]
        upper = [int(rng.choice(melody)) for _ in range(2)] if rng.random() < 0.6 else [int(rng.choice(melody))]
        notes += [(number * beat, (number + 0.9) * beat, pitch, 0) for pitch in lower]
        each = beat / len(upper)
        notes += [
            (number * beat + n * each, number * beat + (n + 0.9) * each, pitch, 1) for n, pitch in enumerate(upper)
        ]
    for start, end, pitch, hand in notes:
        first, length = round(start * sts.RATE), round((end - start + 0.1) * sts.RATE)
        time = np.arange(length) / sts.RATE
        edges = np.minimum(1, time / 0.005) * np.minimum(1, (time[-1] - time) / 0.1)
        for overtone in range(1, 11):
            wave = np.sin(2 * np.pi * overtone * frequency(pitch) * time + rng.random() * 2 * np.pi)
            hands[hand, first : first + length] += edges * np.exp(-(2 + 0.3 * overtone) * time) * wave / overtone**1.2
    hands *= 0.1 / np.sqrt((hands**2).mean(axis=1, keepdims=True))
    # As in SYSTEMS.md: the left hand 0.2 dB above the right.
    return Piece(hands[0] * 10 ** (0.2 / 20), hands[1], notes)


def write_score(path: str, notes: list[tuple[float, float, int, int]], separately: str = "track") -> None:
    """Write notes as MIDI: the hands in two tracks, on two channels of one (`channel`), or not told apart (`none`)."""
    import mido

    tempo, resolution = 500_000, 480
    file = mido.MidiFile(type=1, ticks_per_beat=resolution)
    tracks = [mido.MidiTrack() for _ in range(2 if separately == "track" else 1)]
    events: list[list[tuple[int, int, int, int]]] = [[] for _ in tracks]
    for start, end, pitch, hand in notes:
        channel = hand if separately == "channel" else 0
        for place, velocity in ((start, 64), (end, 0)):
            tick = round(mido.second2tick(place, resolution, tempo))
            events[hand if separately == "track" else 0].append((tick, velocity, pitch, channel))
    for track, those in zip(tracks, events, strict=True):
        now = 0
        for tick, velocity, pitch, channel in sorted(those):
            track.append(mido.Message("note_on", note=pitch, velocity=velocity, channel=channel, time=tick - now))
            now = tick
    file.tracks.extend(tracks)
    file.save(path)


def constrained(piece: Piece) -> tuple[Matrix, Matrix, Matrix]:
    """Return a piece's magnitudes float32[bins, frames], and the W and H that its score allows."""
    mix = (piece.left + piece.right).astype(np.float32)[None]
    notes = [Note(start, end, pitch, hand, 0) for start, end, pitch, hand in piece.notes]
    model = Informed({"all": notes}, 2048, sts.RATE, "euclidean", 0)
    wanted = level(power_of(Spectrum(2048, 512).analyse(mix)[0]), "euclidean").T
    times = (np.arange(wanted.shape[1]) * 512 - 1024) / sts.RATE
    return wanted, *model.start(sorted({note.pitch for note in notes}), times)


def _zeros(divergence: str) -> Measured:
    piece = two_hands()
    seconds = len(piece.left) / sts.RATE
    v, w, h = constrained(piece)

    def filled(factors: tuple[Matrix, ...]) -> int:
        return sum(int(np.count_nonzero(after[before == 0])) for before, after in zip((w, h), factors, strict=True))

    found, cost = timed(lambda: factorise(v, w, h, divergence, 50))
    reference = ""
    if divergence == "euclidean" and version("libfmp"):
        from libfmp.c8 import nmf

        wide = [matrix.astype(np.float64) for matrix in (v, w, h)]   # it takes nothing else
        nmf(wide[0], w.shape[1], 0.0, 1, *wide[1:])                  # compiles
        theirs, their_cost = timed(lambda: nmf(wide[0], w.shape[1], 0.0, 50, *wide[1:]))
        reference = f"{version('libfmp')}: {filled(theirs[:2])}, {their_cost / seconds:.3f} s/s"
    return Measured(float(filled(found)), cost / seconds, reference)


@cache
def _hands() -> dict[str, Measured]:
    piece = two_hands()
    mix = (piece.left + piece.right).astype(np.float32)
    passage = Passage(mix[None], sts.RATE, ("piano",))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "piece.mid")
        write_score(path, piece.notes)
        system = Hands(score=path)
        system.fit(passage)
        parts, seconds = timed(lambda: system.separate(passage))
    return {
        name: Measured(float(sts.sdr(truth, parts[name][0])), seconds / (len(mix) / sts.RATE))
        for name, truth in (("left", piece.left), ("right", piece.right))
    }


CHECKS: tuple[Check, ...] = (
    *(
        Check("4.1", "nmf", f"random 300x400, rank 12, {name}: steps of 100 that increase it", 0.0, False, "steps",
              partial(_grown, name))
        for name in _SCIKIT
    ),
    Check("4.1", "nmf", "random 300x400, rank 12: relative error after 100 iterations", 0.06, False, "", _error),
    *(
        Check("4.1", "nmf", f"random 300x400, rank 12, {name}: the reference's time", 1.0, True, "times",
              partial(_speed, name), slow=True)
        for name in _SCIKIT
    ),
    *(
        Check("4.2", "nmf-score", f"zeros of W and H filled by 50 iterations, {name}", 0.0, False, "entries",
              partial(_zeros, name), slow=name == "euclidean")   # libfmp is compiled
        for name in _SCIKIT
    ),
    Check("4.3", "hands", "synthetic piece for two hands: left hand", 10.0, True, "dB SDR", lambda: _hands()["left"]),
    Check("4.3", "hands", "synthetic piece for two hands: right hand", 10.0, True, "dB SDR", lambda: _hands()["right"]),
)
