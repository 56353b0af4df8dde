"""The disk: is there room for a recording, and is it written fast enough."""

from __future__ import annotations

import os
import shutil
import tempfile
import time

from rtsep.doctor.finding import BAD, GOOD, WARN, Finding

_HOURS = 3.0          # of a show
_TRIAL = 64 << 20     # bytes that are written: enough to see past a disk's own cache
_SPARE = 4.0          # times the speed that is needed: a disk has others to serve


def disk(folder: str, rate: int, mics: int) -> list[Finding]:
    """Write for a moment into the folder of a recording; what was written is removed.

    Parameters
    ----------
    folder : str
    rate : int
        Hz.
    mics : int
    """
    needed = rate * mics * 4 * 2   # bytes a second: float32, in and out
    try:
        free = shutil.disk_usage(folder).free
        began = time.monotonic()
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(_TRIAL >> 20):
                file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        speed = _TRIAL / (time.monotonic() - began)
    except OSError as error:
        return [Finding("disk", BAD, f"{folder}: {error.strerror}", "say another folder with --record")]
    hours = free / needed / 3600
    text = (
        f"{folder}: {free / 1e9:.0f} GB free, {hours:.1f} h of {mics} mics; {speed / 1e6:.0f} MB/s, "
        f"{needed / 1e6:.1f} needed"
    )
    if speed < needed:
        return [Finding("disk", BAD, text, "record onto a faster disk")]
    if speed < _SPARE * needed or hours < _HOURS:
        return [Finding("disk", WARN, text, "record onto a faster disk, or make room")]
    return [Finding("disk", GOOD, text)]
