"""A show turned live, with plug-ins and snapshots, and rendered again from its recording: which samples differ.

    python bench/replay.py [--seconds 36] [--turns 400] [--period 256] [--delay 1984]

A JACK server with its dummy driver; four mics of noise that bleed into each other; the canceller, then an EQ, a
compressor and a reverb for each mic. Parameters are turned and two snapshots recalled, with fades, at random moments
over OSC. Printed: what was late (from there on the plug-ins' strips were dry, which no render can know), and how many
samples of `rtsep render TAKE --replay` are not those that were heard. Needs jackd, JACK-Client and python-osc.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import soundfile
from pythonosc.udp_client import SimpleUDPClient

from rtsep.bench.jackd import JackServer

RATE, PORT = 48000, 9123
MICS = ("vox", "guitar", "bass", "drums")
START = 10.0   # seconds after which turning begins
PRESET = """\
schema = 1
name = "replay"
latency_class = "record"
[host]
block = 64
[[chain]]
stage = "input"
[[chain]]
stage = "canceller"
[[chain]]
stage = "strips"
delay = {delay}
each = [{{plugin = "PeakFilter", name = "eq"}}, {{plugin = "Compressor", name = "comp"}}, {{plugin = "Reverb"}}]
"""
CHORUS = """\
schema = 1
number = 2
name = "chorus"
fade_s = 1.5
scope = ["*"]
[values]
"strips.comp.threshold_db.vox" = -40
"strips.comp.ratio.vox" = 4
"output.gain_db.drums" = -12
"""


def turn(turns: int, seconds: float) -> None:
    """Turn at random for about so many seconds."""
    client, chance = SimpleUDPClient("127.0.0.1", PORT), random.Random(1)
    choices = (
        lambda mic: (f"/p/strips/comp/threshold_db/{mic}", chance.uniform(-50, 0)),
        lambda mic: (f"/p/strips/eq/gain_db/{mic}", chance.uniform(-12, 12)),
        lambda mic: (f"/p/output/gain_db/{mic}", chance.uniform(-20, 0)),
        lambda mic: (f"/p/strips/reverb/state/{mic}", float(chance.choice((1, 2)))),
        lambda mic: (f"/p/canceller/amount/{mic}", chance.uniform(0, 1)),
        lambda _mic: ("/scene/go", chance.choice((1, 2))),
    )
    for _ in range(turns):
        client.send_message(*chance.choice(choices)(chance.choice(MICS)))
        time.sleep(chance.uniform(0.2, 1.8) * seconds / turns)


def main() -> None:
    """Play, turn, render, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=36.0)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--period", type=int, default=256)
    parser.add_argument("--delay", type=int, default=1984)
    args = parser.parse_args()
    server = JackServer(args.period, RATE, 6, realtime=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def rtsep(*words: str) -> str:
            return subprocess.run(
                [sys.executable, "-m", "rtsep", *words], cwd=folder, env=server.environment, stdout=subprocess.PIPE,
                text=True, check=True,
            ).stdout

        try:
            if not server.ready():
                raise SystemExit("replay: jackd does not start")
            (folder / "mine.toml").write_text(PRESET.format(delay=args.delay))
            rtsep("show", "new", "show", "--preset", "mine.toml", "--mics", ",".join(MICS))
            rtsep("show", "store", "show", "verse")
            (folder / "show" / "snapshots" / "02-chorus.toml").write_text(CHORUS)
            turning = threading.Timer(START, turn, (args.turns, args.seconds - START))
            with server.player(len(MICS)) as player:
                turning.start()
                summary = json.loads(rtsep(
                    "run", "--show", "show", "--host-api", "jack", "-i", player, "-o", "system", "--osc", str(PORT),
                    "--ear", "5,6", "--record", "take", "--seconds", str(args.seconds), "--no-view", "--json",
                ))
            turning.join()
            print({key: summary[key] for key in ("late_strips", "late_updates", "late_blocks", "xruns", "restarts")})
            print(rtsep("render", "take", "-o", "again.wav", "--replay").strip())
            heard, again = (soundfile.read(folder / file, dtype="float32")[0] for file in ("take/out.wav", "again.wav"))
        finally:
            server.close()
        lines = (folder / "take" / "recording.jsonl").read_text().count('"kind": "values"')
        differ = int((heard != again).sum()) if heard.shape == again.shape else heard.size
        print(f"{lines} changes of targets; {differ} of {heard.size} samples differ; peak {np.abs(heard).max():.2f}")


if __name__ == "__main__":
    main()
