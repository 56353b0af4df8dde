"""Live systems of section 3."""

from __future__ import annotations

from live import Live

from rtsep.estimators.hpss import Hpss, HpssLive

LIVE = {
    "hpss": Live(
        lambda: HpssLive("hpss", 512, 512, 128, 60.0, 500.0), lambda: Hpss(512, True, 60.0, 500.0),
        ("harmonic", "percussive"),
    ),
    "hpss with a residual": Live(
        lambda: HpssLive("hpss", 512, 512, 128, 60.0, 500.0, 2.0), lambda: Hpss(512, True, 60.0, 500.0, 2.0),
        ("harmonic", "percussive", "residual"),
    ),
}
