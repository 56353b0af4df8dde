"""Live systems: templates."""

from __future__ import annotations

from live import Live

from rtsep.systems import drums
from rtsep.systems.drums import Drums, DrumsLive
from rtsep.systems.nae import Nae, NaeLive

LIVE: dict[str, Live] = {
    "drums": Live(
        lambda: DrumsLive("drums", 512, 512, 128, frames=6), lambda: Drums(512, 128, True, frames=6), drums.PARTS,
    ),
    "nae": Live(lambda: NaeLive("nae", 512, 512, 128), lambda: Nae(512, True), drums.PARTS),
}
