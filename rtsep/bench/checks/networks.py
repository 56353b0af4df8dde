"""Acceptance of the networks: sections 1.8, 1.10, 1.11 and 5.1 to 5.6, as far as no training is needed.

What a network reaches depends on its training. What rtsep must do for any of them can be shown without: run a model of
the published inputs and outputs on a whole recording, and give back, in step, all that the model passes on.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured
from rtsep.systems.networks import Network
from rtsep.systems.separator import Passage, make

_SAME = 1e-5
"""Largest difference of samples of full scale 1: what float32 spectra and two changes of rate leave."""


def _separated(name: str, passage: Passage, *settings: str) -> tuple[Network, dict[str, np.ndarray], float]:
    from rtsep.bench import toymodels  # an optional dependency

    with tempfile.TemporaryDirectory() as folder:
        path = toymodels.save(toymodels.shaped(name), Path(folder) / "m.onnx")
        system = make(name, (f"model={path}", *settings))
        begun = time.perf_counter()
        system.fit(passage)
        parts = system.separate(passage)
    seconds = passage.sound.shape[1] / passage.rate
    return system, parts, (time.perf_counter() - begun) / seconds   # type: ignore[return-value]


def _passed_on(name: str) -> Measured:
    """Give all sources of a model that shares out what it gets, together, against the recording."""
    from rtsep.bench.toymodels import SHAPES  # an optional dependency

    rate = SHAPES[name]["rate"]
    mics = np.asarray(sts.scene_c().mics, np.float32)
    passage = Passage(mics, rate, sts.NAMES)   # at the network's own rate: what a change of rate takes is no fault here
    _, parts, cost = _separated(name, passage)
    if SHAPES[name]["sources"]:
        total = sum(parts.values())
    else:
        total = np.concatenate([parts[mic] for mic in sts.NAMES])
    return Measured(float(np.abs(total - mics).max()), cost)


def _gains() -> Measured:
    """Undo what a model of gains tells, where it is right."""
    scene = sts.scene_a()
    passage = Passage(np.asarray(scene.mics, np.float32), sts.RATE, sts.NAMES)
    _, parts, cost = _separated("t-unet", passage)
    own = np.concatenate([parts[name] for name in sts.NAMES])
    return Measured(float(sts.sdr(scene.sources, own).min()), cost)


_CLAIM = "a model of its shape that passes all on, Scene C: off the recording by"

CHECKS = (
    *(
        Check(section, name, _CLAIM, _SAME, False, "", partial(_passed_on, name))
        for section, name in (
            ("1.8", "cae"), ("1.11", "f-unet"), ("1.11", "df-unet"), ("1.11", "df-unet-gat"), ("5.1", "mdensenet"),
            ("5.1", "mmdensenet"), ("5.2", "wavenet"), ("5.3", "deepconvsep"), ("5.4", "wave-u-net"),
            ("5.5", "mask-inference"), ("5.6", "open-unmix"),
        )
    ),
    Check("1.10", "t-unet", "a model that tells the true Λ, Scene A, files", 100.0, True, "dB SDR", _gains),
)
