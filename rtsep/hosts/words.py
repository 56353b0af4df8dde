"""Words: what is said of a run's stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtsep.figures import known_latency, milliseconds


def what_runs(info: Mapping[str, Any]) -> str:
    """Say which device runs, how, and how late it is; `info` is what its process tells when it has started."""
    devices = info["input_device"]
    if info["output_device"] != devices:
        devices += " -> " + (info["output_device"] or "nothing")
    late = info["latency_samples"]
    return (
        f"{info['host_api']}: {devices}, {info['stream_rate']:g} Hz, blocks of {info['block']}, "
        f"{info['channels']} microphones; latency {late} samples ({1000 * late / info['sample_rate']:.2f} ms) "
        f"+ device {milliseconds(info['device_latency_s'])}"
    )



def of_the_stream(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's summary says of its stream."""
    told = ("latency_samples", "sample_rate", "channels", "host_api", "input_device", "output_device", "startup_s")
    return {**{name: info[name] for name in told}, "device_latency_s": known_latency(info["device_latency_s"])}
