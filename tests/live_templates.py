"""Live systems: templates."""

from __future__ import annotations

from live import Live

from rtsep.estimators import drums
from rtsep.estimators.drums import Drums, DrumsLive

LIVE: dict[str, Live] = {
    "drums": Live(
        lambda: DrumsLive("drums", 512, 512, 128, frames=6), lambda: Drums(512, 128, True, frames=6), drums.PARTS,
    ),
}
