"""Masks, and systems that tell sounds by their shape in a spectrogram (SYSTEMS.md 3, 4.7)."""

from __future__ import annotations

from rtsep.catalogue.spec import (
    ANALYSIS,
    CAUSAL,
    FRAMED,
    RANGE,
    WINDOW,
    FrameSpec,
    both,
    causal,
    keep,
    live,
    offline,
    system,
)  # fmt: skip
from rtsep.params import Option

_HARMONIC = Option("harmonic_ms", float, 200.0, "Length of the horizontal kernel, over time.", 1.0, 1000.0)
_PERCUSSIVE = both(Option("percussive_hz", float, 500.0, "Length of the vertical kernel, over frequency.",
                          10.0, 10000.0))
_PERIODS = offline(
    Option("shortest_s", float, 0.8, "Shortest period, seconds.", 0.05, 60.0),
    Option("longest_s", float, 8.0, "Longest period, seconds.", 0.05, 60.0),
)
_BACKGROUND = both(Option("background_hz", float, 100.0, "Everything below is background.", 0.0, 24000.0))
_PITCHES = (
    both(Option("fmin", float, 98.0, "Lowest pitch, Hz; two periods must fit into the window.", 20.0, 2000.0)),
    both(Option("fmax", float, 400.0, "Highest pitch, Hz.", 30.0, 4000.0)),
    both(Option("threshold", float, 0.15, "The first dip of the difference below it is the period.", 0.0, 1.0)),
)
_WIDTH = both(Option("width_hz", float, 25.0, "Half the width of a harmonic.", 1.0, 500.0))

KERNELS = (
    system(
        "hpss", "3.2", "sustained (harmonic) and struck (percussive) sounds, and what is neither",
        "any number of channels", "medians of past frames and of the frame's bins; no look-ahead",
        "FitzGerald, DAFx 2010; Driedger, Müller, Disch, ISMIR 2014", "rtsep.systems.hpss", "Hpss",
        (
            *FRAMED,
            both(Option("harmonic_ms", float, 200.0, "Length of the median over time.", 1.0, 1000.0), high=5000.0),
            both(Option("percussive_hz", float, 500.0, "Length of the median over frequency.", 10.0, 10000.0)),
            both(Option("margin", float, 1.0,
                        "Above 1 only what is so many times clearer counts; the rest is residual.", 1.0, 100.0)),
            both(Option("mask", str, "soft", "Shares or all-or-nothing; a margin above 1 is always the latter.",
                        choices=("soft", "binary"))),
        ),
        FrameSpec(
            "HpssLive", "keeps the sustained or the struck sounds of each mic",
            (*RANGE, keep("harmonic", "percussive", "residual")), turned={"keep": 0},
            hint="Keeps what sounds on (0) or what is struck (1) in each microphone; `hpss.keep.MIC`.",
        ),
    ),
    system(
        "masks", "3.1", "what each mic hears louder than the others; true sources as a yardstick",
        "two mics or more, or one and its true sources", "a share of every bin, frame by frame; no look-ahead",
        "Liutkus, Badeau, ICASSP 2015; Duong, Vincent, Gribonval, IEEE TASLP 2010", "rtsep.systems.masks", "Masks",
        (
            *FRAMED,
            both(
                Option("mask", str, "wiener", "Who gets a bin: all of it, or shares by |X|, |X|² or |X|^alpha.",
                       choices=("binary", "soft", "wiener", "alpha")),
                help="Who gets a bin: all, or shares by |X|, |X|² or |X|^alpha; or by place.",
                choices=("binary", "soft", "wiener", "alpha", "multichannel"),
            ),
            both(Option("alpha", float, 1.2, "Exponent of alpha.", 0.1, 4.0)),
            offline(Option("iterations", int, 1, "Of multichannel.", 1, 100)),
            both(Option("logit", bool, False, "Push masks towards 0 and 1.")),
            offline(Option("sources", str, "",
                           "File or folder with the true sources; empty: the mics are their own sources.")),
        ),
        FrameSpec(
            "MasksLive", "keeps in each mic what it hears louder than the others do", RANGE,
            turned={"range_db": -20, "attack_ms": 5, "release_ms": 50},
            hint="Each microphone keeps what it hears louder than the others do.",
        ),
        blind=True,
    ),
    system(
        "repet", "3.3", "what repeats with one period (background), and what is in front of it",
        "any number of channels, three periods or more", "offline: the period and all its repetitions are needed",
        "Rafii, Pardo, IEEE TASLP 2013", "rtsep.systems.repet", "Repet",
        (
            offline(
                WINDOW,
                Option("period_s", float, 0.0, "Seconds after which the background repeats; 0: found.", 0.0, 60.0),
            ),
            _PERIODS, _BACKGROUND,
        ),
    ),
    system(
        "repet-adaptive", "3.3", "what repeats with a changing period, and what is in front of it",
        "any number of channels, three periods or more", "offline: half of the repetitions are in the future",
        "Liutkus et al., ICASSP 2012", "rtsep.systems.repet", "AdaptiveRepet",
        (
            offline(WINDOW), _PERIODS, _BACKGROUND,
            offline(
                Option("stretch_s", float, 10.0, "Length in which a period is found.", 1.0, 60.0),
                Option("step_s", float, 5.0, "From one such stretch to the next.", 0.1, 60.0),
                Option("order", int, 5, "How many repetitions the median is taken of.", 1, 99),
            ),
        ),
    ),
    system(
        "repet-sim", "3.3", "what repeats without a period, and what is in front of it", "any number of channels",
        "similar frames of the last 10 s; no look-ahead", "Rafii, Pardo, ISMIR 2012, ICASSP 2013",
        "rtsep.systems.repet_sim", "RepetSim",
        (
            live(
                ANALYSIS,
                Option("synthesis", int, 1024, "Synthesis window, samples: most of the latency.", 128, 8192, 64),
                Option("hop", int, 512, "Samples between two frames.", 64, 4096, 64),
            ),
            offline(WINDOW, CAUSAL),
            both(Option("similar", int, 100, "Of so many frames the median is taken, at most.", 1, 1000)),
            both(Option("apart_s", float, 1.0, "Seconds between two of them, at least.", 0.0, 30.0)),
            both(Option("threshold", float, 0.0, "Similarity above which a frame is similar.", 0.0, 1.0)),
            causal(Option("buffer_s", float, 10.0, "How far back similar frames are looked for.", 0.1, 30.0)),
            _BACKGROUND,
        ),
        FrameSpec(
            "RepetSimLive", "keeps what repeats, or what does not, by similar frames of the last seconds",
            (*RANGE, keep("background", "foreground")), turned={"keep": 1, "range_db": -20},
            hint="Keeps what repeats (0) or what does not (1) in each microphone; `repet_sim.keep.MIC`.",
        ),
    ),
    system(
        "kam", "3.4", "sustained, struck, repeating and voice-like sounds, by kernels", "any number of channels",
        "past frames and the frame's bins; no look-ahead",
        "Liutkus, FitzGerald, Rafii, Pardo, Daudet, IEEE TSP 2014", "rtsep.systems.kam", "Kam",
        (
            *FRAMED,
            offline(Option("kernels", str, "horizontal,vertical",
                           "Of horizontal, vertical, periodic, cross: one source each.")),
            both(Option("iterations", int, 2, "How often sources are filtered and shared out anew.", 1, 5), high=20),
            both(_HARMONIC, high=5000.0), _PERCUSSIVE,
            offline(
                Option("period_s", float, 0.0, "Of the periodic kernel; 0: found.", 0.0, 60.0),
                Option("cross_ms", float, 60.0, "Length of the cross.", 1.0, 1000.0),
                Option("cross_hz", float, 60.0, "Height of the cross.", 1.0, 5000.0),
            ),
        ),
        FrameSpec(
            "KamLive", "keeps the sustained or the struck sounds of each mic, fitted back several times",
            (*RANGE, keep("horizontal", "vertical")), turned={"keep": 0},
            hint="Keeps what sounds on (0) or what is struck (1) in each microphone, fitted back twice; "
                 "`kam.keep.MIC`.",
        ),
    ),
    system(
        "yin", "3.5", "a leading voice by its pitch, and the rest", "any number of channels",
        "the pitch of each frame; latency of the window, which holds two periods",
        "de Cheveigné, Kawahara, JASA 2002", "rtsep.systems.yin", "Yin",
        (
            *FRAMED, *_PITCHES,
            both(Option("voiced", float, 0.8, "A frame whose deepest dip is above it has no pitch.", 0.0, 2.0)),
            _WIDTH,
            offline(Option("model", str, "mask", "Voice as bins of the mixture, or as sinusoids made anew.",
                           choices=("mask", "sinusoids"))),
        ),
        FrameSpec(
            "YinLive", "keeps the harmonics of each mic's pitch, or the rest", (*RANGE, keep("voice", "rest")),
            turned={"keep": 0, "range_db": -20, "release_ms": 20},
            hint="Keeps a voice by its pitch (0), or what is not its tone (1), in each microphone; `yin.keep.MIC`.",
        ),
    ),
    system(
        "cascade", "4.7", "a singing voice: its tone, its unsteady parts and its consonants; and the accompaniment",
        "any number of channels", "offline: four systems one after the other, each with its own window",
        "Driedger, Müller, ICASSP 2015", "rtsep.systems.cascade", "Cascade",
        (
            *_PITCHES, _WIDTH,
            offline(
                Option("rank", int, 10, "Templates of the voice, and of the rest, in the residual.", 1, 200),
                Option("iterations", int, 20, "Of the factorisation.", 1, 1000),
            ),
        ),
    ),
)
