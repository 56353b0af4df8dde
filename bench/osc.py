"""OSC on a run with sound: how soon a message is on the board and in the sound, and what a flood or garbage does.

A JACK server with its dummy driver; one client plays a constant, one listens, and `rtsep run --osc` is between them.
Printed: ms from sending a message until its value stands on the board, and until the sound changes (p50, p99, the
largest); 10 000 messages at 1 kHz (how many came, whether all stands as was said last); load, late and lost blocks,
what the supervisor computes and how often it looks, in turns with a flood and without (the sender floods a port where
nobody listens then: it costs the same); and whether garbage has changed anything. The board and the meters are looked
at where they are, in shared memory.

    python bench/osc.py [--period 256] [--trials 300] [--rate 20000] [--turns 6] [--turn 5] [--garbage 60] [--realtime]
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import presets
from rtsep.bench.jackd import RATE, JackServer
from rtsep.bench.osc import garbage
from rtsep.control.osc.packet import encode
from rtsep.meters import Meters
from rtsep.params import Board

PRESET = 'schema = 1\nname = "osc"\nlatency_class = "live"\n[[chain]]\nstage = "input"\n'
MEMORY = pathlib.Path("/dev/shm")
MICS = 2
LEVEL = 0.05          # of the constant that is played
SETTLES = 0.25        # seconds: longer than any ramp
PATIENCE = 60.0


# The run

def serve(port: int, preset: str) -> None:
    """Be the run: with OSC, and a surface that notes when it is updated."""
    from rtsep.control.osc.server import Server
    from rtsep.control.surface import Running, Surfaces
    from rtsep.control.surfaces.osc import Osc
    from rtsep.hosts.request import RunOptions
    from rtsep.hosts.supervisor import run

    class Looks:
        times: list[float]

        def __init__(self) -> None:
            self.times = []

        def say(self, text: str) -> None:
            print(f"  says: {text}", file=sys.stderr)

        def wait(self, what: str, seconds: float) -> None:
            pass

        def update(self, _: Running) -> bool:
            self.times.append(time.monotonic())
            return False

        def close(self) -> None:
            pass

    looks, server = Looks(), Server("127.0.0.1", port)
    options = RunOptions(preset=preset, input_device="source", output_device="system", rate=RATE)
    run(options, lambda: Surfaces([Osc(server), looks]), lambda _: None)
    print(json.dumps({"looks": looks.times, "failed": server.failed}), flush=True)


class Run:
    """That run, from outside: its board, its meters and a socket to it."""

    def __init__(self, server: JackServer, preset: str) -> None:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", self.port))
        self.asked = 0
        before = {path.name for path in MEMORY.glob("rtsep-*-b")}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(self.port), preset], env=server.environment,
            stdout=subprocess.PIPE, text=True,
        )
        atexit.register(self.process.kill)   # whatever happens here
        self.wait_for(lambda: self.ask("/stat/state") == "running", "it does not answer")
        (name,) = [n for n in {path.name for path in MEMORY.glob("rtsep-*-b")} - before if self._holds(n)]
        self.board: Board = presets.make_board(presets.load(preset), ("mic1", "mic2"), name, create=False)
        self.meters = Meters(MICS, name[:-1] + "m", create=False)

    def _holds(self, name: str) -> bool:
        """Whether the run has some memory: others may have begun meanwhile."""
        return f"/dev/shm/{name}" in pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()

    def ask(self, address: str) -> Any:
        """Return the value at an address; None: nobody answers."""
        from pythonosc.osc_message import OscMessage

        self.socket.settimeout(0)
        with contextlib.suppress(OSError):   # answers that came too late
            while self.socket.recv(65536):
                pass
        self.socket.settimeout(0.5)
        for _ in range(6):   # in a flood the kernel may have no room for a question
            with contextlib.suppress(OSError):
                self.asked += 1
                self.socket.send(encode(address))
                while True:
                    said = OscMessage(self.socket.recv(65536))
                    if said.address == address:
                        return said.params[0]
        return None

    def cpu(self) -> NDArray[np.float64]:
        """Return the seconds that the supervisor has computed, and that the process has which reads what comes."""
        return np.array([_computed(self.process.pid), sum(map(_computed, self._listeners()))])

    def _listeners(self) -> list[int]:
        children = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children")
        pids = [int(pid) for path in children for pid in path.read_text().split()]
        return [pid for pid in pids if b"osc.listener" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]

    def wait_for(self, done: Callable[[], bool], otherwise: str) -> None:
        """Wait until something is so."""
        until = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(otherwise)
            time.sleep(0.02)

    def end(self) -> dict[str, Any]:
        """Return when the supervisor has looked, and what has failed."""
        self.process.send_signal(signal.SIGINT)
        found: dict[str, Any] = json.loads(self.process.communicate(timeout=PATIENCE)[0].splitlines()[-1])
        return found


def _computed(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return float(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sound:
    """One JACK client that plays a constant, and one that notes at which frame what it hears first changes."""

    def __init__(self, server: JackServer) -> None:
        import jack

        self._source = jack.Client("source", servername=server.name, no_start_server=True)
        self._ear = jack.Client("ear", servername=server.name, no_start_server=True)
        outs = [self._source.outports.register(f"out{n + 1}") for n in range(MICS)]
        heard = self._ear.inports.register("in")
        self._last, self._armed = np.float32(0), False
        self._changed_at = 0
        self._noticed = threading.Event()

        def play(_: int) -> None:
            for port in outs:
                port.get_array()[:] = LEVEL

        def listen(_: int) -> None:
            sound: NDArray[np.float32] = heard.get_array()
            if self._armed:
                new = np.flatnonzero(np.abs(np.diff(sound, prepend=self._last)) > 1e-7)
                if new.size:
                    self._armed = False
                    self._changed_at = self._ear.last_frame_time + int(new[0])
                    self._noticed.set()
            self._last = sound[-1]

        self._source.set_process_callback(play)
        self._ear.set_process_callback(listen)
        self._source.activate()
        self._ear.activate()

    def connect(self) -> None:
        """Listen to the first microphone of the run."""
        ports = [p for p in self._ear.get_ports(is_output=True, is_audio=True)
                 if p.name.split(":")[0] not in ("system", "source", "ear")]
        self._ear.connect(ports[0].name, "ear:in")
        time.sleep(1)

    def after(self, act: Callable[[], object]) -> float:
        """Return ms from an act to the first sample that is heard of it."""
        self._noticed.clear()
        self._armed = True
        began = self._ear.frame_time
        act()
        if not self._noticed.wait(10):
            raise SystemExit("nothing is heard of a message")
        frames = (self._changed_at - began + 2**31) % 2**32 - 2**31   # JACK counts in 32 bits
        return 1000 * frames / RATE

    def close(self) -> None:
        """End both."""
        self._ear.close()
        self._source.close()


# What is measured

def told(what: str, times: Sequence[float]) -> None:
    p50, p99 = np.percentile(times, (50, 99))
    print(f"{what}: p50 {p50:.2f}, p99 {p99:.2f}, largest {max(times):.2f} ms ({len(times)} times)", flush=True)


def to_board(run: Run, trials: int) -> list[float]:
    """Measure ms from sending until the value is there."""
    values, place = run.board.values, run.board._find("output.gain_db.mic1")[1].start
    times = []
    for number in range(trials):
        value = np.float32(-1 - number % 7)
        said = encode("/p/output/gain_db/mic1", float(value))
        time.sleep(random.uniform(0.001, 0.03))
        began = time.perf_counter()
        run.socket.send(said)
        while values[place] != value:
            pass
        times.append(1000 * (time.perf_counter() - began))
    return times


def to_sound(run: Run, sound: Sound, trials: int) -> list[float]:
    """Measure ms from sending until the first sample that differs."""
    times = []
    for number in range(trials):
        said = encode("/p/output/gain_db/mic1", float(-2 if number % 2 else -8))
        time.sleep(SETTLES + random.uniform(0, 0.02))
        times.append(sound.after(lambda said=said: run.socket.send(said)))
    return times


def row(run: Run, count: int = 10_000, rate: float = 1000.0) -> None:
    """Send a long row of messages, each its own value, and see what has become of it."""
    paths = [f"output.gain_db.{mic}" for mic in run.board.mics] + [f"input.delay_ms.{mic}" for mic in run.board.mics]
    before, asked = (run.ask("/stat/received"), run.ask("/stat/dropped")), run.asked
    last: dict[str, float] = {}
    began = time.monotonic()
    for number in range(count):
        path = paths[number % len(paths)]
        last[path] = float(np.float32(number % 9973 * 0.001))
        run.socket.send(encode("/p/" + path.replace(".", "/"), last[path]))
        while time.monotonic() < began + number / rate:
            time.sleep(0.0002)
    took = time.monotonic() - began
    came = run.ask("/stat/received") - before[0] - (run.asked - asked) - 1
    dropped = run.ask("/stat/dropped") - before[1]
    time.sleep(0.1)   # the last words are answered for a moment before the run has them
    exact = all(run.board.get(path) == value for path, value in last.items())
    print(f"{count} messages in {took:.1f} s: {count - came} lost, {dropped} refused; ends exact: {exact}", flush=True)


def flood(port: int, rate: float, stop: Any, sent: Any) -> None:
    """Send values to a port, in turns over the faders, as fast as is said."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    said = [encode(f"/p/output/gain_db/mic{n % MICS + 1}", -float(n % 50)) for n in range(100)]
    began, number = time.monotonic(), 0
    while not stop.is_set():
        due = int((time.monotonic() - began) * rate)
        while number < due:
            out.sendto(said[number % len(said)], ("127.0.0.1", port))
            number += 1
        time.sleep(0.0005)
    with sent.get_lock():
        sent.value += number


def floods(run: Run, rate: float, turns: int, seconds: float) -> list[tuple[str, float, float]]:
    """Flood the run and, in turns, nobody; returns when each turn was."""
    context = multiprocessing.get_context("spawn")
    nobody = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    nobody.bind(("127.0.0.1", 0))
    rows: dict[str, list[tuple[float, ...]]] = {"without": [], "flooded": []}
    spans = []
    for turn in range(2 * turns):
        kind = ("without", "flooded")[turn % 2]
        stop, sent = context.Event(), context.Value("l", 0)
        port = run.port if kind == "flooded" else nobody.getsockname()[1]
        process = context.Process(target=flood, args=(port, rate, stop, sent), daemon=True)
        process.start()
        time.sleep(2)   # it has started, and load is of the last second
        get = run.meters.get
        counts, begun = [get("late_blocks"), get("xruns")], time.monotonic()
        received, loads, computed = run.ask("/stat/received"), [], run.cpu()
        while time.monotonic() < begun + seconds:
            time.sleep(0.1)
            loads.append(get("load"))
        computed, ended = run.cpu() - computed, time.monotonic()
        heard = run.ask("/stat/received")
        rows[kind].append((
            statistics.mean(loads), get("late_blocks") - counts[0], get("xruns") - counts[1],
            *(computed / (ended - begun)),
        ))
        spans.append((kind, begun, ended))
        if kind == "flooded":
            print(f"  {(heard - received) / (ended - begun):.0f} messages a second came", flush=True)
        stop.set()
        process.join()
    for kind, found in rows.items():
        load, late, lost, share, listener = np.array(found).T
        print(f"{kind}: load {100 * load.mean():.1f} % (turns {100 * load.min():.1f} to {100 * load.max():.1f}), "
              f"late blocks {late.sum():.0f}, lost blocks {lost.sum():.0f}, "
              f"supervisor {100 * share.mean():.0f} %, listener {100 * listener.mean():.0f} % of a core", flush=True)
    return spans


def fuzz(run: Run, seconds: float) -> None:
    """Send garbage, and see whether anything has changed."""
    from rtsep.control.osc.addresses import listing

    known = [a for a, entry in listing(presets.loads(PRESET, "osc"), run.board.mics).items() if entry.path]
    time.sleep(0.5)
    before, count = run.board.values.copy(), 0
    until, made = time.monotonic() + seconds, garbage(known)
    while time.monotonic() < until:
        for _ in range(20):
            with contextlib.suppress(OSError):
                run.socket.send(next(made))
            count += 1
        time.sleep(0.005)
    run.wait_for(lambda: run.ask("/stat/state") == "running", "it is dead")
    changed = int((run.board.values != before).sum())
    print(f"{count} garbled datagrams in {seconds:.0f} s: {changed} targets changed, "
          f"{run.ask('/stat/dropped')} messages refused so far", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--period", type=int, default=256, help="frames")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--rate", type=float, default=20_000.0, help="of the flood, messages a second")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--turn", type=float, default=5.0, metavar="S")
    parser.add_argument("--garbage", type=float, default=60.0, metavar="S")
    parser.add_argument("--realtime", action="store_true", help="jackd -R")
    args = parser.parse_args()
    if args.serve:
        serve(int(args.serve[0]), args.serve[1])
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ending:
        preset = pathlib.Path(folder, "osc.toml")
        preset.write_text(PRESET)
        server = JackServer(args.period, RATE, MICS, realtime=args.realtime)
        ending.callback(server.close)
        if not server.ready():
            raise SystemExit("jackd cannot start")
        sound = Sound(server)
        ending.callback(sound.close)
        run = Run(server, str(preset))
        sound.connect()
        print(f"period {args.period} frames, {1000 * args.period / RATE:.2f} ms", flush=True)
        told("message to board", to_board(run, args.trials))
        told("message to sound", to_sound(run, sound, args.trials))
        row(run)
        spans = floods(run, args.rate, args.turns, args.turn)
        fuzz(run, args.garbage)
        found = run.end()
        looks = np.array(found["looks"])
        for kind in ("without", "flooded"):
            gaps = np.concatenate([np.diff(looks[(looks >= a) & (looks <= b)]) for k, a, b in spans if k == kind])
            print(f"{kind}: the supervisor looked {len(gaps)} times, every {1000 * gaps.mean():.1f} ms, "
                  f"p99 {1000 * np.percentile(gaps, 99):.1f}, longest {1000 * gaps.max():.1f} ms")
        print(f"unforeseen errors: {found['failed']}")


if __name__ == "__main__":
    main()
