"""Each fault of a night on stage injected ten times into one show of ten minutes, and what is heard of each.

One `rtsep run` with a show, a chain as that of `foh` with plug-ins behind it (VST3 compiled for the tests, and
built-in ones), MIDI, OSC and a recording, on a JACK server with its dummy driver; a client in C plays five mics and
keeps every sample that it hears. Faults come in shuffled order, each when all is as it should be. Printed of each:
the longest silence, the longest block heard again, the longest time that a mic was beside its usual level by more
than 6 dB (its strip turns it down by 12 dB, so a dry mic is louder; or a fade) at the worst ear, and how long the ears
themselves were not called (`deaf`: the machine, or the server); seconds until the sound was as before, from the fault
or from when the device was right again; peak and samples that are no number, of all ears; and by which line or
figure the program told of it. `(nothing)` is the time between.

Then the recording is looked at. Then, in short runs of their own, what ends a run or its recording: the reader of
stdout gone and all processes killed at once, and a full disk (needs root). The show lasts longer than `--minutes` where
the faults take longer. It needs the machine for itself. Exit code 1 if anything is wrong.

    python bench/fault_show.py [WORD …] [--minutes 10] [--times 10] [--host-api jack] [--seed 1] [--period 256]
                               [--no-realtime] [--only-show] [-v] [-o FILE]

WORDs choose faults by parts of their names.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from rtsep.bench.faults import evening, machine, takes
from rtsep.bench.faults.player import compile_player
from rtsep.bench.faults.show import MICS, RECORDING, Show
from rtsep.bench.faults.trial import Setting
from rtsep.hosts.hostapis import JACK, NAMES

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
KINDS = ("crash", "hang", "nonumber")
LONGEST = 3.0   # times as long as it should be
ENDING = 10.0   # seconds in which all processes must end


def plugins() -> Mapping[str, pathlib.Path]:
    """Return the plug-ins that misbehave when they are armed.

    Raises
    ------
    SystemExit
        If none can be made here.
    """
    import made_plugins

    if made_plugins.missing():
        raise SystemExit(made_plugins.missing())
    return {kind: made_plugins.made(kind) for kind in KINDS}


def night(setting: Setting, args: argparse.Namespace) -> dict[str, Any]:
    """Have the show."""
    order, seconds = evening.plan(args.times, args.seed, args.words), 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="show-", ignore_cleanup_errors=True) as folder:
        show = Show(setting, pathlib.Path(folder), plugins(), LONGEST * seconds + 30 * len(order))
        try:
            since = show.begin()
            if args.verbose:
                print(evening.HEAD, flush=True)
            found = evening.perform(show, order, seconds, lambda one: tell(one) if args.verbose else None)
            machine.until(lambda: show.well(tuple(range(len(MICS)))), ENDING)
            lasted, said = time.monotonic() - since, show.program.said()
            code = show.program.end()
            ending = time.monotonic() - since - lasted
            take = takes.look(pathlib.Path(folder) / RECORDING)
            machine.until(lambda: not show.program.leftovers(), ENDING)
            wrong = takes.wrong(take, lasted, setting.rate, True, ending)
            wrong += [f"left behind: {left}" for left in show.program.leftovers()]
        finally:
            with contextlib.suppress(AttributeError):   # it may never have begun
                show.program.end(1.0)
                show.program.bury()
            show.close()
    wrong += [f"exit code {code}"] * (code != 0) + ["it ended before its time"] * (len(found) < 2 * len(order))
    return {"rows": evening.rows(found), "lasted_s": round(lasted, 1), "take": take, "wrong": wrong, "said": said}


def tell(one: evening.Found) -> None:
    """Print a line of one fault as it was judged."""
    print(evening.line(evening.rows([one])[0]), flush=True)


def short_ones(setting: Setting, times: int) -> dict[str, list[dict[str, Any]]]:
    """Have the runs that do not outlive their fault."""
    killed = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="show-", ignore_cleanup_errors=True) as folder:
            show = Show(setting, pathlib.Path(folder), plugins(), 120.0)
            try:
                killed.append(takes.end_all_at_once(show))
            finally:
                with contextlib.suppress(AttributeError):
                    show.program.end(1.0)
                    show.program.bury()
                show.close()
    return {"all processes killed": killed, "disk full": [takes.fill_disk(setting) for _ in range(times)]}


def keep(found: dict[str, Any], output: str | None) -> None:
    """Write what there is so far."""
    if output:
        pathlib.Path(output).write_text(json.dumps(found, indent=1, default=float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=10, help="of each fault")
    parser.add_argument("--host-api", choices=NAMES, default=JACK)
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--period", type=int, default=256, help="frames")
    parser.add_argument("--no-realtime", action="store_true", help="jackd -r instead of -R")
    parser.add_argument("--only-show", action="store_true", help="without the short runs afterwards")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of each fault as it is judged")
    parser.add_argument("-o", "--output", metavar="FILE", help="write all as JSON")
    args = parser.parse_args()
    for kind in (signal.SIGINT, signal.SIGTERM):   # a shell's background jobs ignore Ctrl-C; servers are to be ended
        signal.signal(kind, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="player-") as folder:
        setting = Setting(
            compile_player(pathlib.Path(folder)), mics=len(MICS), period=args.period, realtime=not args.no_realtime,
            host_api=args.host_api,
        )
        found = night(setting, args)
        print(evening.HEAD)
        for row in found["rows"]:
            print(evening.line(row))
        take = found["take"]
        print(f"the show has sounded for {found['lasted_s']} s; its recording: frames {take['frames']}, cues "
              f"{take['cues']} of {take['placed']} places; {'; '.join(found['wrong']) or 'whole'}", flush=True)
        keep(found, args.output)
        if not args.only_show:
            found["short"] = short_ones(setting, args.times)
            for name, runs in found["short"].items():
                wrong = sorted({text for run in runs for text in run["wrong"]})
                lost = max((run.get("lost_s") or 0.0 for run in runs), default=0.0)
                skipped = sorted({run["not_tried"] for run in runs if "not_tried" in run})
                print(f"{name}: {len(runs)} times, most lost {lost:.2f} s; {'; '.join(wrong + skipped) or 'all well'}")
            keep(found, args.output)
    bad = found["wrong"] or any(row["wrong"] for row in found["rows"])
    bad = bad or any(run["wrong"] for runs in found.get("short", {}).values() for run in runs)
    sys.exit(int(bool(bad)))


if __name__ == "__main__":
    main()
