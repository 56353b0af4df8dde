"""What CONTRIBUTING.md says is all that an extension takes: a toy of each kind, added to a copy of the tree, works."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from toys import Toy
from toys.everything import TOYS

ROOT = pathlib.Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
# HOUSE: how many files each kind of change may touch, tests and README among them.
MOST = {
    "A masking system, live and offline": 5, "A stage": 4, "A verb": 3, "A live parameter": 3, "A fixed option": 2,
    "A counter": 2, "A control surface": 2,
}
_COPIED = ("rtsep", "kernels", "tests", "presets", "README.md", "pyproject.toml")
_ONCE_MORE = """
from rtsep import figures
from rtsep.engine import Engine
from rtsep.presets import loads
from rtsep.stage import Format
text = 'schema = 1\\nname = "t"\\nlatency_class = "live"\\n'
engine = Engine(loads(text + '[[chain]]\\nstage = "input"\\ntoyoption = 0.5\\n[[chain]]\\nstage = "toystage"\\n', "t"))
engine.prepare(Format(48000, 2))
assert engine.chain.stages[0].toyoption == 0.5
measured = {f.name: 0.0 for f in figures.FIGURES}
assert figures.gather(measured, engine.status())["toys"] == 7
assert "toys 7" in figures.told(figures.gather(measured, engine.status()).__getitem__, "summary", ", ")
"""


def named(kind: str) -> list[str]:
    """Return the files that CONTRIBUTING.md lists under a heading, as patterns."""
    section = GUIDE.partition(f"### {kind}\n")[2].partition("\n#")[0]
    lists = [re.findall(r"`([\w/.]+\.(?:py|md))`", line) for line in section.splitlines() if re.match(r"\d\. ", line)]
    return ["|".join(re.escape(p).replace("NAME", r"\w+").replace("FAMILY", r"\w+") for p in paths) for paths in lists]


def add(toy: Toy, to: pathlib.Path) -> None:
    """Add a toy to a tree."""
    for path, text in toy.new.items():
        assert not (to / path).exists()
        (to / path).write_text(text)
    for path, changes in toy.behind.items():
        text = (to / path).read_text()
        for line, new in changes:
            assert text.count(line) == 1, f"{path}: {line!r} is there {text.count(line)} times"
            text = text.replace(line, line + new)
        (to / path).write_text(text)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a copy of the tree with every toy in it."""
    copy = tmp_path_factory.mktemp("tree")
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for toy in TOYS:
        add(toy, copy)
    return copy


def run(tree: pathlib.Path, *command: str) -> None:
    paths = os.pathsep.join(str(p) for p in (tree, tree / "kernels", tree / "tests"))
    done = subprocess.run([sys.executable, *command], cwd=tree, env={**os.environ, "PYTHONPATH": paths},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.kind)
def test_the_guide_lists_the_files_that_a_toy_touches(toy: Toy) -> None:
    patterns = named(toy.kind)
    assert len(patterns) == len(toy.files) <= MOST[toy.kind]
    for path in toy.files:
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in patterns) >= 1, path


def test_every_kind_has_a_toy() -> None:
    assert set(MOST) == {toy.kind for toy in TOYS} == set(re.findall(r"^### (.*)$", GUIDE, re.M))


def test_toys_work(tree: pathlib.Path) -> None:
    tests = sorted(path for toy in TOYS for path in toy.new if path.startswith("tests/"))
    run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_stage_contract.py", "-k",
        "toystage and not allocates")
    run(tree, "-c", _ONCE_MORE)


def test_the_glossary_is_short() -> None:
    words = GUIDE.partition("## Words")[2].split("|---|---|\n")[1].strip().splitlines()
    assert 10 < len(words) <= 25
