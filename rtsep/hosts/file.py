"""The file host: render a recording through the very chain that runs live. The reference for all other hosts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtsep import audiofile, presets
from rtsep import calibration as calibrations
from rtsep.engine import Engine
from rtsep.errors import InputError
from rtsep.metrics import percentiles
from rtsep.stage import Block, Format, Runner

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


def render(options: RenderOptions) -> dict[str, Any]:
    """Render `source` to `target`: same channels, rate and length.

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
    block = options.block if options.block is not None else preset.host.block
    if not 1 <= block <= 1 << 16:
        raise InputError("--block", f"{block} is not allowed", "allowed is 1 to 65536")
    known = calibrations.load(options.calibration) if options.calibration else None
    audiofile.refuse_same(options.source, options.target)
    with audiofile.open_input(options.source) as source:
        engine = make_engine(preset, source.rate, source.names, known, options.settings)
        try:
            return _stream(engine, source, options, block)
        finally:
            engine.close()


def make_engine(
    preset: presets.Preset,
    rate: int,
    names: tuple[str, ...],
    calibration: calibrations.Calibration | None = None,
    settings: tuple[str, ...] = (),
) -> Engine:
    """Prepare an engine for named microphones, with `path=value` settings on top of the preset.

    Raises
    ------
    InputError
        For a setting that is not `path=number`, unknown or out of range, and whatever `Engine.prepare` refuses.
    """
    engine = Engine(preset, calibration)
    fmt = Format(rate, len(names))
    board = presets.make_board(preset, names)
    engine.prepare(fmt, board)
    for setting in settings:
        path, _, text = setting.partition("=")
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"--set {setting}", f"{text!r} is not a number", "write path=number") from None
        board.set(path, value)
    # What was set before the first sample stands from the first sample on, without a ramp.
    engine.reset()
    return engine


def _stream(engine: Engine, source: audiofile.Input, options: RenderOptions, block: int) -> dict[str, Any]:
    channels, frames = source.channels, source.frames
    runner = _warm(engine)
    skip = engine.latency if options.compensate else 0
    subtype = options.subtype or ("PCM_24" if options.target.lower().endswith(".flac") else "FLOAT")
    begun, cpu = time.perf_counter(), time.process_time()
    with (
        audiofile.open_output(options.target, source.rate, channels, source.names, frames, subtype) as target,
        progress(frames, "rendering") as advance,
    ):
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
                advance(frames - left_to_write)
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


def _warm(engine: Engine) -> Runner:
    """Touch every page and code path once, then start as new."""
    runner = Runner(engine)
    silence: Block = np.zeros((engine.fmt.channels, 4096), np.float32)
    runner.process(silence, np.empty_like(silence))
    engine.reset()
    fresh = Runner(engine)
    return fresh


@contextmanager
def progress(total: float, label: str) -> Iterator[Any]:
    """Show a progress bar on a terminal, and none in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
