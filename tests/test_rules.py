"""The project's own rules, read from the sources. Each rule has a planted offender that it must catch."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys

import pytest

from rtsep import commands

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "rtsep").rglob("*.py"))
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))


def imports(tree: ast.Module) -> set[str]:
    """Return the first part of every absolute import, wherever it stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def names(tree: ast.Module) -> set[str]:
    """Return every identifier and attribute that is used."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def kernel_offences(text: str) -> set[str]:
    compiling = {"functools", "hashlib", "os", "pathlib", "platform", "re", "sys"}   # and keeping what was compiled
    tables = {"ast", "collections", "dataclasses", "typing"}                         # records are made of
    allowed = {"rtsep_kernels", "numpy", "math", "numba", "llvmlite"} | compiling | tables
    return imports(ast.parse(text)) - allowed


def package_offences(text: str) -> set[str]:
    """Compiling belongs to kernels/, torch to rtsep/train, printing to the command line."""
    tree = ast.parse(text)
    return (imports(tree) & {"torch", "numba"}) | (names(tree) & {"njit", "cfunc", "prange"})


def print_offences(text: str) -> int:
    return sum(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        for node in ast.walk(ast.parse(text))
    )


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.name)
def test_kernels_import_only_numba_and_numpy(path: pathlib.Path) -> None:
    assert not kernel_offences(path.read_text())


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_compiled_outside_kernels(path: pathlib.Path) -> None:
    allowed = {"torch"} if "train" in path.relative_to(ROOT / "rtsep").parts[:1] else set()
    assert not package_offences(path.read_text()) - allowed


@pytest.mark.parametrize("path", [*PACKAGE, *KERNELS], ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_and_the_terminal_print(path: pathlib.Path) -> None:
    if path.name not in ("cli.py", "terminal.py") and "commands" not in path.parts:
        assert print_offences(path.read_text()) == 0


MOST_LINES = {"file": 400, "function": 70}


def functions(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def long_functions(text: str, most: int = MOST_LINES["function"]) -> set[str]:
    """From `def` to the last line, docstring and all."""
    return {f.name for f in functions(text) if (f.end_lineno or 0) - f.lineno >= most}


def undocumented_kernels(text: str) -> set[str]:
    """Find functions that are compiled, and say nothing."""
    compiling = {"kernel", "entry", "stage_entry", "intrinsic"}
    return {
        f.name for f in functions(text)
        if not ast.get_docstring(f) and compiling & {n for d in f.decorator_list for n in _names_of(d)}
    }


def _names_of(node: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("path", [*PACKAGE, *KERNELS], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path: pathlib.Path) -> None:
    text, name = path.read_text(), str(path.relative_to(ROOT))
    too_long = {f"{name} {function}" for function in long_functions(text)}
    if len(text.splitlines()) > MOST_LINES["file"]:
        too_long.add(name)
    assert not too_long


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_kernel_says_what_it_does(path: pathlib.Path) -> None:
    assert not undocumented_kernels(path.read_text())


def test_the_rules_catch_offenders() -> None:
    assert long_functions("def f():\n    a = 1\n    b = 2", 2) == {"f"}
    assert not long_functions("def f():\n    a = 1\n    b = 2", 3)
    planted = "@kernel\ndef f(): pass\n@stage_entry(X)\ndef g(): pass\n@kernel\ndef h():\n    'Say.'\ndef i(): pass"
    assert undocumented_kernels(planted) == {"f", "g"}
    assert kernel_offences("def f():\n    import scipy.signal") == {"scipy"}
    assert package_offences("import numba\n@numba.njit\ndef f(): pass") == {"numba", "njit"}
    assert package_offences("def f():\n    from torch import nn") == {"torch"}
    assert print_offences("def f():\n    print('x')") == 1
    assert machine_paths("open('/" + "root/x')")


def machine_paths(text: str) -> list[str]:
    return re.findall(r"(?<![\w.])/(?:work|farm|root|home)/\w*", text)


def test_no_paths_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".csv", "") and path.is_file():
            assert not machine_paths(path.read_text()), name


def test_fastmath_is_what_the_grid_allows() -> None:
    from rtsep_kernels.plane.jit import OPTIONS

    assert OPTIONS["fastmath"] == {"nsz"}
    assert OPTIONS["error_model"] == "numpy"


# Who may know of stages only what their specs and `Stage` say. Files that are to come are read once they are there.
CORE = ("engine.py", "presets.py", "presetfile.py", "learnt.py", "stage.py", "terminal.py", "figures.py", "session.py",
        "control/*.py", "hosts/*.py")


def names_of_stages(text: str) -> set[str]:
    """Find the names of stages that text speaks of; `input`, `matrix` and the like are words of their own, too."""
    return {name for name in ("canceller", "spectral", "hpss", "nmf", "auxiva") if name in text.lower()}


@pytest.mark.parametrize("path", [p for part in CORE for p in sorted((ROOT / "rtsep").glob(part))],
                         ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_knows_no_stage_by_name(path: pathlib.Path) -> None:
    assert not names_of_stages(path.read_text())


def test_that_rule_catches_an_offender() -> None:
    assert names_of_stages("isinstance(stage, Canceller)") == {"canceller"}


def test_no_option_without_a_test() -> None:
    """Each stage option and parameter is named in some test or preset that is tested."""
    from rtsep.catalogue import OWN_PARAMS, STAGES

    told = "".join(p.read_text() for p in [*(ROOT / "tests").glob("*.py"), *(ROOT / "presets").glob("*.toml")])
    for spec in STAGES.values():
        for thing in (*spec.options, *spec.params):
            assert thing.name in told, f"{spec.name}.{thing.name}"
    for group, params in OWN_PARAMS:
        for param in params:
            assert f"{group}.{param.name}" in told, param.name


def test_help_needs_nothing_heavy() -> None:
    """`rtsep --help` imports neither numpy nor numba nor a verb, and a verb's help nothing heavy: so both are quick."""
    script = (
        "import sys\n"
        "from rtsep.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as done:\n    assert done.code == 0\n"
        "heavy = ('numpy', 'numba', 'scipy', 'sounddevice', 'rich', 'matplotlib')\n"
        "print([m for m in sys.modules if m in heavy or m.startswith('rtsep.commands.')])"
    )

    def imported(*arguments: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        return ast.literal_eval(done.stdout.strip().splitlines()[-1])

    assert imported("--help") == []
    shared = {"rtsep.commands._arguments", "rtsep.commands._printing"}
    for verb in commands.find():
        for one in verb.verbs or (verb,):
            words = one.module.removeprefix("rtsep.commands.").split(".")
            assert set(imported(*words, "--help")) - shared <= {verb.module, one.module}


def test_ruff_is_clean() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout


def test_mypy_is_clean() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
