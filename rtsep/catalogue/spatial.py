"""Systems that tell sources by their place between two channels (SYSTEMS.md 2.2 to 2.4)."""

from __future__ import annotations

import dataclasses

from rtsep.catalogue.spec import (
    ANALYSIS,
    CAUSAL,
    HOP,
    RANGE,
    SYNTHESIS,
    WINDOW,
    FrameSpec,
    both,
    causal,
    keep,
    live,
    offline,
    system,
)  # fmt: skip
from rtsep.params import Option, Param

# These want more frequencies than others; the latency is the same.
_FRAMED = (
    live(dataclasses.replace(ANALYSIS, default=4096), SYNTHESIS, HOP),
    offline(dataclasses.replace(WINDOW, default=4096), CAUSAL),
)
_SOURCES = both(Option("sources", int, 3, "How many sources.", 2, 8))
_MEMORY = Option("memory_s", float, 10.0, "Time after which what was learnt counts 1/e.", 0.1, 1000.0)
_FROM_LEFT = Param("keep", "", 0.0, 7.0, 0.0, True, "Which source is heard, counted from the left and from 0.")

SPATIAL = (
    system(
        "duet", "2.2", "sources with different pans, or delays between two mics close together", "two channels",
        "histogram with forgetting, a binary mask in every frame", "Rickard 2007", "rtsep.systems.duet", "Duet",
        (
            *_FRAMED, _SOURCES,
            both(Option("max_delay", float, 3.0, "Largest delay between two channels, samples; 0: pans only.",
                        0.0, 100.0)),
            both(Option("exponent", float, 1.0,
                        "Power of a bin's level in the histogram; less if one source is loudest.", 0.0, 2.0)),
            causal(_MEMORY),
        ),
        FrameSpec(
            "DuetLive", "keeps one source of each pair of channels, by pan and delay", (*RANGE, _FROM_LEFT),
            turned={"keep": 0},
            hint="Keeps one source of each pair of microphones or channels (1 and 2, 3 and 4, ...), counted from the "
                 "left; `duet.keep.MIC`. For sources panned apart, or two mics a hand's breadth apart.",
        ),
    ),
    system(
        "adress", "2.3", "what is at one place between two channels, and the rest", "two channels, panned by level",
        "every frame by itself; azimuth and width are turned live", "Barry, Lawlor, Coyle, DAFx 2004",
        "rtsep.systems.adress", "Adress",
        (
            *_FRAMED,
            offline(
                Option("azimuths", str, "45",
                       "Pan of each source, degrees from 0 (left) to 90, separated by commas."),
                Option("width", float, 0.2, "How far around an azimuth counts; 1 is from a side to the centre.",
                       0.0, 2.0),
            ),
            both(Option("steps", int, 100, "Gains that are tried on each side.", 4, 10000)),
        ),
        FrameSpec(
            "AdressLive", "keeps, or takes out, what is at one place between the channels of each pair",
            (
                *RANGE, keep("what is there", "the rest"),
                Param("azimuth", "", 0.0, 90.0, 45.0, True, "Pan that is meant, degrees: 0 left, 45 centre, 90 right."),
                Param("width", "", 0.0, 2.0, 0.2, True, "How far around counts; 1 is from a side to the centre."),
            ),
            turned={"keep": 0, "azimuth": 45, "width": 0.2},
            hint="Keeps (0) or takes out (1) what is panned to one place of each pair of channels (1 and 2, 3 and 4, "
                 "...); turn `adress.azimuth` (0 left, 45 centre, 90 right) and `adress.width` while it runs.",
        ),
    ),
    system(
        "projet", "2.4", "sources with different pans (offline: or delays) that overlap", "two channels",
        "where sources are is learnt slowly, how loud in every frame; pans only",
        "FitzGerald, Liutkus, Badeau, IEEE/ACM TASLP 2016", "rtsep.systems.projet", "Projet",
        (
            *_FRAMED, _SOURCES,
            offline(
                Option("iterations", int, 50, "Updates, both while learning and in every bin.", 1, 1000),
                Option("max_delay", float, 0.0, "Largest delay between the channels, samples; 0: pans only.",
                       0.0, 100.0),
            ),
            causal(Option("updates", int, 3, "Updates of the levels in a frame.", 1, 20)),
            causal(dataclasses.replace(_MEMORY, default=3.0)),
        ),
        FrameSpec(
            "ProjetLive", "keeps one source of each pair of channels, by pan; sources may overlap",
            (*RANGE, _FROM_LEFT), turned={"keep": 0},
            hint="Keeps one source of each pair of channels (1 and 2, 3 and 4, ...), counted from the left, though "
                 "others sound in the same bins; `projet.keep.MIC`.",
        ),
    ),
)
