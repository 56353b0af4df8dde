"""The child that looks at a plug-in of a file: what it finds it says line by line of JSON, whatever becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rtsep.plugins import explaining, measuring


def main(told: Mapping[str, Any]) -> None:
    """Load it, look at it, and say so in the file that was named."""
    with open(told["answer"], "a", encoding="utf-8") as answer:
        def say(**words: Any) -> None:
            answer.write(json.dumps(words) + "\n")
            answer.flush()

        try:
            (explaining if "first" in told else measuring).look(told, say)
        except Exception as error:   # whatever a plug-in may make pedalboard raise
            say(problem=f"cannot be used: {' '.join(str(error).split())[:200] or type(error).__name__}")
