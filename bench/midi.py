"""MIDI through real ports of a JACK server: what is lost, how late a message is, garbage, and surfaces that echo.

    python bench/midi.py [--period 64] [--fuzz 60] [--only board,sound,fuzz,loop] [--json FILE]

`board`: 10 000 controllers at 1 kHz, from being sent to the desk; every one is counted. `sound`: from a message that
a JACK client sends at a frame to the first sample of `rtsep run` that it changes, by the server's own clock. `fuzz`:
bytes without sense, and now and then a fader's message that must count. `loop`: two devices that send back what they
are told.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rtsep import presets
from rtsep.bench.jackd import JackServer
from rtsep.bench.midipad import Pad
from rtsep.control.desk import Desk
from rtsep.control.midi.carrier import Carrier
from rtsep.control.midi.mapping import loads
from rtsep.control.midi.parse import Parser
from rtsep.control.surface import Running
from rtsep.control.surfaces.midi import Midi
from rtsep.meters import Meters

PRESET = 'schema = 1\nname = "t"\nlatency_class = "live"\n[host]\nblock = {}\n[[chain]]\nstage = "input"\n'
HEAD = 'schema = 1\napi = "jack"\n[[port]]\ninput = "{}"\n'
MESSAGES, RATE, CHANGES = 10_000, 1000, 200
PATIENCE = 60.0   # seconds


class Playing:
    """What a desk needs of an engine; nothing sounds."""

    def __init__(self) -> None:
        self.preset = presets.loads(PRESET.format(64), "t")
        self.board = presets.make_board(self.preset, ("a", "b"))

    def reload(self, preset: presets.Preset) -> str:
        """Do nothing: nobody asks for it."""
        raise NotImplementedError(preset.name)


class Rig:
    """A desk, and the surface on it."""

    def __init__(self, text: str) -> None:
        self.desk, self.said = Desk(Playing()), list[str]()
        self.taken: list[tuple[float, float]] = []
        self._set = self.desk.set
        self.desk.set = self._noted
        mapping = loads(text, "m")
        self.surface = Midi(mapping, Carrier(mapping.ports, mapping.api))
        self.running = Running(self.desk, {}, Meters(2), self.said.append)

    def _noted(self, path: str, value: float) -> None:
        self._set(path, value)
        self.taken.append((time.monotonic(), value))

    def until(self, true: Callable[[], Any], again: Callable[[], Any] = lambda: None) -> None:
        """Wait until something is so, and do something for it now and then."""
        end = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(str(self.said))
            again()
            self.surface.update(self.running)
            time.sleep(0.05)


def control(number: int, path: str, more: str = "") -> str:
    return f'[[control]]\nmessage = "cc"\nchannel = 1\nnumber = {number}\nto = "{path}"\ncurve = "linear"\n{more}\n'


def of_ms(seconds: list[float]) -> dict[str, float]:
    p50, p99, most = np.percentile(1000 * np.array(seconds), [50, 99, 100])
    return {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "max_ms": round(most, 2)}


def board(server: JackServer) -> dict[str, Any]:
    pad = Pad(server, "pad")
    rig = Rig(HEAD.format("pad") + control(1, "input.gain_db.a", "min = 0\nmax = 12.7\nfeedback = false"))
    rig.until(lambda: any("pad:out is there" in line for line in rig.said))
    rig.until(lambda: rig.taken, lambda: pad.send([b"\xb0\x01\x01"]))
    time.sleep(0.5)
    before = len(rig.taken)
    values = [(7 * n) % 128 for n in range(MESSAGES)]
    sent = pad.send([bytes((0xB0, 1, value)) for value in values], 1 / RATE)
    rig.until(lambda: len(rig.taken) - before >= MESSAGES)
    time.sleep(0.5)
    taken = rig.taken[before:]
    came = [round(10 * value) for _, value in taken]
    late = [at - when for (at, _), when in zip(taken, sent, strict=False)] if came == values else [float("nan")]
    rig.surface.close()
    pad.close()
    return {"sent": MESSAGES, "came": len(came), "in_order": came == values, "seconds": round(sent[-1] - sent[0], 2),
            "exact_at_the_end": abs(rig.desk.get("input.gain_db.a") - values[-1] / 10) < 1e-6, **of_ms(late)}


def client(server: str, folder: str, changes: int) -> None:
    """Be the JACK client: a steady signal, a message now and then, and the first sample that is different."""
    import jack

    me = jack.Client("loop", servername=server, no_start_server=True)
    send, back = me.outports.register("send1"), me.inports.register("return1")
    midi = me.midi_outports.register("midi")
    state = {"frame": 0, "next": 0, "sent": -1, "level": 0.0, "loud": True, "go": False}
    late: list[int] = []
    lost: list[int] = []

    @me.set_process_callback
    def _process(frames: int) -> None:
        send.get_array()[:] = 0.25
        midi.clear_buffer()
        heard, start = back.get_array(), state["frame"]
        if state["sent"] >= 0:
            changed = np.flatnonzero(np.abs(heard - state["level"]) > 0.01 * state["level"])
            if changed.size:
                late.append(start + int(changed[0]) - int(state["sent"]))
                state.update(sent=-1, next=start + int(me.samplerate * random.uniform(0.15, 0.25)))
            elif start - state["sent"] > me.samplerate:
                lost.append(start)
                state.update(sent=-1, next=start)
        elif state["go"] and start >= state["next"]:
            state.update(sent=start, loud=not state["loud"], level=float(heard[-1]))
            midi.write_midi_event(0, (0xB0, 1, 127 if state["loud"] else 0))
        state["frame"] = start + frames

    with me:
        print("ready", flush=True)
        sys.stdin.readline()
        state.update(go=True, next=state["frame"])
        end = time.monotonic() + 2 * changes
        while len(late) < changes and time.monotonic() < end:
            time.sleep(0.05)
        (pathlib.Path(folder) / "late.json").write_text(json.dumps([[n / me.samplerate for n in late], len(lost)]))


def sound(server: JackServer, period: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "p.toml").write_text(PRESET.format(period))
        (folder / "m.toml").write_text(
            HEAD.format("loop:midi") + control(1, "input.gain_db", "min = -20\nmax = 0\nfeedback = false"))
        loop = subprocess.Popen([sys.executable, __file__, "--client", server.name, temporary], env=server.environment,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert loop.stdout is not None
        loop.stdout.readline()
        command = [sys.executable, "-m", "rtsep", "run", "--preset", str(folder / "p.toml"), "-i", "loop", "-o", "loop",
                   "-b", str(period), "--no-view", "--json", "--midi", str(folder / "m.toml")]
        run = subprocess.Popen(command, env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        try:
            assert run.stderr is not None
            for line in run.stderr:
                if "loop:midi is there" in line:
                    break
            time.sleep(2.0)   # the soft start is over
            loop.communicate("go\n", timeout=PATIENCE + 2 * CHANGES)
            late, lost = json.loads((folder / "late.json").read_text())
        finally:
            run.send_signal(2)
            run.communicate(timeout=PATIENCE)
            loop.kill()
    return {"changes": len(late), "lost": lost, "period_ms": round(1000 * period / server.rate, 2), **of_ms(late)}


def fuzz(server: JackServer, seconds: float) -> dict[str, Any]:
    pad, rng = Pad(server, "pad"), random.Random(1)
    rig = Rig(HEAD.format("pad") + control(7, "input.gain_db.a", "min = 0\nmax = 12.7\nfeedback = false")
              + control(9, "input.gain_db.b"))
    rig.until(lambda: any("pad:out is there" in line for line in rig.said))
    end, chunks, wrong, checks = time.monotonic() + seconds, 0, 0, 0
    kinds = [lambda: rng.randrange(256), lambda: rng.randrange(128), lambda: 0xB0, lambda: rng.randrange(0xF0, 0x100)]
    while time.monotonic() < end:
        some = [bytes(rng.choice(kinds)() for _ in range(rng.randrange(1, 4))) for _ in range(500)]
        some += [b"\xf0" + bytes(rng.randrange(128) for _ in range(rng.randrange(2000)))]
        some = [c for c in some if not any(m[0] & 0xF0 == 0xB0 and m[1] in (7, 9, 120, 123) for m in Parser().feed(c))]
        pad.send(some, 0.001)
        chunks += len(some)
        value = rng.randrange(128)
        pad.send([b"\xf7"])
        rig.until(lambda v=value: abs(rig.desk.get("input.gain_db.a") - v / 10) < 1e-6,
                  lambda v=value: pad.send([bytes((0xB0, 7, v))]))
        checks += 1
        wrong += rig.desk.get("input.gain_db.b") != 0 or rig.desk.get("output.dry_all") != 0
    rig.surface.close()
    pad.close()
    return {"seconds": seconds, "chunks": chunks, "valid_that_counted": checks, "changed_by_garbage": wrong,
            "said": rig.said}


def loop(server: JackServer) -> dict[str, Any]:
    one, two = Pad(server, "one"), Pad(server, "two")
    fine = '[[control]]\nmessage = "cc14"\nchannel = 1\nnumber = 2\nto = "input.gain_db.a"\nport = "two"\n'
    rig = Rig(HEAD.format("one") + '[[port]]\ninput = "two"\n' + control(1, "input.gain_db.a", 'port = "one"') + fine)
    rig.until(lambda: sum("is there" in line and "nothing" not in line for line in rig.said) >= 2)
    one.echo(True)
    two.echo(True)
    one.send([bytes((0xB0, 1, n % 128)) for n in range(1000)], 0.003)
    time.sleep(2.0)
    counted = [len(pad.heard()) for pad in (one, two)]
    time.sleep(3.0)
    left = [len(pad.heard()) for pad in (one, two)]
    rig.surface.close()
    one.close()
    two.close()
    return {"moves": 1000, "told_while_moving": counted, "told_afterwards": left}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--period", type=int, default=64)
    parser.add_argument("--fuzz", type=float, default=60.0)
    parser.add_argument("--only", default="board,sound,fuzz,loop")
    parser.add_argument("--json")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for name in args.only.split(","):
        server = JackServer(args.period, 48000, 2, sync=name in ("board", "sound"))   # it loses none itself
        os.environ["JACK_DEFAULT_SERVER"] = server.name
        try:
            if not server.ready():
                raise SystemExit("jackd cannot start")
            calls = {"board": lambda s: board(s), "sound": lambda s: sound(s, args.period),
                     "fuzz": lambda s: fuzz(s, args.fuzz), "loop": lambda s: loop(s)}
            found[name] = calls[name](server)
            print(name, json.dumps(found[name]), flush=True)
        finally:
            server.close()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    if "--client" in sys.argv:
        client(sys.argv[2], sys.argv[3], CHANGES)
    else:
        main()
