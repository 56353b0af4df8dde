"""Every example runs as it is, says what it promises, and leaves nothing behind."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
Numbers = list[float]


def _levels(found: Numbers) -> bool:
    """Of before and after: something is taken away, and nobody is silenced."""
    return all(after < before < after + 12 for before, after in zip(found[::2], found[1::2], strict=True))


# What is true of the numbers that each one prints.
EXPECTED: dict[str, Callable[[Numbers], bool]] = {
    "clean_a_recording": _levels,
    "stream_blocks": lambda found: found[0] == 128 and found[-1] > 6,
    "between_pedalboards": lambda found: found[1] == found[2] and 0.1 < found[3] < 2,
    "soundcheck": lambda found: found[-1] > found[0] + 5,
    "separate_a_song": lambda found: found[3] > found[1] + 0.2,
    "evaluate_a_scene": lambda found: len(found) == 12 and min(found) > 0,
}


def test_every_example_is_expected() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_example_runs(name: str, tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = [float(text) for text in re.findall(r"(?<![\w-])[-+]?\d+(?:\.\d+)?(?=\s|$|,|;)", done.stdout)]
    assert EXPECTED[name](found), done.stdout
    assert list(tmp_path.iterdir()) == []
