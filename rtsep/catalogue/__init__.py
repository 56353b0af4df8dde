"""Every stage's and every system's name, options, parameters and traits. Light to import: nothing is compiled.

One file for each family. A new system is one entry in its family's file, for the live stage and the offline system
alike; all tables of this package follow from it.
"""

from __future__ import annotations

from rtsep.catalogue.basics import BASICS, EAR_PARAMS, OUTPUT_PARAMS, OWN_PARAMS
from rtsep.catalogue.bleed import BLEED
from rtsep.catalogue.canceller import CANCELLER
from rtsep.catalogue.factors import FACTORS
from rtsep.catalogue.kernels import KERNELS
from rtsep.catalogue.matrices import MATRICES
from rtsep.catalogue.model import MODEL
from rtsep.catalogue.networks import NETWORKS
from rtsep.catalogue.remote import REMOTE
from rtsep.catalogue.spatial import SPATIAL
from rtsep.catalogue.spec import CLASS_LIMITS, StageSpec, System
from rtsep.catalogue.strips import STRIPS
from rtsep.catalogue.templates import TEMPLATES

SYSTEMS = {
    system.name: system for system in (*MATRICES, *BLEED, *SPATIAL, *KERNELS, *FACTORS, *TEMPLATES, *NETWORKS)
}
"""What `rtsep separate` offers, by name."""

STAGES = {
    spec.name: spec
    for spec in (
        *BASICS, CANCELLER, REMOTE, STRIPS, MODEL, *(system.stage for system in SYSTEMS.values() if system.stage)
    )
}
"""What a preset's chain may have, by name."""

__all__ = [
    "CLASS_LIMITS", "EAR_PARAMS", "OUTPUT_PARAMS", "OWN_PARAMS", "STAGES", "SYSTEMS", "StageSpec", "System",
    "latency_ms",
]  # fmt: skip


def latency_ms(system: System) -> float | None:
    """Return what a system's live stage adds at 48 kHz with its default options, in ms; None for an offline one."""
    return None if system.stage is None else system.stage.latency(system.stage.defaults) / 48
