"""A writer of tapes without a sound card: what the compiled ring does, in NumPy, at any pace.

As a program it is an audio process that plays the wall clock: `tape_writer.py NAME CHANNELS RATE SECONDS ZERO`; each
sample of its first input is the time since ZERO, in thousandths of a second.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.hosts import tape


class Record:
    """The fields of a runner's record that a tape knows."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {"position": 0}

    def __getitem__(self, name: str) -> Any:
        """Return a field."""
        return self.fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a number."""
        self.fields[name] = value

    put = __setitem__


class Writer:
    """A life of an audio process."""

    def __init__(self, place: tape.TapePlace) -> None:
        self.rate, self.channels, self.record = place.rate, place.channels, Record()
        self.tape = tape.Tape(self, place)  # type: ignore[arg-type]
        self.figures = dict.fromkeys((*tape.KINDS, "seconds"), 0.0)
        self.tape.begin(latency=96)

    def write(self, rows: NDArray[np.float32]) -> bool:
        """Append all rows or none, as the ring does."""
        header, data = self.record["tape_header"], self.record["tape_data"]
        self.record["position"] += len(rows)
        self.figures["seconds"] = self.record["position"] / self.rate
        if header[tape.WRITTEN] + len(rows) - header[tape.READ] > len(data):
            header[tape.LOST] += len(rows)
            return False
        data[(header[tape.WRITTEN] + np.arange(len(rows))) % len(data)] = rows
        header[tape.WRITTEN] += len(rows)
        return True

    def change(self, place: int, value: float, sample: int | None = None) -> None:
        """Note that a target has changed, as the latch does; a chain's number stands for the bits."""
        header, rows = (self.tape._memory[name] for name in ("list_header", "list"))
        bits = int(value) if place == tape.CHAIN_TAKEN else int(np.float32(value).view(np.int32))
        at = self.record["position"] if sample is None else sample
        rows[header[tape.WRITTEN] % len(rows)] = self.tape._life, at, place, bits
        header[tape.WRITTEN] += 1

    def count(self, kind: str, many: int) -> None:
        """Count something, and look."""
        self.figures[kind] += many
        self.tape.look(self.figures)


def main(name: str, channels: int, rate: int, seconds: float, zero: float) -> None:
    """Play in real time."""
    writer = Writer(tape.TapePlace(name, channels, rate))
    block, done = rate // 100, 0
    due = time.monotonic() + block / rate
    print("on", flush=True)
    while done < seconds * rate:
        time.sleep(max(0.0, due - time.monotonic()))
        if time.monotonic() > due + block / rate:   # too late: a device would have lost what it had by now
            due = time.monotonic()
        ms = 1000 * (due - zero + np.arange(-block, 0) / rate)
        due += block / rate
        writer.write(np.repeat(ms[:, None], 2 * channels, 1).astype(np.float32))
        done += block
        if done % (5 * block) == 0:
            writer.tape.look(writer.figures)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]), *map(float, sys.argv[4:6]))
