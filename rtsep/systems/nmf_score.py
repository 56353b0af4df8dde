"""NMF with a score: the factorisation may only contain what the score says, because zeros stay zeros.

Use it to take a recording apart by the tracks (or pitches) of a MIDI file that runs along with it, or to learn one
template for each pitch of an instrument. Do not use it with a score that is not aligned to within a few tenths of a
second, nor for instruments without pitch. Where the score has a rest, what is heard is shared out evenly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.catalogue import SYSTEMS
from rtsep.errors import InputError
from rtsep.systems import score as scores
from rtsep.systems.dictionary import Dictionary, scaled
from rtsep.systems.midi import Note
from rtsep.systems.nmf import factorise, level, power_of
from rtsep.systems.separator import Audio, Passage
from rtsep.systems.spectrum import Spectrum

Matrix = NDArray[np.floating[Any]]

_WHOLE_SECONDS = 100   # an excerpt shorter than this is all of the recording (`Separator.fit`)
_UNSURE = np.float32(1e-6)   # weight of a part that plays a pitch, but not now: counts where no part plays it now
_LITTLE = 1e-6               # added to every bin of the model, as a share of its mean: shared out evenly


_DEFAULTS = SYSTEMS["nmf-score"].defaults


@dataclass
class ByScore:
    """Score-informed factorisation of all channels, with templates that they share; a subclass says into which parts.

    Parameters
    ----------
    window : int
        Samples; frames overlap by three quarters.
    divergence : str
        As in `Nmf`.
    iterations : int
        Updates of templates and strengths in each passage.
    score : str
        A MIDI file.
    onsets : bool
        A second template for each pitch, for its attacks.
    save : str
        File to which the learnt templates are written, for the live stage `nmf`, where a pitch belongs to the part
        that plays it longest; empty: none.

    References
    ----------
    Ewert & Müller, "Using score-informed constraints for NMF-based source separation", ICASSP 2012,
    doi:10.1109/ICASSP.2012.6287834; Müller, Fundamentals of Music Processing, section 8.3.
    """

    window: int = _DEFAULTS["window"]
    divergence: str = _DEFAULTS["divergence"]
    iterations: int = _DEFAULTS["iterations"]
    score: str = _DEFAULTS["score"]
    onsets: bool = _DEFAULTS["onsets"]
    save: str = _DEFAULTS["save"]
    _model: Informed | None = field(default=None, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Read the score; the templates are learnt from each passage, where it is known what is played."""
        self._model = self._informed(read(self.score, excerpt), excerpt.rate)

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; the parts, as the score has them, add up to the recording."""
        assert self._model is not None
        parts = self._model.separate(passage)
        if self.save:
            self._model.dictionary().save(self.save)
        return parts

    def _informed(self, notes: Sequence[Note], rate: int) -> Informed:
        raise NotImplementedError


@dataclass
class NmfScore(ByScore):
    """The tracks, or the pitches, of a score; options besides those of `ByScore`.

    Parameters
    ----------
    constrain : str
        What the score limits: `templates` (partials of the pitches), `activations` (times of the notes), or `both`.
    parts : str
        `tracks` or `pitches`. All parts of a passage are in memory together.
    """

    constrain: str = _DEFAULTS["constrain"]
    parts: str = _DEFAULTS["parts"]

    def _informed(self, notes: Sequence[Note], rate: int) -> Informed:
        groups = scores.by_track(notes) if self.parts == "tracks" else scores.by_pitch(notes)
        return Informed(groups, self.window, rate, self.divergence, self.iterations, self.constrain, self.onsets)


class Informed:
    """What a score's notes make of a recording, passage by passage.

    Templates learnt from a passage are where the next one starts; a pitch that is not played keeps its own.

    Parameters
    ----------
    groups : mapping of str to sequence of Note
        The notes of each part.
    window, rate : int
    divergence, iterations, constrain, onsets
        As in `NmfScore`.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[Note]], window: int, rate: int, divergence: str, iterations: int,
        constrain: str = "both", onsets: bool = True,
    ) -> None:
        self._groups = groups
        self._notes = [note for notes in groups.values() for note in notes]
        self._spectrum = Spectrum(window, window // 4)
        self._rate, self._divergence, self._iterations = rate, divergence, iterations
        self._constrain, self._onsets = constrain, onsets
        self._learnt: dict[int, Matrix] = {}   # pitch: float32[bins, 1 or 2], with onsets [onset, tone]

    def start(self, pitches: Sequence[int], times: NDArray[np.float64]) -> tuple[Matrix, Matrix]:
        """Return W float32[bins, rank] and H float32[rank, times] to start from: 0 is what the score rules out.

        With onsets, columns 2 i and 2 i + 1 are attack and tone of pitch i.
        """
        each = 2 if self._onsets else 1
        w = np.concatenate([self._learnt[p] if p in self._learnt else self._template(p) for p in pitches], axis=1)
        h = np.ones((each * len(pitches), len(times)), np.float32)
        if self._constrain != "templates":
            h[each - 1 :: each] = scores.sounding(self._notes, pitches, times)
        if self._onsets:
            h[::2] = scores.beginning(self._notes, pitches, times)
        return w, h

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """Return the parts of a passage."""
        frames, spectrum = passage.sound.shape[1], self._spectrum
        power = np.zeros((spectrum.count(frames), spectrum.bins), np.float32)
        for sound in passage.sound:
            power += power_of(spectrum.analyse(sound[None])[0])
        # A frame ends at a hop: what it tells is about its middle.
        times = (passage.first + np.arange(len(power)) * spectrum.hop - spectrum.window / 2) / self._rate
        pitches = self._played(times)
        parts = {name: np.empty_like(passage.sound) for name in self._groups}
        if not pitches or not power.any():   # nothing is known, or nothing can be learnt
            for part in parts.values():
                np.multiply(passage.sound, np.float32(1 / len(parts)), out=part)
            return parts
        w, h = self.start(pitches, times)
        w, h = factorise(level(power, self._divergence).T, w, h, self._divergence, self._iterations)
        each = 2 if self._onsets else 1
        for row, pitch in enumerate(pitches):
            self._learnt[pitch] = w[:, each * row : each * (row + 1)].copy()
        weights = {name: weight.repeat(each, axis=0) for name, weight in self._weights(pitches, times).items()}
        for channel, sound in enumerate(passage.sound):
            spectra = spectrum.analyse(sound[None])[0]
            if len(passage.sound) > 1:
                wanted = level(power_of(spectra), self._divergence).T
                _, strengths = factorise(wanted, w, h, self._divergence, self._iterations, fixed_w=True)
            else:
                strengths = h
            everyone = strengths.T @ w.T
            little = np.float32(max(float(everyone.mean()) * _LITTLE, float(np.finfo(np.float32).tiny)))
            everyone += little
            for name, weight in weights.items():
                mask = (strengths * weight).T @ w.T
                mask += little / np.float32(len(weights))
                mask /= everyone
                parts[name][channel] = spectrum.resynthesise((mask * spectra)[None], frames)[0]
        return parts

    def dictionary(self) -> Dictionary:
        """Return what has been learnt, for the live stage: a pitch belongs to the part that plays it longest.

        Raises
        ------
        InputError
            If nothing was played.
        """
        if not self._learnt:
            raise InputError("save", "the score has no notes within the recording, so nothing was learnt")
        names, pitches = tuple(self._groups), sorted(self._learnt)
        played = np.array([
            [sum(note.end - note.start for note in notes if note.pitch == pitch) for notes in self._groups.values()]
            for pitch in pitches
        ])
        each = 2 if self._onsets else 1
        return Dictionary(
            scaled(np.concatenate([self._learnt[pitch] for pitch in pitches], axis=1).T),
            played.argmax(axis=1).repeat(each), names, self._spectrum.window, self._rate, self._divergence,
        )

    def _template(self, pitch: int) -> Matrix:
        bins = self._spectrum.bins
        tone = np.ones(bins, np.float32) if self._constrain == "activations" else \
            scores.pitch_template(pitch, self._spectrum.window, self._rate)
        return np.stack([np.full(bins, scores.ONSET_LEVEL), tone][0 if self._onsets else 1 :], axis=1)

    def _played(self, times: NDArray[np.float64]) -> list[int]:
        """Return the pitches that may sound at one of the times."""
        return sorted({
            note.pitch for note in self._notes
            if note.start - scores.ONSET_BEFORE < times[-1] and note.end + scores.AFTER > times[0]
        })

    def _weights(self, pitches: Sequence[int], times: NDArray[np.float64]) -> dict[str, Matrix]:
        """Return each part's share of each pitch, float32[pitches, times]; they add up to 1."""
        weights = {}
        for name, notes in self._groups.items():
            plays = np.isin(pitches, [note.pitch for note in notes]).astype(np.float32)
            weights[name] = scores.sounding(notes, pitches, times) + _UNSURE * plays[:, None]
        total = np.sum(list(weights.values()), axis=0)
        return {name: weight / total for name, weight in weights.items()}


def read(path: str, excerpt: Passage) -> list[Note]:
    """Return the notes of a score for a recording.

    Raises
    ------
    InputError
        If there are none, or all begin after the recording has ended.
    """
    notes = scores.read("score", path)
    seconds = excerpt.sound.shape[1] / excerpt.rate
    if seconds < _WHOLE_SECONDS and notes[0].start > seconds:
        raise InputError(
            path, f"its first note is at {notes[0].start:.1f} s", f"the recording ends at {seconds:.1f} s"
        )
    return notes
