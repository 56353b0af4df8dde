"""Input: gain, polarity and alignment delay of each microphone."""

from __future__ import annotations

from typing import Any

from rtsep.catalogue import STAGES
from rtsep.stage import RAMP_SECONDS, Format, Stage
from rtsep_kernels import mix
from rtsep_kernels.plane.record import State


class Input(Stage):
    """Gain, polarity and alignment delay of each microphone.

    The alignment delay comes on top of the chain's latency, which stays 0 here: it is the user's own.

    Parameters
    ----------
    name : str
    max_delay_ms : float
        Longest alignment delay, milliseconds.
    """

    params = STAGES["input"].params

    def __init__(self, name: str = "input", *given: Any, **options: Any) -> None:
        super().__init__(name)
        values = STAGES["input"].complete(given, options)
        self._max_delay_ms: float = values["max_delay_ms"]

    def _build(self, fmt: Format) -> tuple[Any, State, int]:
        longest = round(self._max_delay_ms * fmt.rate / 1000)
        record = mix.INPUT.make(
            channels=fmt.channels, ramp_segments=fmt.segments(RAMP_SECONDS), frames_per_ms=fmt.rate / 1000,
            fade_frames=round(RAMP_SECONDS * fmt.rate), longest=longest,
            ring_frames=1 << max(7, (longest + 63).bit_length()),
        )
        return mix.input_trim, record, 0

    def _start(self) -> None:
        mix.settle_input(self.record.record)

    def shadow(self) -> Input:
        """Return a twin on the same board: nothing is learnt here."""
        twin = Input(self.name, self._max_delay_ms)
        twin.prepare(self.fmt, self.board)
        return twin
