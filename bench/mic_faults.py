"""What a microphone that breaks costs itself and the others, on simulated stages that were not tuned on.

Most dB lost in a second after the fault has ended; seconds until nobody loses 1 dB any more; most dB lost from two
seconds on; dB below dry from the fault on. Mean / worst over the seeds, against the same run without the fault.

    python bench/mic_faults.py [WORD …] [--preset live] [--seeds 1 2 3 4 5] [--blind]
"""

from __future__ import annotations

import argparse
import collections

import numpy as np

from rtsep.bench.micfaults import Loss, losses, scene_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--preset", default="live")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--blind", action="store_true", help="without the soundcheck")
    args = parser.parse_args()
    found: dict[str, list[Loss]] = collections.defaultdict(list)
    for seed in args.seeds:
        for loss in losses(scene_of(seed), args.preset, args.blind, args.words):
            found[loss.fault].append(loss)
    columns = {
        "hit mic": "hit", "for s": "hit_seconds", "2 s on": "hit_later", "others": "others", "for  s": "others_seconds",
        "2 s  on": "others_later", "below dry": "below_dry",
    }
    print(f"{'fault':26}" + "".join(f"{column:>14}" for column in columns))
    for fault, each in found.items():
        row = f"{fault:26}"
        for name in columns.values():
            values = np.array([getattr(loss, name) for loss in each])
            row += f"{values.mean():.1f} / {values.max():.1f}".rjust(14)
        print(row)


if __name__ == "__main__":
    main()
