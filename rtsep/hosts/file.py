"""The file host: render a recording through the very chain that runs live. The reference for all other hosts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rtsep import audiofile, learnt, presets
from rtsep.atomic import check_writable
from rtsep.errors import InputError
from rtsep.metrics import percentiles
from rtsep.session import block_size
from rtsep.stream import Stream, play

LEARNT_EVERY = 5.0   # seconds of sound after which it is asked what is known by now: as often as the sound card's host


@dataclass(frozen=True)
class RenderOptions:
    """What `render` is asked for.

    Parameters
    ----------
    source, target : str
        One polyphonic file or a folder of mono files each.
    preset : str
        Name or path.
    block : int, optional
        Frames per call; the preset's by default.
    settings : tuple of str
        `path=value`, after the preset's own.
    calibration : str, optional
        What `rtsep learn` wrote.
    compensate : bool
        Take the chain's latency out of the result.
    subtype : str, optional
        Sample format of the result: 32-bit float by default.
    save : str, optional
        Where to write what was learnt: another run's `calibration`.
    """

    source: str
    target: str
    preset: str = "foh"
    block: int | None = None
    settings: tuple[str, ...] = field(default=())
    calibration: str | None = None
    compensate: bool = True
    subtype: str | None = None
    save: str | None = None


def render(options: RenderOptions, advance: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Render `source` to `target`: same channels, rate and length.

    Parameters
    ----------
    options : RenderOptions
    advance : callable, optional
        Told again and again what share is done, 0 to 1.

    Returns
    -------
    dict
        The report: latency_samples, sample_rate, block, channels, seconds, cpu_s, realtime_factor, block_us, and the
        engine's counters.

    Raises
    ------
    InputError
        If anything asked for is not possible; then nothing has been written.
    """
    preset = presets.load(options.preset)
    block = block_size(preset, options.block)
    audiofile.refuse_same(options.source, options.target)
    if options.save is not None:
        check_writable(options.save)
    with (
        audiofile.open_input(options.source) as source,
        Stream(preset, source.rate, source.names, options.calibration, options.settings) as stream,
    ):
        return _stream(stream, source, options, block, advance)


def _stream(
    stream: Stream,
    source: audiofile.Input,
    options: RenderOptions,
    block: int,
    advance: Callable[[float], None] | None,
) -> dict[str, Any]:
    channels, frames = source.channels, source.frames
    subtype = options.subtype or ("PCM_24" if options.target.lower().endswith(".flac") else "FLOAT")
    if options.save is not None and not stream.learnt().stages:
        raise InputError("--save", f"preset {stream.preset.name} learns nothing", "leave it out")
    begun, cpu = time.perf_counter(), time.process_time()
    origin = source.origin if options.compensate else source.origin.late(stream.latency)
    with audiofile.open_output(options.target, source.rate, channels, source.names, frames, subtype, origin) as target:
        written = asked = 0
        for piece in play(stream, source, block, options.compensate):
            target.write(piece)
            written += piece.shape[1]
            if options.save is not None and written - asked >= LEARNT_EVERY * source.rate:
                asked = written
                stream.learnt()
            if advance is not None:
                advance(written / frames)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
    saved = {} if options.save is None else {"saved": _save(stream, options.save)}
    seconds = frames / source.rate
    return {
        "input": str(options.source),
        "output": str(options.target),
        "preset": stream.preset.name,
        "latency_samples": stream.latency,
        "compensated_samples": stream.latency if options.compensate else 0,
        "sample_rate": source.rate,
        "block": block,
        "channels": channels,
        "seconds": seconds,
        "cpu_s": cpu,
        "realtime_factor": wall / seconds,
        "block_us": percentiles(stream.microseconds()),
        "bad_inputs": stream.bad_inputs,
        "notes": [*stream.notes, *([stream.limited] if stream.limited else [])],
        **stream.status(),
        **saved,
    }


def _save(stream: Stream, path: str) -> str:
    """Write what was learnt, and return how sure that is."""
    known = stream.learnt()
    learnt.save(known, path)
    return known.told()
