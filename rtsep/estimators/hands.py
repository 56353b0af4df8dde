"""Hands: the left and the right hand of a piano recording, by its score.

Use it on a keyboard recording with an aligned MIDI file that has a track or channel for each hand, or whose hands can
be told by pitch. Do not expect it to part two hands that strike the same key at the same time: that is one sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtsep.estimators import score as scores
from rtsep.estimators.nmf_score import Informed, read
from rtsep.estimators.separator import Audio, Passage


@dataclass
class Hands:
    """Score-informed decomposition into two hands.

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
    by : str
        How the hands are told: two tracks, two channels, by pitch; `auto` takes the first that the score has.
    split : int
        MIDI pitch from which on notes are the right hand's, if they are told by pitch.
    onsets : bool
        A second template for each pitch, for its attacks.
    save : str
        File to which the learnt templates are written, for the live stage `nmf`, where a pitch belongs to the hand
        that plays it longest; empty: none.

    References
    ----------
    Ewert & Müller, "Using score-informed constraints for NMF-based source separation", ICASSP 2012,
    doi:10.1109/ICASSP.2012.6287834; Müller, Fundamentals of Music Processing, section 8.3.4.
    """

    window: int = 2048
    divergence: str = "kl"
    iterations: int = 50
    score: str = ""
    by: str = "auto"
    split: int = 60
    onsets: bool = True
    save: str = ""
    _model: Informed | None = field(default=None, init=False, repr=False)

    def fit(self, excerpt: Passage) -> None:
        """Read the score and tell the hands."""
        groups = scores.by_hand("by", read(self.score, excerpt), self.by, self.split)
        self._model = Informed(
            groups, self.window, excerpt.rate, self.divergence, self.iterations, onsets=self.onsets
        )

    def separate(self, passage: Passage) -> dict[str, Audio]:
        """See `Separator.separate`; the parts `left` and `right`, which add up to the recording."""
        assert self._model is not None
        parts = self._model.separate(passage)
        if self.save:
            self._model.dictionary().save(self.save)
        return parts
