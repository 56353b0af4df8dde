"""Live systems: matrices."""

from __future__ import annotations

from live import Live

from rtsep.stages.unmix import Matrix
from rtsep.systems.altmin import Altmin, AltminLive
from rtsep.systems.auxiva import Auxiva, AuxivaLive
from rtsep.systems.demix import Demix
from rtsep.systems.fastica import Fastica, FasticaLive

MIXING = [[1.0, 0.2, 0.1], [0.3, 1.0, 0.2], [0.1, 0.1, 1.0]]

LIVE: dict[str, Live] = {
    "altmin": Live(
        lambda: AltminLive(low=0.05, memory_s=0.5, every_s=0.05),
        lambda: Altmin(low=0.05, causal=True, memory_s=0.5, every_s=0.05),
    ),
    "altmin with the mix first": Live(
        lambda: AltminLive(mix=1, learn=True, low=0.02, high=0.4, tolerance=1e-6, iterations=50, memory_s=1.0),
        lambda: Altmin(1, "gram", True, 0.02, 0.4, 1e-6, 50, True, 1.0),
    ),
    "auxiva": Live(lambda: AuxivaLive("auxiva", 512, 512, 64, 0.3), lambda: Auxiva(512, causal=True, memory_s=0.3)),
    "demix": Live(lambda: Matrix(mixing=MIXING), lambda: Demix("1 .2 .1; .3 1 .2; .1 .1 1")),
    "fastica": Live(
        lambda: FasticaLive(window_s=0.1, kept=512, steps=6),
        lambda: Fastica(causal=True, window_s=0.1, kept=512, steps=6),
    ),
}
