"""What a microphone that breaks costs itself and the others, on simulated stages that were not tuned on.

dB and seconds after the fault has ended, mean / worst over the seeds, against the same run without the fault. `later`:
from two seconds after it on, in the mean.

    python bench/mic_faults.py [WORD …] [--preset live] [--seeds 1 2 3 4 5] [--blind]
"""

from __future__ import annotations

import argparse
import collections

import numpy as np

from rtsep.bench.micfaults import Loss, losses, scene_of

COLUMNS = {
    "hit": "hit mic dB", "hit_seconds": "for s", "hit_later": "later dB",
    "others": "others dB", "others_seconds": "for s", "others_later": "later dB", "below_dry": "below dry",
}
WIDTH = 14


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
    print(f"{'fault':26}" + "".join(title.rjust(WIDTH) for title in COLUMNS.values()))
    for fault, each in found.items():
        row = f"{fault:26}"
        for name in COLUMNS:
            values = np.array([getattr(loss, name) for loss in each])
            row += f"{values.mean():.1f} / {values.max():.1f}".rjust(WIDTH)
        print(row)


if __name__ == "__main__":
    main()
