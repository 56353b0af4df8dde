"""Systems against bleed between close microphones (SYSTEMS.md 1.5 to 1.12)."""

from __future__ import annotations

import dataclasses

from rtsep.catalogue.spec import CAUSAL, FRAMES, RANGE, WINDOW, FrameSpec, both, causal, offline, system
from rtsep.params import Option

_OVERLAP = Option("overlap", int, 4, "Frames to a window.", 2, 32)
_MICS = "one close microphone for each source, two at least"
_SPARSE = (
    offline(dataclasses.replace(WINDOW, default=4096), _OVERLAP, CAUSAL,
            Option("iterations", int, 6, "Rounds of powers, then leaks; not if causal.", 1, 1000)),
    both(Option("first_leak", float, 0.5, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0)),
    both(Option("sparsity", float, 40.0, "How few sources are expected to share a bin.", 0.0, 1e6), default=100.0),
    causal(Option("steps", int, 3, "Steps on the powers in each frame.", 1, 6)),
)

BLEED = (
    system(
        "kamir", "1.5", "each source's image in its close microphones: bleed taken out by Wiener gains",
        "two microphones at least, close ones for each source",
        "leaks learnt over seconds, powers and gains per frame; no look-ahead",
        "Prätzlich, Bittner, Liutkus, Müller, ICASSP 2015", "rtsep.systems.kamir", "Kamir",
        (
            FRAMES,
            offline(
                dataclasses.replace(WINDOW, default=8192), dataclasses.replace(_OVERLAP, default=8), CAUSAL,
                Option("close", str, "", "Close mics of each source, as 1,2;3 for two; empty: mic n of source n."),
                Option("iterations", int, 5, "Rounds of powers, then leaks; not if causal.", 1, 100),
                Option("leak_updates", int, 1, "Steps on the leaks in each round; not if causal.", 1, 10),
            ),
            both(Option("first_leak", float, 0.8, "Leak between two mics to begin with, a power ratio.", 1e-4, 1.0)),
            both(Option("least_leak", float, 0.05, "Least leak ever.", 1e-6, 1.0)),
            both(Option("normalise", bool, True, "Let the leaks into each mic sum to 1.")),
            offline(Option("kernel", int, 1, "Frames of the median over a source's power, odd. Not if causal.",
                           1, 999)),
            both(Option("form", str, "iterated", "Learn leaks, or one pass with those to begin with.",
                        choices=("iterated", "logistic"))),
            causal(Option("steps", int, 1, "Steps on the powers in each frame.", 1, 6)),
            causal(Option("memory_s", float, 10.0, "Seconds that leaks are learnt from.", 0.1, 600.0)),
        ),
        FrameSpec(
            "KamirLive", "Wiener gains from leaks learnt as it runs, by what is left of each source in its own mic",
            RANGE, turned={"range_db": -30},
            hint="Wiener gains by what is left of each source in its own microphone.",
        ),
        blind=True,
    ),
    system(
        "mira", "1.6", "each source's image in its own microphone: bleed taken out by Wiener gains", _MICS,
        "leaks learnt over seconds, powers and gains per frame; no look-ahead",
        "Di Carlo, Déguernel, Liutkus, AES Semantic Audio 2017", "rtsep.systems.mira", "Mira",
        (
            FRAMES, *_SPARSE,
            causal(Option("memory_s", float, 10.0, "Seconds that leaks are learnt from.", 0.1, 600.0)),
        ),
        FrameSpec(
            "MiraLive", "Wiener gains from one model of the powers in all mics, learnt as it runs", RANGE,
            turned={"range_db": -30},
            hint="Wiener gains from one model of the powers in all microphones, learnt as it runs.",
        ),
        blind=True,
    ),
    system(
        "fastmira", "1.7", "as mira, with leaks from a small sample of the recording", _MICS,
        "leaks from a reservoir of past frames, fitted a few at a time; powers and gains per frame",
        "Di Carlo, Liutkus, Déguernel, ICASSP 2018", "rtsep.systems.fastmira", "FastMira",
        (
            FRAMES, *_SPARSE,
            offline(Option("sketch", str, "frames", "Frames chosen at random, or random sums of all as published.",
                           choices=("frames", "projection"))),
            both(Option("frames", int, 512, "Size of the sketch: frames kept, from which leaks are learnt.",
                        16, 4096)),
            causal(Option("share", int, 4, "How many of them each frame goes over.", 1, 64)),
            offline(Option("seed", int, 0, "Of what is chosen at random; not if causal.", 0, 2**31)),
            causal(Option("memory_s", float, 30.0, "Seconds that the frames are taken from.", 0.1, 3600.0)),
        ),
        FrameSpec(
            "FastMiraLive", "as mira, with leaks from a sample of past frames, fitted again and again", RANGE,
            turned={"range_db": -30},
            hint="As mira, with leaks from a sample of past frames; for microphones that stay where they are.",
        ),
        blind=True,
    ),
    system(
        "postfilter", "1.12", "bleed that a linear or unsuited cleaner has left in each microphone",
        "pairs of a mic and its cleaned one, two at least; or mics and `cleaned`",
        "gains per frame for every second channel, from it and the one before it; no look-ahead",
        "Rajesh, Rajan, WASPAA 2023", "rtsep.systems.postfilter", "PostFilter",
        (
            FRAMES,
            offline(
                WINDOW, _OVERLAP, CAUSAL,
                Option("cleaned", str, "",
                       "File, folder or system with the cleaned mics; empty: every second channel."),
            ),
            both(Option("strength", float, 0.2, "How much of the neighbours is taken away.", 0.0, 4.0)),
            both(Option("floor", float, 0.1, "Least gain beside the bleedy mic.", 0.0, 1.0)),
            both(Option("smooth_ms", float, 20.0, "Time constant of the gain.", 0.0, 500.0)),
        ),
        FrameSpec(
            "PostFilterLive",
            "takes what is left out of every second channel, the cleaned one of the channel before it", RANGE,
            turned={"range_db": -30},
            hint="Every second input is the cleaned one of the input before it; takes out what its cleaner has left.",
        ),
    ),
)
