"""Templates in time and learnt encoders (SYSTEMS.md 4.4 to 4.6)."""

from __future__ import annotations

from rtsep.catalogue.spec import CAUSAL, FRAMED, FRAMES, RANGE, WINDOW, FrameSpec, both, keep, offline, system
from rtsep.params import Option

TEMPLATES = (
    system(
        "mosaic", "4.5", "the recording, played with the sounds of another one",
        "any number of channels; another recording as material",
        "offline: every frame of the material is a template, and its runs are found by looking ahead",
        "Driedger, Prätzlich, Müller, ISMIR 2015", "rtsep.systems.mosaic", "Mosaic",
        (offline(
            Option("material", str, "", "Recording whose sounds are used, 30 s at most."), WINDOW,
            Option("repetition", int, 3, "Frames within which one of the material is not used again.", 0, 100),
            Option("polyphony", int, 10, "Frames of the material that sound at once; 0 = any number.", 0, 1000),
            Option("continuity", int, 3, "Frames that follow each other as in the material.", 0, 100),
            Option("iterations", int, 20, "Updates.", 1, 1000),
            Option("griffin_lim", int, 0, "Rounds that make phases consistent.", 0, 1000),
        ),),
    ),
    system(
        "nae", "4.4", "what was learnt: parts of an annotation, or as many components as asked for",
        "any number of channels; an annotation (MIDI or a table) makes it informed",
        "weights from a soundcheck; each frame is encoded by one product; no look-ahead",
        "Smaragdis, Venkataramani, ICASSP 2017; Ewert, Sandler, ICASSP 2017", "rtsep.systems.nae", "Nae",
        (
            *FRAMED,
            offline(
                Option("parts", int, 4, "How many components, without an annotation.", 1, 16),
                Option("update", str, "multiplicative", "How it learns.", choices=("multiplicative", "gradient")),
                Option("iterations", int, 200, "Updates.", 1, 10000),
                Option("score", str, "", "What may sound when: a MIDI file or a .csv of start_s,end_s,part[,pitch]."),
            ),
            both(
                Option("templates", str, "", "What `rtsep separate --method nae` saved (.npz); none: made drums."),
                help="Weights that were saved (.npz).",
            ),
            offline(Option("save", str, "", "Where the weights are written (.npz).")),
        ),
        FrameSpec(
            "NaeLive", "keeps one of the parts that an autoencoder has learnt",
            (*RANGE, keep(*(f"part {n}" for n in range(1, 17)))), turned={"keep": 0},
            hint="Keeps one of the parts that an autoencoder has learnt; `nae.keep.MIC`. Set `templates` to a file "
                 "that `rtsep separate --method nae --set save=...` made of a soundcheck; without one the parts are "
                 "kick, snare, hi-hat.",
        ),
    ),
    system(
        "drums", "4.6", "kick, snare and hi-hat",
        "any number of channels, and an annotation of the hits or templates from a soundcheck",
        "templates from a soundcheck; hits of the last frames found anew at every frame; no look-ahead",
        "Dittmar, Müller, IEEE/ACM TASLP 2016", "rtsep.systems.drums", "Drums",
        (
            FRAMES,
            offline(
                WINDOW, Option("hop", int, 512, "Samples between two frames.", 32, 32768, 8), CAUSAL,
                Option("score", str, "", "When each drum is hit: a MIDI file or a .csv of time_s,drum."),
            ),
            both(
                Option("templates", str, "",
                       "What `rtsep separate --method drums` saved (.npz); none: built-in ones."),
                help="What was saved at a soundcheck (.npz).",
            ),
            offline(Option("save", str, "", "Where the templates of the first minute are written (.npz).")),
            both(Option("frames", int, 8, "Length of the templates that are made here, frames.", 1, 64)),
            offline(Option("iterations", int, 30, "Updates.", 1, 1000)),
        ),
        FrameSpec(
            "DrumsLive", "keeps the kick, the snare or the hi-hat of each drum mic",
            (*RANGE, keep("kick", "snare", "hi-hat")), turned={"keep": 0},
            hint="Keeps the kick (0), snare (1) or hi-hat (2) of each drum mic; `drums.keep.MIC`. Set `templates` to "
                 "a file that `rtsep separate --method drums --set save=...` made of a soundcheck: the built-in ones "
                 "are no drum kit's.",
        ),
    ),
)
