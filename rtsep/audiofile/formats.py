"""Formats and names: what is read and written, and how microphones and files are called."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import InputError

Block = NDArray[np.float32]
Place = str | os.PathLike[str]

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".rf64": "RF64", ".w64": "W64"}
"""What is written, by suffix."""

SUBTYPES = {"FLOAT": 4, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "DOUBLE": 8}
"""Bytes of a sample."""

# In a folder, what counts as a recording; of the rest (notes, peak files of editors) nothing is said.
AUDIO_SUFFIXES = {
    *FORMATS, ".wave", ".bwf", ".bw64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd", ".ogg", ".oga", ".opus",
    ".mp3", ".m4a", ".aac", ".wma", ".ape", ".wv",
}  # fmt: skip

FLAC_CHANNELS = 8

# WAV counts bytes in 32 bits, and some readers with a sign: above, RF64 under the same suffix.
LARGEST_WAV = 2_000_000_000

READABLE = "allowed is a WAV, RF64, BW64, W64, AIFF, CAF, AU, FLAC, Ogg or MP3 file, or a folder of mono ones"


def check_format(place: str, channels: int, subtype: str | None) -> tuple[str, str]:
    """Return libsndfile's name of the format, empty for a folder, and the subtype."""
    suffix = Path(place).suffix.lower()
    kind = FORMATS.get(suffix, "")
    if not kind and suffix in AUDIO_SUFFIXES:
        known = ", ".join(FORMATS)
        raise InputError(place, f"{suffix} is not written", f"allowed are {known}, or a folder without such a suffix")
    subtype = subtype or ("PCM_24" if kind == "FLAC" else "FLOAT")
    allowed = ("PCM_16", "PCM_24") if kind == "FLAC" else tuple(SUBTYPES)
    if subtype not in allowed:
        problem = f"{subtype!r} is not a subtype of {kind or 'WAV'}"
        raise InputError(place, problem, "allowed is one of " + ", ".join(allowed))
    if kind == "FLAC" and channels > FLAC_CHANNELS:
        problem = f"FLAC cannot hold {channels} channels"
        raise InputError(place, problem, f"allowed are up to {FLAC_CHANNELS}; .wav or a folder holds more")
    return kind, subtype


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts `2-snare` before `10-vox`."""
    parts = re.split("([0-9]+)", name.casefold())
    # Odd places hold digits. Pairs compare whatever stands where: numbers by value, the rest as text.
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)], name


def file_name(name: str) -> str:
    """Return a name that every system takes, and that no path is hidden in."""
    safe = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    return safe.encode()[:200].decode(errors="ignore").rstrip(" .") or "mic"


def without_path(reason: str) -> str:
    """Return libsndfile's message without the path, which the error names already, on one line."""
    return " ".join(re.sub(r"^Error opening '.*': ", "", reason, flags=re.DOTALL).split()).rstrip(".")
