"""The package: what is in it, and that it works where nothing of the checkout is: installed into an empty folder."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile

import pytest

import rtsep

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_COPIED = ("rtsep", "kernels", "presets", "examples", "bench", "docs", "tests", "mkdocs.yml", "Makefile", "LICENSE",
           "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", ".gitignore")
# What a checkout in use has beside the program, and a network that comes with it.
_PLANTED = {
    "rtsep/__pycache__/cli.cpython-311.pyc": False, "kernels/rtsep_kernels/__pycache__/x.nbi": False,
    "demo-out/before.wav": False, ".venv/pyvenv.cfg": False, ".mypy_cache/x.json": False, "dist/old.whl": False,
    "notes.txt": False, "rtsep/weights/toy.onnx": True,
}
# Everything that names a file beside the modules: presets, weights and the example show are looked for by it.
_INSIDE = """
import pathlib, sys
import rtsep, rtsep_kernels
from rtsep import presets
from rtsep.show import folder
here = pathlib.Path(sys.argv[1]).resolve()
for module in (rtsep, rtsep_kernels):
    assert pathlib.Path(module.__file__).resolve().is_relative_to(here), module.__file__
assert {"live", "monitor", "foh", "record", "hpss"} <= set(presets.names())
print(presets.text("live").splitlines()[0])
"""


def build(source: pathlib.Path, into: pathlib.Path, *targets: str) -> None:
    """Build with what the project names as its backend, here: no environment of its own is made for it."""
    done = subprocess.run([sys.executable, "-m", "hatchling", "build", *targets, "-d", into], cwd=source,
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def contents(wheel: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with sdist and wheel of a copy of the tree in which lies what belongs to nobody else."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    for name in _COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, source / name)
    for name in _PLANTED:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"planted")
    build(source, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: pathlib.Path) -> pathlib.Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return an empty folder into which the wheel was installed; what it needs is this environment's."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-compile", "--target", target, wheel], check=True, capture_output=True, timeout=120)
    return target


def use(installed: pathlib.Path, where: pathlib.Path, *command: str | pathlib.Path) -> str:
    """Run something of an installed package, from elsewhere."""
    done = subprocess.run(command, cwd=where, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True,
                          text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_the_program_and_nothing_else(wheel: pathlib.Path) -> None:
    names = contents(wheel)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"rtsep", "rtsep_kernels", f"rtsep-{rtsep.__version__}.dist-info"}
    listed = {"rtsep": ROOT / "rtsep", "rtsep_kernels": ROOT / "kernels" / "rtsep_kernels"}
    for package, folder in listed.items():
        there = {f"{package}/{path.relative_to(folder)}" for path in folder.rglob("*.py")}
        assert len(there) > 10
        assert there <= set(names)
    assert {"rtsep/py.typed", "rtsep/example_show/show.toml"} <= set(names)
    assert {f"rtsep/builtin_presets/{path.name}" for path in (ROOT / "presets").glob("*.toml")} <= set(names)
    for name, wanted in _PLANTED.items():
        assert any(packed.endswith(pathlib.Path(name).name) for packed in names) == wanted, name


def test_no_file_names_a_machine(wheel: pathlib.Path) -> None:
    paths = re.compile(rb"(?<![\w.])/(?:work|farm|root|home)/\w")
    for name, text in contents(wheel).items():
        assert not paths.search(text), name


def test_the_sdist_builds_the_same_wheel(built: pathlib.Path, wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as packed:
        packed.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "tests/test_package.py", "examples/midi.toml", "mkdocs.yml"):
        assert (source / name).is_file(), name
    build(source, tmp_path, "-t", "wheel")
    assert contents(next(tmp_path.glob("*.whl"))) == contents(wheel)


def test_the_version_stands_in_one_place(wheel: pathlib.Path) -> None:
    assert "version" not in PROJECT
    assert wheel.name.split("-")[1] == rtsep.__version__
    files = [*(ROOT / "rtsep").rglob("*.py"), *(ROOT / "kernels").rglob("*.py"), ROOT / "pyproject.toml"]
    said = [path.relative_to(ROOT) for path in files if f'"{rtsep.__version__}"' in path.read_text()]
    assert said == [pathlib.Path("rtsep/__init__.py")]


def test_the_changelog_begins_with_this_version_or_what_is_to_come() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[([^\]]+)\]", text, re.M)
    assert rtsep.__version__ in [v for v in versions if v != "Unreleased"][:1]
    kinds = set(re.findall(r"^### (.*)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_it_works_from_an_empty_folder(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    said = use(installed, tmp_path, sys.executable, "-c", _INSIDE, str(installed))
    assert said.startswith("# live:")
    use(installed, tmp_path, installed / "bin" / "rtsep", "show", "new", "tonight", "--example")
    assert (tmp_path / "tonight" / "show.toml").is_file()


@pytest.mark.slow
def test_its_verbs_work_from_an_empty_folder(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program = installed / "bin" / "rtsep"
    assert use(installed, tmp_path, program, "--version").strip() == f"rtsep {rtsep.__version__}"
    assert "monitor" in use(installed, tmp_path, program, "presets")
    assert "hpss" in use(installed, tmp_path, program, "separate", "--list")


@pytest.mark.slow
def test_the_demo_plays_from_an_empty_folder(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Its kernels are compiled where they are not kept yet."""
    said = use(installed, tmp_path, installed / "bin" / "rtsep", "demo", "--seconds", "6", "--mics", "3")
    assert "latency: declared 576 = measured 576" in said
    assert (tmp_path / "demo-out" / "before-after.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_fresh_environment_with_all_that_it_needs(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As a user installs it: from the index, with nothing else in the environment."""
    venv.create(tmp_path / "env", with_pip=True)
    python, program = (tmp_path / "env" / "bin" / name for name in ("python", "rtsep"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*command: str | pathlib.Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
                              timeout=1800)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[jack]")
    run(python, "-c", _INSIDE, str(tmp_path / "env"))
    assert "hpss" in run(program, "separate", "--list")
    assert "monitor" in run(program, "presets")
    assert "latency: declared 576 = measured 576" in run(program, "demo", "--seconds", "6", "--mics", "3")


@pytest.mark.slow
@pytest.mark.parametrize("extra", [*PROJECT["optional-dependencies"]])
def test_every_extra_resolves(extra: str, wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Names and versions exist, and go together with what is installed here; nothing is."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", f"{wheel}[{extra}]"]
    done = subprocess.run(pip, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
