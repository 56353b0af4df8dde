"""Does anything click that changes? Steps in sustained voices, and energy above 8 kHz at new filters.

    python bench/clicks.py [--preset live] [--seconds 20] [--only NAME …]     each kind of change, in a simulated choir
    python bench/clicks.py --cases [CASE.npz …]                               hand-overs of refined filters

Steps are counted where filters change, at multiples of 512 samples, and half a block later, where there is none: that
is chance. Hand-overs are compared with the same run without them, in cases of `bed/` or in one of rtsep's own scenes,
as it is and with every mic's fader 4 dB down from 9 s on.
"""

from __future__ import annotations

import argparse

import numpy as np

from rtsep.bench import cases, changes, clicks

FADER_DB, FADER_SECONDS = -4.0, 9.0
PLANTED = 0.1   # -20 dBFS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="live")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each show")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--cases", nargs="*", metavar="CASE.npz", help="hand-overs in these")
    args = parser.parse_args()
    if args.cases is None:
        _shows(args.preset, args.seconds, args.only)
    else:
        _handovers(args.cases)


def _shows(preset: str, seconds: float, only: list[str]) -> None:
    heads = ("steps", "by chance", "elsewhere", "worst dBFS", "by chance", "high dB")
    print("change        " + "".join(head.rjust(12) for head in heads))
    for found in changes.measure(preset, 4, seconds, 1, only):
        counts = "".join(f"{count:12}" for count in (found.steps, found.chance, found.elsewhere))
        levels = "".join(f"{level:12.1f}" for level in (found.worst_db, found.chance_db, found.high_db))
        print(f"{found.name:14}{counts}{levels}", flush=True)


def _handovers(paths: list[str]) -> None:
    for case in [cases.read(path) for path in map(cases.Path, paths)] or list(cases.load(None)):
        faded = case.mics.copy()
        faded[0, round(FADER_SECONDS * case.rate) :] *= np.float32(10 ** (FADER_DB / 20))
        for label, mics in (("as it is", case.mics), ("a fader -4 dB at 9 s", faded)):
            worst, caught, count = -200.0, 200.0, 0
            for over in clicks.handovers(mics, case.rate):
                worst = max(worst, clicks.loudest(over.cleaned, over.without, over.switches, case.rate))
                planted = over.cleaned.copy()
                planted[:, over.switches[-1]] += np.float32(PLANTED)
                caught = min(caught, clicks.loudest(planted, over.without, over.switches, case.rate))
                count += 1
            print(
                f"{case.name:24} {label:22} {count:3} hand-overs: at most {worst:+.2f} dB; "
                f"with a planted click of {PLANTED:g} at least {caught:+.1f} dB", flush=True,
            )


if __name__ == "__main__":
    main()
