"""Stages that every chain may have: the input's trim and the spectrum that suppresses what is left of the bleed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rtsep.catalogue.networks import missing
from rtsep.catalogue.spec import PASSED_OVER, FrameSpec, Saving, StageSpec
from rtsep.errors import InputError
from rtsep.params import Option, Param

INPUT = StageSpec(
    "Input", "gain, polarity and alignment delay of each microphone",
    (
        Param("gain_db", "dB", -60.0, 24.0, 0.0, True, "Trim before everything."),
        Param("invert", "on", 0.0, 1.0, 0.0, True, "Turn the polarity."),
        Param("delay_ms", "ms", 0.0, 500.0, 0.0, True, "Alignment delay, beside the chain's latency."),
    ),
    (
        Option("max_delay_ms", float, 50.0, "Longest alignment delay.", 0.0, 500.0),
    ),
    "input", "rtsep.stages.mix",
)


@dataclass(frozen=True)
class SpectralSpec(FrameSpec):
    """Windows, and who decides the gains."""

    def check(self, options: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
        """See `StageSpec.check`: a model is a file that is there, and somebody must ask it."""
        model = options["model"]
        if model and options["estimator"] != "learned":
            raise InputError("model", f"nobody asks {model}", 'write estimator = "learned"')
        if model and not os.path.isfile(model):
            raise InputError("model", f"there is no file {model}", "leave it out for the one that comes with rtsep")
        return super().check(options, written)

    def notes(self, options: Mapping[str, Any], mics: int) -> list[str]:
        """See `StageSpec.notes`: whether a network can be asked."""
        absent = missing()
        if options["estimator"] != "learned" or not absent or mics < 2:
            return []
        return [f"{absent[0]} is not installed: gains without a network (pip install 'rtsep[cpu]')"]


SPECTRAL = SpectralSpec(
    "Spectral", "short-time spectrum, a gain in every bin, overlap-add",
    (
        Param("range_db", "dB", -60.0, 0.0, -18.0, True, "The most that is ever taken away."),
        Param("strength", "", 0.0, 4.0, 1.0, False, "How much the estimated bleed is multiplied by."),
        Param("attack_ms", "ms", 0.0, 500.0, 0.0, False, "Time for a gain to open."),
        Param("release_ms", "ms", 0.0, 2000.0, 20.0, False, "Time for a gain to close."),
    ),
    (
        Option("analysis", int, 1024, "Analysis window, samples.", 128, 8192, 64),
        Option("synthesis", int, 512, "Synthesis window, samples: most of the latency.", 128, 8192, 64),
        Option("hop", int, 128, "Samples between two frames.", 64, 4096, 64),
        Option("estimator", str, "residual", "Who decides the gains.", choices=("residual", "learned", "unity")),
        Option("model", str, "", "Network (.onnx) of the learned estimator; empty: the one that comes with rtsep."),
    ),
    "spectral", "rtsep.stages.spectral",
    savings=(Saving("suppressor", PASSED_OVER),),
)

BASICS = (
    INPUT,
    SPECTRAL,
)

OUTPUT_PARAMS = (
    Param("gain_db", "dB", -60.0, 12.0, 0.0, True, "Level behind everything but the limiter."),
    Param("mute", "on", 0.0, 1.0, 0.0, True, "Silence."),
    Param("solo", "on", 0.0, 1.0, 0.0, True, "Silence every microphone without solo."),
    Param("dry", "on", 0.0, 1.0, 0.0, True, "The microphone as it came, as late as the cleaned one."),
    Param("dry_all", "on", 0.0, 1.0, 0.0, False, "All microphones dry."),
    Param("mute_all", "on", 0.0, 1.0, 0.0, False, "All microphones silent."),
    Param("early_clip_db", "dB", -40.0, 0.0, -6.0, False, "Peak of an input from which on the meters warn."),
    Param("clear_clips", "on", 0.0, 1.0, 0.0, False, "A button: forget what has clipped; a host lets it go."),
)
"""Of the engine's own stage behind every chain; it cannot be left out."""

EAR_PARAMS = (
    Param("listen", "", 0.0, 3.0, 0.0, True, "What is heard of the mic: 0 nothing, 1 in, 2 out, 3 what is removed."),
    Param("pfl", "on", 0.0, 1.0, 0.0, True, "Heard before its level, mute and solo; without `listen`: its out."),
    Param("level_db", "dB", -60.0, 12.0, 0.0, False, "Level of the ear."),
    Param("dim", "on", 0.0, 1.0, 0.0, False, "Make the ear softer for a while."),
    Param("dim_db", "dB", -60.0, 0.0, -20.0, False, "How much softer."),
    Param("mix", "on", 0.0, 1.0, 1.0, False, "With no mic chosen, all are heard as they go out; else silence."),
)
"""Of the ear bus (`rtsep.hosts.ear`), which the engineer listens to; of no effect where no output is given to it."""

OWN_PARAMS = (("output", OUTPUT_PARAMS), ("ear", EAR_PARAMS))
"""Groups of parameters that are always there, whatever the chain is."""
