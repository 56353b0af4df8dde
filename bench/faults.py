"""Faults of a night on stage, injected into `rtsep run` on a JACK server: what is heard of each.

A client in C plays the microphones and keeps every sample that it hears back, so that silence and repeated blocks are
found exactly. Seconds are median / maximum over `-n` runs: the longest silence, the longest repeat of a block, until
sound was back from the fault on (`back`), and from when the device was right again (`returned`). Cables are those of
the run to its device, and one more for each mic, as a patchbay plugs them; xruns are those that the device saw. The
verdict says how often which limit was passed. `--checkout` tries the program of another folder.

    python bench/faults.py [WORD …] [-n 5] [--no-realtime] [--short] [-o FILE] [--checkout DIR] [--list]
                           [--host-api jack]

WORDs choose faults by parts of their names. What a broken microphone costs the others is measured offline, by
`rtsep.bench.micfaults`; here it is only listened to for peaks and silence.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import signal
import tempfile
from dataclasses import asdict

from rtsep.bench.faults import verdicts
from rtsep.bench.faults.player import compile_player
from rtsep.bench.faults.trial import Fault, Outcome, Setting
from rtsep.hosts.hostapis import NAMES, PORTAUDIO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("-n", type=int, default=5, help="runs of each")
    parser.add_argument("--no-realtime", action="store_true", help="jackd -r instead of -R")
    parser.add_argument("--short", action="store_true", help="those of the test suite")
    parser.add_argument("--checkout", type=pathlib.Path, metavar="DIR", help="whose program; this one's by default")
    parser.add_argument("--host-api", choices=NAMES, default=PORTAUDIO, help="as `rtsep run` takes it")
    parser.add_argument("--mics", type=int, default=4)
    parser.add_argument("--period", type=int, default=128, help="frames")
    parser.add_argument("-o", "--output", metavar="FILE", help="add a line of JSON for each fault")
    parser.add_argument("--list", action="store_true", help="name the faults")
    args = parser.parse_args()
    faults = [fault for fault in verdicts.find(args.words) if not args.short or fault.name in verdicts.SHORT]
    if args.list:
        print("\n".join(fault.name for fault in faults))
        return
    for kind in (signal.SIGINT, signal.SIGTERM):   # a shell's background jobs ignore Ctrl-C; servers are to be ended
        signal.signal(kind, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="player-") as folder:
        setting = Setting(
            compile_player(pathlib.Path(folder)), args.checkout, args.mics, args.period,
            realtime=not args.no_realtime, host_api=args.host_api,
        )

        def tell(fault: Fault, outcomes: list[Outcome], failures: list[str]) -> None:
            row = verdicts.summed(fault, outcomes, failures)
            print(verdicts.line(row), flush=True)
            for text in row.get("said", ()):
                print(f"    says: {text}", flush=True)
            for note in row.get("notes", ()):
                print(f"    {note}", flush=True)
            if args.output:
                row |= {
                    "checkout": str(args.checkout or "."), "realtime": setting.realtime, "mics": setting.mics,
                    "host_api": setting.host_api,
                    "period": setting.period, "trials": [asdict(outcome) for outcome in outcomes],
                }
                with open(args.output, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

        print(verdicts.HEAD, flush=True)
        verdicts.repeat(setting, faults, args.n, tell)


if __name__ == "__main__":
    main()
