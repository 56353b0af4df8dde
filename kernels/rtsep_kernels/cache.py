"""Where compiled kernels are kept: one folder for each version of a module and of all that it imports from here.

numba keys what it keeps by the file in which a function stands. A kernel is made of functions of other files, too, and
of options that `plane.jit` sets: a change there would go unnoticed. So the key is a hash of the module's text together
with that of every module of this package that it reaches. A change recompiles what it touches and nothing else, and
two checkouts of the same text share what one of them has compiled.
"""

import functools
import hashlib
import os
import pathlib
import re

from numba import config
from numba.core.caching import _CacheLocator

_ROOT = pathlib.Path(__file__).parent
_IMPORT = re.compile(rf"^\s*(?:from ({_ROOT.name}[\w.]*) import (\([^)]*\)|[^\n]*)|import ({_ROOT.name}[\w.]*))", re.M)


class Locator(_CacheLocator):
    """Tells numba where the kernels of this package are kept; `NUMBA_CACHE_DIR` may name another folder.

    Parameters
    ----------
    function : callable
    file : str
        In which it stands.
    """

    def __init__(self, function, file):
        self._line = function.__code__.co_firstlineno
        self._stamp, self._path = _place(file, _folder())

    def get_cache_path(self):
        """Return the folder."""
        return self._path

    def get_source_stamp(self):
        """Return what must be the same for a kept kernel to be used."""
        return self._stamp

    def get_disambiguator(self):
        """Return what tells functions of one name apart."""
        return str(self._line)

    @classmethod
    def from_function(cls, function, file):
        """Return a locator, or None for what is not of this package or where nothing can be written."""
        if not file.startswith(f"{_ROOT}{os.sep}") or not _writable(file, _folder()):
            return None
        return cls(function, file)


# A module has many functions, and each asks when it is imported: what is the same for all is worked out once.


@functools.cache
def _place(file, folder):
    """Return what a module's kernels must match, and the folder in which they are."""
    stamp = digest(pathlib.Path(file))
    name = ".".join(pathlib.Path(file).relative_to(_ROOT).with_suffix("").parts)
    return stamp, os.path.join(folder, f"{name}-{stamp[:16]}")


@functools.cache
def _writable(file, folder):
    """Return whether a module's kernels can be kept; makes their folder."""
    path = _place(file, folder)[1]
    try:
        os.makedirs(path, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)


def _folder() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return config.CACHE_DIR or os.path.join(base, "rtsep", "kernels")


@functools.cache
def digest(file: pathlib.Path) -> str:
    """Return a hash of a module's text and of every module of this package that it reaches."""
    reached, left = {file}, [file]
    while left:
        for found in _imports(left.pop()):
            if found not in reached:
                reached.add(found)
                left.append(found)
    whole = hashlib.sha256()
    for one in sorted(reached):
        whole.update(f"{one.relative_to(_ROOT)}\0{_text(one)}\0".encode())
    return whole.hexdigest()


def imported(text: str) -> set[pathlib.Path]:
    """Return the files of this package that a module's text imports; those of packages on the way are all but empty."""
    names = set()
    for origin, listed, whole in _IMPORT.findall(text):
        names.add(origin or whole)
        names |= {f"{origin}.{name.split(' as ')[0].strip()}" for name in listed.strip("()").split(",") if origin}
    files = {_ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in names if "." in name}
    return {file for file in files if file.is_file()}


@functools.cache
def _imports(file: pathlib.Path) -> set[pathlib.Path]:
    return imported(_text(file))


@functools.cache
def _text(file: pathlib.Path) -> str:
    return file.read_text(encoding="utf-8")
