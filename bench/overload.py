"""Overload: how fast the governor ends it, what it gives up, what is said, and whether any of it clicks.

    python bench/overload.py live [--mics 32] [--preset live] [--block 64] [--hogs 0] [--seconds 20] [--runs 3]
    python bench/overload.py steps

`live` cleans players that bleed into each other, on a JACK server with a dummy driver and real-time threads; beside it
`--hogs` processes burn the processor. Printed of each run: when the first step was taken and when it had come to rest,
seconds after the first sound; lost blocks (anybody's on that machine) and late ones (ours) in a second before, between
and after; and what was said.

`steps` needs no device: a chain of a model, a suppressor and a canceller, each of which burns a part of the deadline,
is paced by a clock. Printed: when each of them was given up, late blocks (a clock's blocks queue up: they are late
until it has caught up), and the largest bend of the tones that come out, beside that of the tones and of a hard switch.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes.util
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import binding
from numba import carray, types
from numpy.typing import NDArray

from rtsep import realtime
from rtsep.bench.jackd import JackServer
from rtsep.catalogue import STAGES
from rtsep.catalogue.spec import PASSED_OVER, Saving, StageSpec
from rtsep.clock import ticks_per_second
from rtsep.hosts.request import RunOptions
from rtsep.hosts.supervisor import run
from rtsep.runner import Runner
from rtsep.stage import Format, Stage
from rtsep_kernels.plane.jit import entry, stage_entry
from rtsep_kernels.plane.memory import pointer, ticks
from rtsep_kernels.plane.record import State, array, f4, i8, number, record, view

if TYPE_CHECKING:
    from rtsep.control.surface import Running

RATE, BLOCK = 48000, 64
BURNT = {"model": 0.3, "suppressor": 0.35, "canceller": 0.6}   # of the deadline
CLASSES = {"model": "models", "suppressor": "suppressor", "canceller": "canceller"}
STEPS_SECONDS = 6.0
MICS = 4
LOOP_SECONDS = 8.0
CALM = 2.0   # seconds without a step: the governor has come to rest

# What `give` calls must be known before it is compiled.
binding.load_library_permanently(ctypes.util.find_library("jack") or "libjack.so.0")
_buffer_of = types.ExternalFunction("jack_port_get_buffer", types.voidptr(types.voidptr, types.uint32))

BURN = record(channels=number(), ticks=number(), reserve=number())


@stage_entry(BURN)
def burn(state, x, out, frames):  # type: ignore[no-untyped-def]
    """Take a part of the deadline, and turn everything down by a half."""
    s = carray(state, (1,))[0]
    begin = ticks()
    source, target = carray(x, (s.channels * frames,)), carray(out, (s.channels * frames,))
    for i in range(s.channels * frames):
        target[i] = source[i] * np.float32(0.5)
    while ticks() - begin < s.ticks * frames // 64:
        pass
    return 0


class Burn(Stage):
    """A stage that takes a part of the deadline.

    Parameters
    ----------
    name : str
        A key of `BURNT`.
    """

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        deadline = ticks_per_second() * BLOCK / fmt.rate
        return burn, BURN.make(channels=fmt.channels, ticks=int(BURNT[self.name] * deadline)), 0


def steps() -> None:
    """Play tones through stages that burn, and watch what is given up."""
    from rtsep.engine import Engine
    from rtsep.hosts.overload import Overload
    from rtsep.presets import loads

    for name, order in CLASSES.items():
        STAGES[name] = StageSpec("Burn", "burns", name=name, module=__name__, savings=(Saving(order, PASSED_OVER),))
    chain = "".join(f'[[chain]]\nstage = "{name}"\n' for name in CLASSES)
    engine = Engine(loads(f'schema = 1\nname = "burn"\nlatency_class = "live"\n{chain}', "burn"))
    engine.prepare(Format(RATE, MICS))
    t = np.arange(round(STEPS_SECONDS * RATE)) / RATE
    x = np.stack([0.5 * np.sin(2 * np.pi * (300 + 170 * c) * t) for c in range(MICS)]).astype(np.float32)
    heard, done = np.zeros_like(x), np.zeros(1, np.int64)
    runner, watch = Runner(engine), Overload(engine)

    def play() -> None:
        realtime.ask(realtime.AUDIO)
        runner.run_paced(x, heard, BLOCK, done)

    playing = threading.Thread(target=play)
    playing.start()
    begun = time.monotonic()
    seen, last, settled = 0, -1, 0
    while playing.is_alive():
        time.sleep(0.05)
        calls = runner.record["calls"]
        took = runner.record["timings"][seen:calls] / ticks_per_second()
        seen = calls
        if time.monotonic() < begun + STEPS_SECONDS - 2:
            settled = runner.record["late"]
        level = watch.steps
        watch.update(time.monotonic(), took, BLOCK, RATE, 0)
        if watch.steps != level:
            last = int(done[0])
            given = {bypass_of for bypass_of, bypass in engine.chain.bypasses.items() if bypass["wanted"]}
            print(f"  {done[0] / RATE:5.2f} s  given up: {', '.join(stage.name for stage in given) or '-'}")
        if (line := watch.news()) is not None:
            print("        ", line)
    print(f"late blocks {settled}, in the last two seconds {runner.record['late'] - settled}")
    hard = heard.copy()
    hard[:, last:] *= 2
    bends = [float(np.abs(np.diff(y, 2, axis=1)).max()) for y in (heard, x, hard)]
    print(f"largest bend: heard {bends[0]:.5f}, of the input {bends[1]:.5f}, with a hard switch {bends[2]:.5f}")


class Recorder:
    """A surface that keeps what is said and counted, by time.

    Parameters
    ----------
    hogs : int
        Processes to burn the processor from the first sound on.
    """

    def __init__(self, hogs: int) -> None:
        self._hogs = [multiprocessing.get_context("spawn").Process(target=_hog, daemon=True) for _ in range(hogs)]
        self.begun = 0.0
        self.lines: list[tuple[float, str]] = []
        self.counts: list[tuple[float, ...]] = []   # seconds, xruns, late blocks, steps of the governor

    def say(self, text: str) -> None:
        """Keep a line."""
        self.lines.append((time.monotonic() - (self.begun or time.monotonic()), text))

    def update(self, running: Running) -> bool:
        """Keep the counts."""
        get = running.meters.get
        if get("running"):
            now = time.monotonic()
            if not self.begun:
                self.begun = now
                for hog in self._hogs:
                    hog.start()
            self.counts.append((now - self.begun, get("xruns"), get("late_blocks"), get("shed")))
        return False

    def close(self) -> None:
        """End the hogs."""
        for hog in self._hogs:
            if hog.pid:
                hog.kill()
                hog.join()


def _hog() -> None:
    while True:
        pass


def concert(mics: int) -> NDArray[np.float32]:
    """Make players in a row who take turns, each heard by those up to eight places away, twice: all pairs of 16."""
    rng = np.random.default_rng(1)
    frames, turn = round(LOOP_SECONDS * RATE), round(0.15 * RATE)
    playing = rng.random((mics, frames // turn + 1)) > 0.6
    sources = 0.08 * rng.standard_normal((mics, frames)) * playing.repeat(turn, axis=1)[:, :frames]
    heard = sources.copy()
    for i in range(mics):
        for j in range(max(0, i - 8), min(mics, i + 9)):
            far = abs(i - j)
            if far:
                heard[i] += 0.4 / far**1.5 * np.roll(sources[j], 60 * far)
                heard[i] += 0.2 / far**1.5 * np.roll(sources[j], 60 * far + 400 + (91 * i + 39 * j) % 300)
    return heard.astype(np.float32)


@contextlib.contextmanager
def player(server: JackServer, mics: int) -> Iterator[str]:
    """Have another process play the concert; yields its name."""
    process = subprocess.Popen(
        [sys.executable, __file__, "play", "--mics", str(mics)], env=server.environment, stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "playing":
            raise SystemExit("the player cannot connect to JACK")
        yield "player"
    finally:
        process.kill()
        process.wait()


PLAYER = record(mics=number(), frames=number(), place=number(), sound=array(f4, "mics", "frames"),
                ports=array(i8, "mics"))


@entry(types.int32(types.uint32, types.CPointer(PLAYER.type)))
def give(frames, player):  # type: ignore[no-untyped-def]
    """Give JACK the next samples of every mic: in Python it would take a third of the period."""
    s = carray(player, (1,))[0]
    sound, ports = view(s, "sound"), view(s, "ports")
    for c in range(s.mics):
        target = carray(_buffer_of(pointer(ports[c]), frames), (frames,), np.float32)
        for i in range(frames):
            target[i] = sound[c, (s.place + i) % s.frames]
    s.place += frames
    return 0


def play(mics: int) -> None:
    """Be that process."""
    import jack

    client = jack.Client("player", no_start_server=True)
    ports = [client.outports.register(f"out{c + 1}") for c in range(mics)]
    sound = concert(mics)
    addresses = np.array([int(jack._ffi.cast("intptr_t", port._ptr)) for port in ports])
    player = PLAYER.make(mics=mics, frames=sound.shape[1], sound=sound, ports=addresses)
    jack._lib.jack_set_process_callback(
        client._ptr, jack._ffi.cast("JackProcessCallback", give.address), jack._ffi.cast("void *", player.address)
    )
    with client:
        print("playing", flush=True)
        while True:
            time.sleep(60)


def live(args: argparse.Namespace) -> dict[str, Any]:
    """Run once."""
    recorder, summaries = Recorder(args.hogs), []
    options = RunOptions(
        preset=args.preset, input_device="player", output_device="system", rate=RATE, block=args.block, map_csv=None,
        calibration=None, record=None, seconds=args.seconds, settings=(),
    )
    run(options, lambda: recorder, summaries.append)
    counts: NDArray[np.float64] = np.array(recorder.counts)
    when, xruns, late, given = counts.T
    acted = when[1:][np.diff(given) > 0]
    end = float(when[-1])
    first = float(acted[0]) if acted.size else end
    # The first time at which nothing had been given up for a while.
    calm = next((float(at) for at in acted if not ((acted > at) & (acted < at + CALM)).any()), end)

    def rate(counter: NDArray[np.float64], begin: float, until: float) -> float:
        inside = counter[(when >= begin) & (when <= until)]
        return float(np.ptp(inside)) / (until - begin) if inside.size and until > begin else 0.0

    spans = {"before": (0.0, first), "between": (first, calm), "after": (calm + 0.3, end)}
    return {
        "first_step_s": first, "calm_s": calm, "steps": int(given[-1]),
        **{f"xruns_{name}": rate(xruns, *span) for name, span in spans.items()},
        **{f"late_{name}": rate(late, *span) for name, span in spans.items()},
        "p99_us": summaries[0]["block_us"]["p99"] if summaries else None,
        "said": [f"{at:.2f} s: {line}" for at, line in recorder.lines if "overload" in line or "load is" in line],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("live", "steps", "play"))
    parser.add_argument("--mics", type=int, default=32)
    parser.add_argument("--preset", default="live")
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--hogs", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.kind != "live":
        steps() if args.kind == "steps" else play(args.mics)
        return
    rows = []
    for _ in range(args.runs):
        server = JackServer(args.block, RATE, args.mics, realtime=True)
        os.environ.update({key: value for key, value in server.environment.items() if key.startswith("JACK")})
        try:
            if not server.ready():
                raise SystemExit("jackd does not start")
            with player(server, args.mics):
                rows.append(live(args))
        finally:
            server.close()
        print(json.dumps(rows[-1], indent=1), flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
