"""The verbs of the command line: one file each, and a folder for a verb that has verbs of its own.

A verb's file is named as the verb. The first line of its docstring is its help; `arguments(parser)` adds what it takes,
and `run(arguments)` does it and returns the exit code. It is imported only when its verb is called, so nothing else has
to be told of a new one. Files that begin with an underscore are shared by the verbs.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verb:
    """A verb that has not been imported.

    Parameters
    ----------
    name : str
    module : str
        Its file or folder, as Python calls it.
    help : str
        One sentence, with a capital and a full stop.
    verbs : tuple of Verb
        Its own, where it is a folder.
    """

    name: str
    module: str
    help: str
    verbs: tuple[Verb, ...]


def find(folders: Iterable[str] | None = None, package: str = __name__) -> tuple[Verb, ...]:
    """Return the verbs in the folders of a package (this one), by name."""
    found = []
    for finder, name, is_folder in pkgutil.iter_modules(__path__ if folders is None else folders):
        if not name.startswith("_"):
            path, module = Path(finder.path, name), f"{package}.{name}"   # type: ignore[union-attr]
            source = path / "__init__.py" if is_folder else path.with_suffix(".py")
            verbs = find([str(path)], module) if is_folder else ()
            found.append(Verb(name, module, _first_line(source), verbs))
    return tuple(found)


def _first_line(source: Path) -> str:
    with open(source, encoding="utf-8") as file:
        return file.readline().strip().strip('"')
