"""Factorisations of a spectrogram (SYSTEMS.md 4.1 to 4.3)."""

from __future__ import annotations

from rtsep.catalogue.spec import FRAMED, RANGE, WINDOW, FrameSpec, both, offline, system
from rtsep.params import Option, Param

_DIVERGENCE = Option("divergence", str, "kl", "What is minimised: squares, Kullback-Leibler or Itakura-Saito.",
                     choices=("euclidean", "kl", "is"))
_INFORMED = Option("iterations", int, 50, "Updates of templates and strengths.", 1, 1000)
_SCORE = Option("score", str, "", "A MIDI file.")
_ONSETS = Option("onsets", bool, True, "A second template for each pitch, for its attacks.")
_SAVE = Option("save", str, "", "File to write the learnt templates to, for the live stage nmf.")

FACTORS = (
    system(
        "nmf", "4.1", "sounds that return with the same spectrum, learnt or from a file",
        "any number of channels; a file of templates, or sound to learn them from",
        "templates known beforehand; their strengths in each frame by itself; no look-ahead",
        "Lee & Seung, NIPS 2000; Févotte & Idier, Neural Computation 2011", "rtsep.systems.nmf", "Nmf",
        (
            *FRAMED,
            offline(
                _DIVERGENCE, Option("rank", int, 12, "How many templates are learnt.", 1, 200),
                Option("parts", int, 0, "How many groups they make; 0 = each is a part.", 0, 64),
            ),
            both(
                Option("templates", str, "combs", "A file (.npz) of templates, or combs: one for each semitone."),
                default="", help="A file (.npz) of templates; combs: one for each semitone; empty: learn.",
            ),
            both(Option("split", int, 60, "MIDI pitch from which on combs are high.", 37, 84)),
            both(Option("iterations", int, 20, "Updates of the strengths in each frame.", 1, 100), high=1000),
            offline(_SAVE),
        ),
        FrameSpec(
            "NmfLive", "keeps one group of known spectra of each mic",
            (*RANGE, Param("keep", "", 0.0, 63.0, 0.0, True,
                           "Number of the part that is heard: of combs, 0 low and 1 high.")),
            turned={"keep": 0},
            hint="Keeps what sounds below middle C (0) or above (1) in each microphone; `nmf.keep.MIC`. Give it "
                 "`templates`, a file that `rtsep separate --method nmf --set save=FILE` has learnt, to keep one of "
                 "its parts instead.",
        ),
    ),
    system(
        "nmf-score", "4.2", "the tracks or pitches of a score", "any number of channels; a MIDI file that runs along",
        "offline: live it would need the score to follow the players; the templates it saves run in the stage nmf",
        "Ewert & Müller, ICASSP 2012", "rtsep.systems.nmf_score", "NmfScore",
        (offline(
            WINDOW, _DIVERGENCE, _INFORMED, _SCORE,
            Option("constrain", str, "both", "What the score limits.", choices=("both", "templates", "activations")),
            _ONSETS,
            Option("parts", str, "tracks", "What becomes a part.", choices=("tracks", "pitches")),
            _SAVE,
        ),),
    ),
    system(
        "hands", "4.3", "the left and the right hand of a piano", "any number of channels; a MIDI file that runs along",
        "offline: live it would need the score to follow the player; the templates it saves run in the stage nmf",
        "Ewert & Müller, ICASSP 2012", "rtsep.systems.hands", "Hands",
        (offline(
            WINDOW, _DIVERGENCE, _INFORMED, _SCORE,
            Option("by", str, "auto", "How the hands are told: two tracks, two channels, or by pitch.",
                   choices=("auto", "track", "channel", "split")),
            Option("split", int, 60, "MIDI pitch from which on a note is the right hand's.", 0, 127),
            _ONSETS, _SAVE,
        ),),
    ),
)
