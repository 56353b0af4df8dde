"""Reloads under a running show, of values, chain and a broken file: do they click, and do they add latency.

Six mics run in real time, without a sound card, through a preset like `foh`, learning in its helper thread; another
thread saves the preset's file and reloads it. Around each reload, until its ramps and cross-fade have ended, the energy
above 8 kHz within 5 ms of every 5 ms is compared with the most that runs without any reload have there: through the one
chain, the other one, and the canceller alone, as a spectrum that has just begun takes nothing away yet. A click is
planted into each reload to see whether it would be found. The last mic is dry: its samples tell the latency.

    python bench/reload.py [--reloads 100] [--every 0.4] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import presets
from rtsep.bench import clicks
from rtsep.control.desk import Desk
from rtsep.errors import InputError
from rtsep.runner import process
from rtsep.scenes import make_scene
from rtsep.session import Session
from rtsep.stage import Block

MICS, RATE, BLOCK = 6, 48000, 64
LATENCY = 576
PLANTED = 0.1             # -20 dBFS, as `bench/clicks.py`
LIMIT_DB = 3.0            # a click: twice the energy that is there without reloads
BEFORE, AFTER = 0.01, 0.05    # seconds around a reload; ramps take 0.02
WARM_SECONDS = 6.0        # until something has been learnt
KINDS = ("values", "chain", "broken")
HOPS = ((512, 128), (576, 64))   # synthesis and hop of the two chains, equally late


def text(chain: int, values: int) -> str:
    """Return a preset: one of two chains, with one of two sets of values."""
    synthesis, hop = HOPS[chain]
    strength, depth, gain = ((1.1, -18, 0), (0.8, -12, -3))[values]
    return (
        'schema = 1\nname = "show"\nlatency_class = "foh"\n[host]\nblock = 64\n[[chain]]\nstage = "input"\n'
        '[[chain]]\nstage = "canceller"\ntaps = 16384\n'
        f'[[chain]]\nstage = "spectral"\nanalysis = 1024\nsynthesis = {synthesis}\nhop = {hop}\n'
        f'[params]\n"spectral.strength" = {strength}\n"spectral.range_db" = {depth}\n"spectral.release_ms" = 20\n'
        f'"output.gain_db.1" = {gain}\n"output.dry.{MICS}" = 1\n'
    )


def show(x: Block, names: tuple[str, ...], count: int, every: float) -> tuple[Block, list[dict[str, Any]], Any]:
    """Play in real time and reload; returns what is heard, each reload, and the counters."""
    session = Session.open(presets.loads(text(0, 0), "show"), RATE, names)
    engine, desk = session.engine, Desk(session.engine)
    runner = session.start()
    engine.go_live()
    heard, done = np.zeros_like(x), np.zeros(1, np.int64)
    playing = threading.Thread(target=runner.run_paced, args=(x, heard, BLOCK, done))
    playing.start()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "show.toml"
        rows = [reload(desk, engine, done, path, n, WARM_SECONDS + n * every) for n in range(count)]
    playing.join()
    counters = {**engine.status(), "late_blocks": int(runner.record["late"])}
    session.close()
    return heard, rows, counters


def reload(
    desk: Desk, engine: Any, done: NDArray[np.int64], path: pathlib.Path, n: int, at: float
) -> dict[str, Any]:
    """Save and reload once, when the show has come to a time; what it took, and from where to where it is heard."""
    kind, turn = KINDS[n % 3], n // 3
    good = text((turn + (n % 3 > 0)) % 2, (turn + 1) % 2)
    path.write_text(good if kind != "broken" else good.replace("hop", "hop = fast #"))
    while done[0] < at * RATE or engine.swapping:
        time.sleep(0.002)
    begun = time.monotonic()
    try:
        took = desk.reload(str(path))
    except InputError as error:
        took = f"refused: {error.problem}"
    seconds = time.monotonic() - begun
    first = int(done[0]) - round(BEFORE * RATE)
    until = time.monotonic() + 2
    while engine.swapping and time.monotonic() < until:
        engine.retire(0.01)
    last = int(done[0]) + round(AFTER * RATE)
    return {"kind": kind, "took": took, "seconds": seconds, "first": first, "last": last, "latency": engine.latency}


def references(x: Block, names: tuple[str, ...]) -> list[Block]:
    """Return runs without a reload, each with the values that let most through."""
    runs = []
    for chain in (0, 1):
        for values in (0, 1):
            loud = text(chain, values).replace('gain_db.1" = -3', 'gain_db.1" = 0')
            runs.append(process(Session.open(presets.loads(loud, "show"), RATE, names).engine, x, 512))
    plain = process(Session.open("live", RATE, names).engine, x, 512)
    runs.append(np.concatenate([np.zeros((MICS, LATENCY), np.float32), plain[:, :-LATENCY]], axis=1))
    return runs


def judge(heard: Block, runs: list[Block], rows: list[dict[str, Any]]) -> None:
    """Add to each reload how far it exceeds the runs without, as it is and with a planted click, dB."""
    step = round(clicks.AROUND_SECONDS * RATE)
    floor = clicks.silence(RATE)
    for row in rows:
        first, last = row["first"] - 10 * step, min(row["last"] + 10 * step, heard.shape[1])
        places = range(row["first"] - first, row["last"] - first, step)
        expected = np.max([clicks.high_energy(run[:, first:last], places, RATE) for run in runs], axis=0) + floor
        planted = heard[:, first:last].copy()
        planted[:, (row["first"] + row["last"]) // 2 - first] += np.float32(PLANTED)
        for name, sound in (("excess_db", heard[:, first:last]), ("planted_db", planted)):
            ratio = (clicks.high_energy(sound, places, RATE) + floor) / expected
            row[name] = float(10 * np.log10(ratio[:-1].max()))   # without the dry mic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--every", type=float, default=0.4, help="seconds between two")
    parser.add_argument("--json")
    args = parser.parse_args()
    scene = make_scene("room", 1, MICS, WARM_SECONDS + args.reloads * args.every + 2, RATE)
    x = np.ascontiguousarray(scene.mics)
    heard, rows, counters = show(x, scene.names, args.reloads, args.every)
    judge(heard, references(x, scene.names), rows)
    late = np.concatenate([np.zeros(LATENCY, np.float32), x[-1, :-LATENCY]])
    off = int((heard[-1] != late).sum())
    print("kind     reloads  took                 longest s  worst excess dB  above 3 dB  planted click at least dB")
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        if mine:
            worst = [row["excess_db"] for row in mine]
            print(
                f"{kind:<8} {len(mine):>7}  {', '.join(sorted({r['took'].partition(':')[0] for r in mine})):<20} "
                f"{max(r['seconds'] for r in mine):>9.2f} {max(worst):>16.2f} {sum(w > LIMIT_DB for w in worst):>11} "
                f"{min(r['planted_db'] for r in mine):>26.1f}", flush=True,
            )
    print(
        f"latency {sorted({row['latency'] for row in rows})} samples; of the dry mic {off} of {late.size} samples are "
        f"not those of {LATENCY} samples before; {counters}"
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"reloads": rows, "dry_different": off, "counters": counters}, file, indent=2)


if __name__ == "__main__":
    main()
