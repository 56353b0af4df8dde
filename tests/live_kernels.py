"""Live systems of section 3."""

from __future__ import annotations

from live import Live

from rtsep.systems.hpss import Hpss, HpssLive
from rtsep.systems.kam import Kam, KamLive
from rtsep.systems.masks import Masks, MasksLive
from rtsep.systems.repet_sim import RepetSim, RepetSimLive
from rtsep.systems.yin import Yin, YinLive

_SIMILAR = {"similar": 3, "apart_s": 0.1, "threshold": 0.2, "buffer_s": 1.0, "background_hz": 120.0}
_PITCH = {"fmin": 200.0, "fmax": 900.0, "threshold": 0.2, "voiced": 1.5, "width_hz": 40.0}

LIVE = {
    "hpss": Live(
        lambda: HpssLive("hpss", 512, 512, 128, 60.0, 500.0), lambda: Hpss(512, True, 60.0, 500.0),
        ("harmonic", "percussive"),
    ),
    "hpss with a residual": Live(
        lambda: HpssLive("hpss", 512, 512, 128, 60.0, 500.0, 2.0), lambda: Hpss(512, True, 60.0, 500.0, 2.0),
        ("harmonic", "percussive", "residual"),
    ),
    "masks": Live(lambda: MasksLive("masks", 512, 512, 128), lambda: Masks(512, True)),
    "masks, binary": Live(
        lambda: MasksLive("masks", 512, 512, 128, mask="binary"), lambda: Masks(512, True, mask="binary")
    ),
    "masks, alpha and logit": Live(
        lambda: MasksLive("masks", 512, 512, 128, mask="alpha", alpha=0.7, logit=True),
        lambda: Masks(512, True, mask="alpha", alpha=0.7, logit=True),
    ),
    "repet_sim": Live(
        lambda: RepetSimLive("repet_sim", 512, 512, 128, **_SIMILAR), lambda: RepetSim(512, True, **_SIMILAR),
        ("background", "foreground"),
    ),
    "kam": Live(
        lambda: KamLive("kam", 512, 512, 128, 3, 60.0, 500.0),
        lambda: Kam(512, True, iterations=3, harmonic_ms=60.0, percussive_hz=500.0), ("horizontal", "vertical"),
    ),
    "yin": Live(
        lambda: YinLive("yin", 512, 512, 128, **_PITCH), lambda: Yin(512, True, **_PITCH), ("voice", "rest"),
    ),
}
