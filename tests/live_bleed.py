"""Live systems: bleed."""

from __future__ import annotations

from live import Live

from rtsep.systems.fastmira import FastMira, FastMiraLive
from rtsep.systems.kamir import Kamir, KamirLive
from rtsep.systems.mira import Mira, MiraLive
from rtsep.systems.postfilter import PostFilter, PostFilterLive

LIVE: dict[str, Live] = {
    "mira": Live(
        lambda: MiraLive("mira", 512, 512, 128, 0.4, 30.0, 2, 3.0),
        lambda: Mira(512, 4, True, first_leak=0.4, sparsity=30.0, steps=2, memory_s=3.0),
    ),
    "kamir": Live(
        lambda: KamirLive("kamir", 512, 512, 128, 0.7, 0.02, True, "iterated", 2, 0.5),
        lambda: Kamir(512, 4, True, first_leak=0.7, least_leak=0.02, steps=2, memory_s=0.5),
    ),
    "kamir in one pass": Live(
        lambda: KamirLive("kamir", 512, 512, 256, form="logistic"),
        lambda: Kamir(512, 2, True, form="logistic"),
    ),
    "fastmira": Live(
        lambda: FastMiraLive("fastmira", 512, 512, 128, 0.5, 40.0, 2, 64, 3, 0.6),
        lambda: FastMira(512, 4, True, sparsity=40.0, steps=2, frames=64, share=3, memory_s=0.6),
    ),
    "postfilter": Live(
        lambda: PostFilterLive("postfilter", 512, 512, 128, 0.4, 0.05, 30.0),
        lambda: PostFilter(512, 4, True, strength=0.4, floor=0.05, smooth_ms=30.0),
        channels=4,
    ),
}
