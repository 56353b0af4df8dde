"""The hop to another process and back: what it costs, and what is heard when the worker fails.

A JACK server with its dummy driver clocks 16 channels of 64 frames at 48 kHz; a player feeds it noise. One stage,
`remote`, whose worker turns the sound upside down; every sample in and out is kept and looked at: it is the worker's,
or dry, or on the way between. CPU is that of each process divided by seconds of audio, and the callback's time stands
beside that of a chain that only trims. Then each fault, several times: the longest run of samples that are neither the
worker's nor dry. Needs jackd.

    python bench/remote.py [--seconds 60] [--times 10] [--unit 64] [--delay 512] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

TESTS = pathlib.Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

CHANNELS, BLOCK, RATE = 16, 64, 48000
TAPE_ROWS = 1 << 18      # 5 s
SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
FAULTS = ("killed", "stopped", "slow", "size", "nan")
TICKS = os.sysconf("SC_CLK_TCK")


class Tape:
    """Reads what a runner keeps, and says of every sample what it is."""

    def __init__(self, runner: Any, delay: int, gain: float) -> None:
        from rtsep_kernels.plane import ring

        self._read = ring.ring_read
        self._header = np.zeros(ring.RING_HEADER, np.int64)
        self._data = np.zeros((TAPE_ROWS, 2 * CHANNELS), np.float32)
        runner.record["tape_rows"] = TAPE_ROWS
        for name, array in {"tape_data": self._data, "tape_row": np.zeros((64, 2 * CHANNELS), np.float32),
                            "tape_header": self._header}.items():
            runner.record.put(name, array)
        self._delay, self._gain = delay, np.float32(gain)
        self._past = np.zeros((delay, CHANNELS), np.float32)
        self.frames = self.wet = self.dry = self.other = self.longest = self.dry_runs = 0
        self._run, self._was_dry, self._first = 0, False, True
        self.measured_delay = -1

    def update(self) -> None:
        """Look at what has come since the last time."""
        rows = np.empty((TAPE_ROWS // 2, 2 * CHANNELS), np.float32)
        while (count := self._read(self._header, self._data, rows)) > 0:
            given = np.concatenate([self._past, rows[:count, :CHANNELS]])
            heard, late = rows[:count, CHANNELS:], given[:count]
            self._past = given[count:].copy()
            silent = not late.any()
            if silent:
                continue
            if self.measured_delay < 0 and count > 8 * self._delay:
                spectrum = np.fft.rfft(heard[:, 0], 2 * count) * np.conj(np.fft.rfft(rows[:count, 0], 2 * count))
                self.measured_delay = int(np.argmax(np.abs(np.fft.irfft(spectrum))))
            wet = (heard == late * self._gain).all(axis=1)
            dry = (heard == late).all(axis=1) & ~wet
            self.frames += count
            self.wet += int(wet.sum())
            self.dry += int(dry.sum())
            self.other += int((~(wet | dry)).sum())
            for good, is_dry in zip((wet | dry).tolist(), dry.tolist(), strict=True):
                self._run = 0 if good else self._run + 1
                self.longest = max(self.longest, self._run)
                self.dry_runs += is_dry and not self._was_dry
                self._was_dry = is_dry

    @property
    def lost(self) -> int:
        """Rows that the tape itself had no room for."""
        return int(self._header[16])


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def stream(runner: Any) -> Any:
    """Open JACK's player and speakers with the compiled callback."""
    import sounddevice as sd

    from rtsep_kernels.plane import grid

    pins = np.arange(CHANNELS, dtype=np.int32)
    for name in ("inputs", "outputs"):
        runner.record.put(name, pins)
    runner.record["device_inputs"] = runner.record["device_outputs"] = CHANNELS
    runner.record["fade"] = runner.record["fade_target"] = 1
    devices = [next(i for i, d in enumerate(sd.query_devices()) if d["name"].startswith(name))
               for name in ("player", "system")]
    return sd._StreamBase(
        "duplex", samplerate=RATE, blocksize=BLOCK, device=devices, channels=(CHANNELS, CHANNELS),
        dtype="float32", latency="low", clip_off=True, dither_off=True,
        callback=sd._ffi.cast("PaStreamCallback *", grid.run_interleaved.address),
        userdata=sd._ffi.cast("void *", runner.address),
    )


def hop(seconds: float, unit: int, delay: int, with_worker: bool) -> dict[str, Any]:
    """Measure one way: with the worker, or a chain that only trims."""
    from workers import GAIN

    from rtsep.runner import Runner
    from rtsep.stage import Format, Stage
    from rtsep.stages.mix import Input
    from rtsep.stages.remote.stage import Remote

    stage: Stage = Remote("remote", "workers:Turned", unit, delay) if with_worker else Input("input")
    stage.prepare(Format(RATE, CHANNELS))
    runner = Runner(stage)
    tape = Tape(runner, delay if with_worker else 64, GAIN)
    stage.go_live()
    opened = stream(runner)
    opened.start()
    time.sleep(1)
    runner.forget_times()
    pids = [os.getpid(), stage.pid] if isinstance(stage, Remote) else [os.getpid()]
    before, begun = [cpu(pid) for pid in pids], runner.record["position"]
    checking = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        start = time.thread_time()
        if with_worker:
            tape.update()
        checking += time.thread_time() - start
    audio = (runner.record["position"] - begun) / RATE
    used = [cpu(pid) - was for pid, was in zip(pids, before, strict=True)]
    used[0] -= checking
    times = runner.microseconds()
    opened.close()
    row = {"audio_s": audio, "cpu": [u / audio for u in used], "xruns": runner.record["xruns"],
           "us_p50": float(np.percentile(times, 50)), "us_p99": float(np.percentile(times, 99))}
    if with_worker:
        tape.update()
        row.update(
            declared_delay=stage.latency, measured_delay=tape.measured_delay, frames=tape.frames, wet=tape.wet,
            dry=tape.dry, other=tape.other, longest_other=tape.longest, tape_lost=tape.lost, **stage.status(),
        )
    stage.close()
    return row


def fault(kind: str, times: int, unit: int, delay: int, folder: str) -> dict[str, Any]:
    """Have one kind of fault several times, each once the worker is heard again."""
    from workers import GAIN

    from rtsep.runner import Runner
    from rtsep.stage import Format
    from rtsep.stages.remote.stage import Remote

    settings: dict[str, Any] = {}
    if kind not in SIGNALS:   # about one a second
        settings = {"fault": kind, "units": [(n + 2) * RATE // unit for n in range(times)], "folder": folder}
    stage = Remote("remote", "workers:Faulty" if settings else "workers:Turned", unit, delay, settings=settings)
    stage.prepare(Format(RATE, CHANNELS))
    runner = Runner(stage)
    tape = Tape(runner, delay, GAIN)
    stage.go_live()
    opened = stream(runner)
    opened.start()
    done = 0
    while done < times:
        time.sleep(0.5)
        tape.update()
        heard = tape.wet
        time.sleep(0.1)
        tape.update()
        if kind not in SIGNALS:
            done = len(os.listdir(folder))
        elif tape.wet - heard > RATE // 20 and stage.pid:
            os.kill(stage.pid, SIGNALS[kind])
            done += 1
    time.sleep(1)   # the last fault is heard by now
    tape.update()
    heard, until = tape.wet, time.monotonic() + 30
    while tape.wet - heard < RATE // 10 and time.monotonic() < until:
        time.sleep(0.5)
        tape.update()
    opened.close()
    row = {"fault": kind, "times": done, "longest_other": tape.longest, "dry_runs": tape.dry_runs,
           "dry_s": tape.dry / RATE, "heard_again": tape.wet - heard >= RATE // 10, "xruns": runner.record["xruns"],
           "tape_lost": tape.lost, **stage.status()}
    stage.close()
    return row


def worker(args: argparse.Namespace) -> None:
    """Run where JACK and its player are there already; one result to a line."""
    for with_worker in (False, True):
        print("ROW", json.dumps(hop(args.seconds, args.unit, args.delay, with_worker)), flush=True)
    for kind in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            print("ROW", json.dumps(fault(kind, args.times, args.unit, args.delay, folder)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--unit", type=int, default=64)
    parser.add_argument("--delay", type=int, default=512)
    parser.add_argument("--json")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    from jack_server import JackServer

    server = JackServer(BLOCK, RATE, CHANNELS, realtime=True)
    try:
        if not server.ready():
            parser.error("jackd does not start with real-time threads")
        with server.player(CHANNELS):
            path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
            done = subprocess.run(
                [sys.executable, __file__, "--worker", *(f"--{key}={getattr(args, key)}"
                                                         for key in ("seconds", "times", "unit", "delay"))],
                env={**server.environment, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True,
            )
    finally:
        server.close()
    # JACK's library talks on stdout, too.
    rows = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("ROW ")]
    plain, hopped, *faults = rows
    print(f"{CHANNELS} mics x {BLOCK} frames, {hopped['audio_s']:.1f} s, unit {args.unit}\n"
          f"added delay: declared {hopped['declared_delay']}, measured {hopped['measured_delay']} samples\n"
          f"samples: {hopped['frames']} kept, {hopped['wet']} the worker's, {hopped['dry']} dry, {hopped['other']} "
          f"between; late units {hopped['late_updates']}, xruns {hopped['xruns']}\n"
          f"CPU / audio: with {hopped['cpu'][0]:.4f} + worker {hopped['cpu'][1]:.4f}, without {plain['cpu'][0]:.4f}\n"
          f"callback: with p50 {hopped['us_p50']:.1f} p99 {hopped['us_p99']:.1f} us, "
          f"without p50 {plain['us_p50']:.1f} p99 {plain['us_p99']:.1f} us")
    print(f"{'fault':<10} times  longest neither  dry runs   dry s  late  bad  restarts  heard again  xruns")
    for row in faults:
        print(f"{row['fault']:<10} {row['times']:>5} {row['longest_other']:>16} {row['dry_runs']:>9} "
              f"{row['dry_s']:>7.2f} {row['late_updates']:>5} {row['bad_results']:>4} {row['worker_restarts']:>9} "
              f"{row['heard_again']!s:>12} {row['xruns']:>6}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
