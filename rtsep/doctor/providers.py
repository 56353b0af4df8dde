"""Models: what would run them here."""

from __future__ import annotations

import importlib.util

from rtsep.doctor.finding import GOOD, Finding


def providers() -> list[Finding]:
    """Say what runs models, if anything does: no preset needs one."""
    if importlib.util.find_spec("onnxruntime") is None:
        return [Finding("models", GOOD, "onnxruntime is not installed; presets without models need none")]
    import onnxruntime

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return [Finding("models", GOOD, f"onnxruntime {onnxruntime.__version__}: {', '.join(names)}")]
