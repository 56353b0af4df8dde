"""Separate a recording by a system's name, passage by passage, so that an hour takes no more memory than a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rtsep import audiofile
from rtsep.atomic import new_folder
from rtsep.errors import InputError
from rtsep.finite import Finite, open_sound
from rtsep.sound import Sound, Source
from rtsep.systems.separator import Audio, Passage, Separator, make, make_with

PASSAGE_SECONDS = 60.0
"""Longest part that is separated at once."""

OVERLAP_SECONDS = 2.0
"""Of two passages: they are cross-faded over it."""

EXCERPT_PARTS, EXCERPT_SECONDS = 4, 30.0
"""What is learnt from of a recording that is longer than all of it together: parts spread evenly."""


@dataclass(frozen=True)
class SeparateOptions:
    """What `separate_files` is asked for.

    Parameters
    ----------
    source : str
        A polyphonic file, or a folder of mono files.
    target : str
        A folder, new or empty.
    method : str
        One of `SYSTEMS`.
    settings : tuple of str
        `option=value`.
    """

    source: str
    target: str
    method: str
    settings: tuple[str, ...] = field(default=())


def separate(
    x: ArrayLike, rate: float, method: str, names: Sequence[str] | None = None, **options: object
) -> dict[str, Audio]:
    """Separate a recording in memory: the same samples as `rtsep separate`.

    Parameters
    ----------
    x : float32[channels, frames]
    rate : int
        Hz.
    method : str
        A system's name: see `rtsep separate --list`.
    names : sequence of str, optional
        Of the channels: `mic1`, `mic2` … by default.
    **options
        Of the system: see `rtsep separate --list --method NAME`.

    Returns
    -------
    dict of str to float32[channels, frames]
        Each part by its name, as long as the recording.

    Raises
    ------
    InputError
        If there is no such system or option, or it cannot use the recording.

    Examples
    --------
    >>> parts = rtsep.separate(song, 44100, "hpss", margin=2.0)
    >>> parts["percussive"].shape == song.shape
    True
    """
    system = make_with(method, options)
    pieces: dict[str, list[Audio]] = {}
    with Finite(Sound(x, rate, names), "x") as source:
        for _, parts in passages(system, source):
            for name, part in parts.items():
                pieces.setdefault(name, []).append(np.array(part, np.float32))
    return {name: np.concatenate(found, axis=1) for name, found in pieces.items()}


def separate_files(options: SeparateOptions, advance: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Separate a recording into a folder: one file for each part.

    Parameters
    ----------
    options : SeparateOptions
    advance : callable, optional
        Told after each passage what share is done.

    Returns
    -------
    dict
        method, parts, channels of each, sample_rate, seconds, cpu_s, realtime_factor, bad_inputs.

    Raises
    ------
    InputError
        If anything asked for is not possible; then nothing has been written.
    """
    system = make(options.method, options.settings)
    audiofile.refuse_same(options.source, options.target)
    begun, cpu = time.perf_counter(), time.process_time()
    with open_sound(options.source) as source:
        if not source.frames:
            raise InputError(options.source, "holds no sound", "allowed is at least one sample")
        _check_folder(options.target)
        names = _write(system, source, Path(options.target), advance)
        seconds = source.frames / source.rate
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        return {
            "method": options.method, "input": options.source, "output": options.target, "parts": list(names),
            "channels": list(names.values()), "sample_rate": source.rate, "seconds": seconds, "cpu_s": cpu,
            "realtime_factor": wall / seconds, "bad_inputs": source.bad_inputs,
        }


def passages(system: Separator, source: Source) -> Iterator[tuple[float, dict[str, Audio]]]:
    """Fit a system, and yield the separated parts of a recording in order, with the share that is then done."""
    system.fit(_excerpt(source))
    overlap = round(OVERLAP_SECONDS * source.rate)
    length = round(PASSAGE_SECONDS * source.rate)
    rising = (np.arange(overlap, dtype=np.float32) + np.float32(0.5)) / np.float32(max(1, overlap))
    tail: dict[str, Audio] = {}
    first = 0
    while True:
        source.seek(first)
        sound = source.read(min(length, source.frames - first))
        parts = system.separate(Passage(sound, source.rate, source.names, first))
        for name, before in tail.items():
            part = parts[name]
            part[:, :overlap] = before + (part[:, :overlap] - before) * rising
        last = first + sound.shape[1] >= source.frames
        end = sound.shape[1] if last else sound.shape[1] - overlap
        tail = {} if last else {name: part[:, end:].copy() for name, part in parts.items()}
        yield (first + end) / source.frames, {name: part[:, :end] for name, part in parts.items()}
        if last:
            return
        first += end


def _excerpt(source: Source) -> Passage:
    part = round(EXCERPT_SECONDS * source.rate)
    if source.frames <= EXCERPT_PARTS * part:
        source.seek(0)
        return Passage(source.read(source.frames), source.rate, source.names)
    starts = np.linspace(0, source.frames - part, EXCERPT_PARTS).astype(int)
    pieces = []
    for start in starts:
        source.seek(int(start))
        pieces.append(source.read(part))
    return Passage(np.ascontiguousarray(np.concatenate(pieces, axis=1)), source.rate, source.names)


def _check_folder(target: str) -> None:
    """Refuse at once what would be refused after the work."""
    if Path(target).suffix.lower() in audiofile.FORMATS:
        raise InputError(target, "is a file name", "allowed is a new or empty folder: each part becomes a file")
    audiofile.open_output(target, 48000, 1, ("part",), 0).abort()


def _write(
    system: Separator, source: Finite, target: Path, advance: Callable[[float], None] | None
) -> dict[str, int]:
    """Write a folder whole or not at all: parts of one channel as `01-name.wav`, parts of several likewise."""
    names: dict[str, int] = {}
    with new_folder(target) as folder, ExitStack() as stack:
        files: dict[str, audiofile.Output] = {}
        for done, parts in passages(system, source):
            if not files:
                names = {name: len(part) for name, part in parts.items()}
                for number, name in enumerate(names, 1):
                    path = folder / f"{number:02}-{audiofile.file_name(name)}.wav"
                    labels = [f"{name} {c}" for c in range(names[name])]
                    files[name] = stack.enter_context(
                        audiofile.open_output(
                            path, source.rate, names[name], labels, source.frames, "FLOAT",
                            source.origin.part(name, labels),
                        )
                    )
            for name, part in parts.items():
                files[name].write(np.ascontiguousarray(part, dtype=np.float32))
            if advance is not None:
                advance(done)
    return names
