"""Models: what would run them here."""

from __future__ import annotations

from rtsep.catalogue.networks import missing
from rtsep.doctor.finding import GOOD, Finding


def providers() -> list[Finding]:
    """Say what runs models, if anything does: no preset needs one."""
    from rtsep.models.file import INSTALL

    if absent := missing():
        text = f"{' and '.join(absent)} not installed; presets without models need none ({INSTALL})"
        return [Finding("models", GOOD, text)]
    import onnxruntime

    from rtsep.models.session import working

    return [Finding("models", GOOD, f"onnxruntime {onnxruntime.__version__} runs them on {', '.join(working())}")]
