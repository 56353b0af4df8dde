"""Live systems of section 2: spatial."""

from __future__ import annotations

from live import Live

from rtsep.systems.adress import Adress, AdressLive
from rtsep.systems.duet import Duet, DuetLive
from rtsep.systems.projet import Projet, ProjetLive

_LEFT_TO_RIGHT = ("source1", "source2", "source3")

LIVE: dict[str, Live] = {
    "duet": Live(
        lambda: DuetLive("duet", 512, 512, 128, 3, 3.0, 1.0, 2.0), lambda: Duet(512, True, 3, 3.0, 1.0, 2.0),
        _LEFT_TO_RIGHT, 2,
    ),
    "duet by pan only": Live(
        lambda: DuetLive("duet", 512, 512, 128, 2, 0.0, 0.5), lambda: Duet(512, True, 2, 0.0, 0.5),
        _LEFT_TO_RIGHT[:2], 2,
    ),
    "adress": Live(
        lambda: AdressLive("adress", 512, 512, 128), lambda: Adress(512, True), ("source1", "rest"), 2,
    ),
    "projet": Live(
        lambda: ProjetLive("projet", 512, 512, 128, 3, 3, 2.0), lambda: Projet(512, True, 3, 50, 0.0, 3, 2.0),
        _LEFT_TO_RIGHT, 2,
    ),
}
