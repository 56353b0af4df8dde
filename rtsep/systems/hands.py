"""Hands: the left and the right hand of a piano recording, by its score.

Use it on a keyboard recording with an aligned MIDI file that has a track or channel for each hand, or whose hands can
be told by pitch. Do not expect it to part two hands that strike the same key at the same time: that is one sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.catalogue import SYSTEMS
from rtsep.systems import score as scores
from rtsep.systems.midi import Note
from rtsep.systems.nmf_score import ByScore, Informed

_DEFAULTS = SYSTEMS["hands"].defaults


@dataclass
class Hands(ByScore):
    """The hands of a piano; options besides those of `ByScore`.

    Parameters
    ----------
    by : str
        How the hands are told: two tracks, two channels, by pitch; `auto` takes the first that the score has.
    split : int
        MIDI pitch from which on notes are the right hand's, if they are told by pitch.

    References
    ----------
    Müller, Fundamentals of Music Processing, section 8.3.4.
    """

    by: str = _DEFAULTS["by"]
    split: int = _DEFAULTS["split"]

    def _informed(self, notes: Sequence[Note], rate: int) -> Informed:
        groups = scores.by_hand("by", notes, self.by, self.split)
        return Informed(groups, self.window, rate, self.divergence, self.iterations, onsets=self.onsets)
