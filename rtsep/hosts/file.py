"""The file host: render a recording through the very chain that runs live. The reference for all other hosts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtsep import audiofile, presets
from rtsep.metrics import percentiles
from rtsep.session import Session, block_size

_READ_FRAMES = 1 << 16


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
    """

    source: str
    target: str
    preset: str = "foh"
    block: int | None = None
    settings: tuple[str, ...] = field(default=())
    calibration: str | None = None
    compensate: bool = True
    subtype: str | None = None


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
    with (
        audiofile.open_input(options.source) as source,
        Session.open(preset, source.rate, source.names, options.calibration, options.settings) as session,
    ):
        return _stream(session, source, options, block, advance)


def _stream(
    session: Session,
    source: audiofile.Input,
    options: RenderOptions,
    block: int,
    advance: Callable[[float], None] | None,
) -> dict[str, Any]:
    engine, channels, frames = session.engine, source.channels, source.frames
    runner = session.start()
    skip = engine.latency if options.compensate else 0
    subtype = options.subtype or ("PCM_24" if options.target.lower().endswith(".flac") else "FLOAT")
    begun, cpu = time.perf_counter(), time.process_time()
    with audiofile.open_output(options.target, source.rate, channels, source.names, frames, subtype) as target:
        chunk = max(1, _READ_FRAMES // block) * block
        out = np.zeros((channels, chunk), np.float32)
        left_to_skip, left_to_write = skip, frames
        while left_to_write > 0:
            x = source.read(chunk)
            if x.shape[1] < chunk:   # behind the end: silence pushes the last samples through the latency
                x = np.concatenate([x, np.zeros((channels, chunk - x.shape[1]), np.float32)], axis=1)
            for first in range(0, min(chunk, left_to_skip + left_to_write), block):
                piece = np.ascontiguousarray(x[:, first : first + block])
                result = np.empty_like(piece)
                runner.process(piece, result)
                out[:, first : first + block] = result
            wanted = out[:, left_to_skip : left_to_skip + left_to_write]
            left_to_skip = max(0, left_to_skip - chunk)
            if wanted.shape[1]:
                target.write(np.ascontiguousarray(wanted))
                left_to_write -= wanted.shape[1]
                if advance is not None:
                    advance(1 - left_to_write / frames)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
    seconds = frames / source.rate
    return {
        "input": str(options.source),
        "output": str(options.target),
        "preset": engine.preset.name,
        "latency_samples": engine.latency,
        "compensated_samples": skip,
        "sample_rate": source.rate,
        "block": block,
        "channels": channels,
        "seconds": seconds,
        "cpu_s": cpu,
        "realtime_factor": wall / seconds,
        "block_us": percentiles(runner.microseconds()),
        "bad_inputs": {
            name: int(count) for name, count in zip(source.names, runner.bad_inputs, strict=True) if count
        },
        "notes": presets.notes(engine.preset, channels),
        **engine.status(),
    }
