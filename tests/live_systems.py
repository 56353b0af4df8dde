"""All live systems."""

from __future__ import annotations

import live_bleed
import live_factors
import live_kernels
import live_matrices
import live_spatial
import live_templates
from live import Live

LIVE: dict[str, Live] = {
    **live_matrices.LIVE, **live_bleed.LIVE, **live_spatial.LIVE, **live_kernels.LIVE, **live_factors.LIVE,
    **live_templates.LIVE,
}
