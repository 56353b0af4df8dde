"""rtsep: removes the bleed from every microphone of a concert, while the concert runs.

What a Python program needs is here; sound is float32[channels, frames] everywhere. `clean` takes the bleed out of a
recording and `Stream` out of blocks, `learn` finds out who bleeds where, `separate` has all other systems, `evaluate`
says how good a result is, and `scenes` makes concerts with known truth. The command line does the same, bit for bit.

Nothing is imported before it is used: `import rtsep` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep import calibration, learnt, presets, scenes
    from rtsep.calibration import Calibration
    from rtsep.errors import InputError
    from rtsep.evaluation import evaluate
    from rtsep.learning import learn
    from rtsep.separation import separate
    from rtsep.stream import Stream, clean

__version__ = "0.1.0"

__all__ = [
    "Calibration", "InputError", "Stream", "calibration", "clean", "evaluate", "learn", "learnt", "presets", "scenes",
    "separate",
]  # fmt: skip

# Where each name is; the same as above, for Python itself.
_HOMES = {
    "Calibration": "rtsep.calibration", "InputError": "rtsep.errors", "Stream": "rtsep.stream", "clean": "rtsep.stream",
    "evaluate": "rtsep.evaluation", "learn": "rtsep.learning", "separate": "rtsep.separation",
}  # fmt: skip

if not TYPE_CHECKING:   # else every name would be one

    def __getattr__(name: str) -> object:
        """Import what is asked for."""
        if name in _HOMES:
            found = getattr(importlib.import_module(_HOMES[name]), name)
        elif name in __all__:
            found = importlib.import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Name what there is, imported or not."""
        return sorted({*globals(), *__all__})
