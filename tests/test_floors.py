"""The floors of the house: who may import whom. `python tests/test_floors.py` prints the whole graph."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = {"rtsep": ROOT / "rtsep", "rtsep_kernels": ROOT / "kernels" / "rtsep_kernels"}

# From the ground up. A module stands on the floor of the longest name here that it begins with; an arrow may lead down
# or stay on its floor.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("rtsep_kernels.__init__", "rtsep_kernels.cache", "rtsep_kernels.plane"),
    ("rtsep_kernels.maths",),
    ("rtsep_kernels",),
    # What a stage is, what may be said of it, and what all others read and write.
    ("rtsep.errors", "rtsep.limits", "rtsep.atomic", "rtsep.clock", "rtsep.realtime", "rtsep.fftw", "rtsep.shared",
     "rtsep.params", "rtsep.figures", "rtsep.meters", "rtsep.catalogue", "rtsep.runner", "rtsep.stage", "rtsep.chain",
     "rtsep.audiofile", "rtsep.finite", "rtsep.assurance", "rtsep.npz", "rtsep.calibration", "rtsep.names",
     "rtsep.sound", "rtsep.plugins"),
    ("rtsep.models",),
    ("rtsep.stages",),
    ("rtsep.systems",),
    ("rtsep.presetfile", "rtsep.tomltext", "rtsep.presets", "rtsep.learnt", "rtsep.shedding", "rtsep.fitting",
     "rtsep.bands", "rtsep.latch", "rtsep.engine", "rtsep.session",
     "rtsep.metrics", "rtsep.picture", "rtsep.synth", "rtsep.scenes", "rtsep.datasets", "rtsep.separation",
     "rtsep.comparison", "rtsep.evaluation", "rtsep.stream", "rtsep.learning", "rtsep.__init__"),
    ("rtsep.hosts", "rtsep.control", "rtsep.workers", "rtsep.show"),
    ("rtsep.train",),
    ("rtsep.demo", "rtsep.bench", "rtsep.doctor"),
    ("rtsep.commands", "rtsep.cli", "rtsep.__main__"),
)


def modules() -> dict[str, pathlib.Path]:
    """Return every module of the two packages by its name; packages end in `.__init__`."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            found[".".join((package, *path.relative_to(folder).with_suffix("").parts))] = path
    return found


def arrows(name: str, path: pathlib.Path, known: set[str], at_run_time: bool) -> set[str]:
    """Return what a module imports of ours: when it is loaded, or also inside its functions."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in _statements(tree, at_run_time):
        if isinstance(node, ast.Import):
            found |= {_module(alias.name, known) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                package = name.split(".")[: -node.level]
                origin = ".".join([*package, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = _module(f"{origin}.{alias.name}", known)
                found.add(inside or _module(origin, known))
    return found - {"", name}


def _statements(tree: ast.AST, at_run_time: bool) -> list[ast.AST]:
    """Return all nodes, without those for type checkers, and without functions' bodies unless they are wanted."""
    found, left = [], [tree]
    while left:
        node = left.pop()
        found.append(node)
        for child in ast.iter_child_nodes(node):
            checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if not checked and (at_run_time or not inner):
                left.append(child)
    return found


def _module(name: str, known: set[str]) -> str:
    return name if name in known else f"{name}.__init__" if f"{name}.__init__" in known else ""


def graph(at_run_time: bool) -> dict[str, set[str]]:
    """Return every module and what it imports."""
    known = modules()
    return {name: arrows(name, path, set(known), at_run_time) for name, path in known.items()}


def floor(name: str) -> int:
    """Return the floor of a module, from 0."""
    best, at = "", -1
    for number, rooms in enumerate(FLOORS):
        for room in rooms:
            if (name == room or name.startswith(room + ".")) and len(room) > len(best):
                best, at = room, number
    if at < 0:
        raise ValueError(f"{name} has no floor: give it one in tests/test_floors.py")
    return at


def upward(arrows_of: dict[str, set[str]]) -> list[str]:
    """Return the arrows that lead up."""
    return [f"{a} -> {b}" for a, found in arrows_of.items() for b in sorted(found) if floor(b) > floor(a)]


def cycle(arrows_of: dict[str, set[str]]) -> list[str]:
    """Return one cycle of imports, or nothing."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name):]
        if name not in done:
            for target in sorted(arrows_of.get(name, ())):
                found = walk(target, [*path, name])
                if found:
                    return found
            done.add(name)
        return []

    for name in arrows_of:
        found = walk(name, [])
        if found:
            return found
    return []


def table() -> str:
    """Return the graph as text: floor by floor, each room with the rooms it looks into."""
    every = graph(True)
    lines = []
    for number in reversed(range(len(FLOORS))):
        lines.append(f"floor {number}: {', '.join(FLOORS[number])}")
        for name in sorted(n for n in every if floor(n) == number):
            targets = sorted(t.removesuffix(".__init__") for t in every[name])
            lines.append(f"    {name.removesuffix('.__init__')} -> {', '.join(targets) or '-'}")
    return "\n".join(lines)


def test_no_arrow_leads_up() -> None:
    print(table())
    assert upward(graph(True)) == []


def test_nobody_imports_in_a_circle() -> None:
    assert cycle(graph(True)) == []


def test_the_rules_can_fail() -> None:
    assert upward({"rtsep.stages.mix": {"rtsep.hosts.file"}}) == ["rtsep.stages.mix -> rtsep.hosts.file"]
    assert upward({"rtsep.hosts.file": {"rtsep.stages.mix"}}) == []
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    with pytest.raises(ValueError, match="no floor"):
        floor("other.module")


if __name__ == "__main__":
    print(table())
