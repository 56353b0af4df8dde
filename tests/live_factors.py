"""Live systems: factors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from live import Live

from rtsep.systems.dictionary import Dictionary, scaled
from rtsep.systems.nmf import Nmf, NmfLive

_FILES: list[tempfile.TemporaryDirectory[str]] = []   # removed when the process ends


def templates(divergence: str) -> str:
    """Return a file of random templates in three parts, for windows of 512 samples at 16 kHz."""
    folder = tempfile.TemporaryDirectory()
    _FILES.append(folder)
    path = str(Path(folder.name) / f"{divergence}.npz")
    rng = np.random.default_rng(3)
    spectra = scaled(rng.random((11, 257)) ** 6)
    Dictionary(spectra, np.arange(11) % 3, ("one", "two", "three"), 512, 16000, divergence).save(path)
    return path


def case(divergence: str) -> Live:
    """Return the stage and the system with the same templates."""
    path = templates(divergence)
    return Live(
        lambda: NmfLive("nmf", 512, 512, 128, path, iterations=8),
        lambda: Nmf(512, True, templates=path, iterations=8), ("one", "two", "three"),
    )


LIVE: dict[str, Live] = {
    "nmf with combs": Live(
        lambda: NmfLive("nmf", 1024, 1024, 256, "combs", 55, 10),
        lambda: Nmf(1024, True, iterations=10, templates="combs", split=55), ("low", "high"),
    ),
    "nmf, euclidean": case("euclidean"), "nmf, kl": case("kl"), "nmf, is": case("is"),
}
