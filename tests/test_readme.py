"""Every command and every program of the README does what it says."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
from jack_server import jack_server

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def shell(text: str, folder: pathlib.Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-e", "-c", text], cwd=folder, env={**environment, "PATH": path}, capture_output=True, text=True,
        check=False, timeout=300,
    )


def test_there_are_blocks_of_each_kind() -> None:
    assert len([b for b in BLOCKS if "make " in b]) == 1
    assert len([b for b in BLOCKS if "rtsep run" in b]) == 1
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", [b for b in BLOCKS if "rtsep " in b and "rtsep run" not in b])
def test_commands_run(block: str, tmp_path: pathlib.Path) -> None:
    done = shell(block, tmp_path, dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run(program: str, tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "improvement" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_program() -> None:
    assert len(PROGRAMS) == 1
    assert len(PROGRAMS[0].splitlines()) <= 12


@pytest.mark.parametrize("block", [b for b in BLOCKS if "rtsep run" in b])
def test_live_commands_run(block: str, tmp_path: pathlib.Path) -> None:
    with jack_server(channels=2) as server:
        done = shell(block, tmp_path, server.environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", [b for b in BLOCKS if "make " in b])
def test_make_targets_are_what_the_block_says(block: str) -> None:
    """Running `make test` here would never end: make tells what it would do."""
    for line in block.splitlines():
        target = line.split("#")[0].split()
        shown = subprocess.run(["make", "--dry-run", *target[1:]], cwd=ROOT, capture_output=True, text=True, check=True)
        assert {"demo": "rtsep demo", "test": "python -m pytest"}[target[1]] in shown.stdout


def test_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).stat().st_size > 1000
