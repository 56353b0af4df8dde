"""Clicks: energy above 8 kHz within 5 ms of each switch to refined filters, against the same run without it.

    python bench/clicks.py CASE.npz …     cases of `bed/`; one of rtsep's own scenes without

Each case is cleaned from a cold start, as it is and with every mic's fader 4 dB down from 9 s on.
"""

from __future__ import annotations

import sys

import numpy as np

from rtsep.bench import cases, clicks

FADER_DB, FADER_SECONDS = -4.0, 9.0
PLANTED = 0.1   # -20 dBFS


def main() -> None:
    found = [cases.read(path) for path in map(cases.Path, sys.argv[1:])] or list(cases.load(None))
    for case in found:
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
