"""Arrays from a file of NumPy's, read so that a file costs no more memory than its size, whatever it claims."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError
from rtsep.limits import check_memory

_MOST_ARRAYS = 4096    # of 128 stages 32 each
_SUFFIX = ".npy"


def read(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file that `numpy.savez` has written.

    Raises
    ------
    InputError
        If they would take more memory than is allowed.
    OSError
        If the file cannot be read.
    ValueError
        If it is something else, damaged, compressed, holds objects, or an array is not as large as it says.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):   # to open a pipe would wait for ever
        raise ValueError("not a file")
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            # Stored as it is, an array is no larger than its file; nobody who writes these compresses them.
            if len(members) > _MOST_ARRAYS or any(m.compress_type != zipfile.ZIP_STORED for m in members):
                raise ValueError("compressed, or too many arrays")
            total = sum(member.file_size for member in members)
            if total > os.fstat(file.fileno()).st_size:
                raise ValueError("larger inside than outside")
            check_memory(str(path), 2 * total)   # the bytes, and the array that is made of them
            return {m.filename.removesuffix(_SUFFIX): _array(archive.read(m)) for m in members}
    except InputError:
        raise
    except (zipfile.BadZipFile, EOFError, KeyError, RuntimeError, SyntaxError, NotImplementedError) as error:
        raise ValueError("damaged") from error


def _array(data: bytes) -> NDArray[Any]:
    """Return the array of one member, whose header is read before anything is allocated."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError("of another version")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    size = dtype.itemsize
    for length in shape:
        size *= length
    if dtype.hasobject or min(shape, default=0) < 0 or size != len(data) - file.tell():
        raise ValueError("not as large as it says")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
