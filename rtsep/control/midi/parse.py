"""Bytes of a MIDI cable to events: whatever comes, garbage included, only whole messages count."""

from __future__ import annotations

from dataclasses import dataclass

SYSEX, REAL_TIME = 0xF0, 0xF8
NOTE_OFF, NOTE_ON, CC, PROGRAM, PITCH = 0x80, 0x90, 0xB0, 0xC0, 0xE0   # without the channel
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}

BANK, BANK_LSB, DATA, DATA_LSB, INCREMENT, DECREMENT = 0, 32, 6, 38, 96, 97
NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB = 98, 99, 100, 101
NULL = 0x3FFF   # the number that deselects

TOP7, TOP14 = 127, 16383


class Parser:
    """Cuts a stream of bytes into the messages of channels; all others are passed over, however long they are.

    Real-time bytes may stand anywhere. Any other status byte ends what is not complete, a sysex as well. Data without
    a status, and what follows a sysex or a system message until the next status, belongs to nobody.
    """

    def __init__(self) -> None:
        self._status = 0           # running; 0: data bytes belong to nobody
        self._data: list[int] = []

    def feed(self, data: bytes) -> list[tuple[int, ...]]:
        """Return the messages that are complete now: status and one or two data bytes."""
        found = []
        for byte in data:
            if byte >= REAL_TIME:
                continue
            if byte & 0x80:
                self._status, self._data = (byte if byte < SYSEX else 0), []
            elif self._status:
                self._data.append(byte)
                if len(self._data) == _DATA_BYTES[self._status & 0xF0]:
                    found.append((self._status, *self._data))
                    self._data = []
        return found


@dataclass(frozen=True)
class Event:
    """What a control has done.

    Parameters
    ----------
    kind : str
        `cc`, `cc14`, `nrpn`, `rpn`, `note`, `pitch` or `program`.
    channel : int
        From 1.
    number : int
        Of the controller, the parameter or the key; 0 for `pitch` and `program`.
    value : int
        0 to 127; 0 to 16383 of `cc14`, `nrpn`, `rpn` and `pitch`; of a key its velocity, 0 when it is let go; of
        `program` the bank times 128 and the program, from 0.
    step : int
        1 or -1: a parameter is to be turned by that; `value` means nothing then.
    coarse : bool
        Only the upper 7 bits have come, the lower ones may follow.
    """

    kind: str
    channel: int
    number: int
    value: int
    step: int = 0
    coarse: bool = False


class Decoder:
    """Turns the messages of one cable into events; what several messages say together is one of them.

    A controller below 32 is told twice, as 7 bits and, with what came last of its lower half, as 14. Data entry is told
    as the controller that it is, and as that of the parameter that was selected last.
    """

    def __init__(self) -> None:
        self._bank: dict[int, list[int]] = {}
        self._halves: dict[tuple[str, int, int], _Halves] = {}
        self._selected: dict[int, tuple[str, list[int]]] = {}

    def decode(self, message: tuple[int, ...]) -> list[Event]:
        """Return what a message of `Parser` says."""
        kind, channel, first = message[0] & 0xF0, (message[0] & 0x0F) + 1, message[1]
        if kind == CC:
            return self._controller(channel, first, message[2])
        if kind in (NOTE_ON, NOTE_OFF):
            return [Event("note", channel, first, message[2] if kind == NOTE_ON else 0)]
        if kind == PITCH:
            return [Event("pitch", channel, 0, message[2] << 7 | first)]
        if kind == PROGRAM:
            return [Event("program", channel, 0, self._bank_of(channel) * 128 + first)]
        return []

    def _controller(self, channel: int, number: int, value: int) -> list[Event]:
        found = [Event("cc", channel, number, value)]
        if number in (BANK, BANK_LSB):
            self._bank.setdefault(channel, [0, 0])[number == BANK_LSB] = value
        if number < 64:
            found += self._half("cc14", channel, number & 31, number < 32, value)
        if number in (NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB):
            self._select(channel, "nrpn" if number < RPN_LSB else "rpn", number in (NRPN_MSB, RPN_MSB), value)
        elif number in (DATA, DATA_LSB, INCREMENT, DECREMENT):
            kind, halves = self._selected.get(channel, ("", [0, 0]))
            parameter = halves[0] << 7 | halves[1]
            if kind and parameter != NULL and number in (DATA, DATA_LSB):
                found += self._half(kind, channel, parameter, number == DATA, value)
            elif kind and parameter != NULL:
                found.append(Event(kind, channel, parameter, 0, step=1 if number == INCREMENT else -1))
        return found

    def _half(self, kind: str, channel: int, number: int, upper: bool, value: int) -> list[Event]:
        halves = self._halves.setdefault((kind, channel, number), _Halves())
        known = halves.take(upper, value)
        return [] if known is None else [Event(kind, channel, number, known, coarse=upper)]

    def _select(self, channel: int, kind: str, upper: bool, value: int) -> None:
        was, halves = self._selected.get(channel, ("", [0, 0]))
        new = list(halves) if was == kind else [0, 0]
        new[0 if upper else 1] = value
        self._selected[channel] = (kind, new)

    def _bank_of(self, channel: int) -> int:
        """Return a bank's number: devices count in the one half or in the other, few in both."""
        upper, lower = self._bank.get(channel, (0, 0))
        return upper << 7 | lower if upper and lower else upper or lower


class _Halves:
    """A value of 14 bits that comes as two messages, the upper half first.

    A new upper half makes the lower one 0, as the standard has it. Of a control that has ever sent a lower half, none
    is told until that has come: else a fader would jump back and forth at every 128th step.
    """

    def __init__(self) -> None:
        self._upper = 0
        self._fine = False

    def take(self, upper: bool, value: int) -> int | None:
        """Return the value where it is known now."""
        if upper:
            self._upper = value
            return None if self._fine else value << 7
        self._fine = True
        return self._upper << 7 | value


def controller(channel: int, number: int, value: int) -> bytes:
    """Return a controller's message; see `message_of` for all kinds."""
    return bytes((CC | channel - 1, number, value))


def message_of(kind: str, channel: int, number: int, value: int, bits: int = 14) -> list[bytes]:
    """Return the messages that say what an event says, without what depends on messages before.

    Parameters
    ----------
    kind, channel, number, value
        As `Event` has them; not `program`.
    bits : int
        7: of `nrpn` and `rpn` the upper half alone, and `value` is that.
    """
    if kind == "cc":
        return [controller(channel, number, value)]
    if kind == "note":
        return [bytes((NOTE_ON | channel - 1, number, value))]
    if kind == "pitch":
        return [bytes((PITCH | channel - 1, value & 127, value >> 7))]
    if kind == "cc14":
        return [controller(channel, number, value >> 7), controller(channel, number + 32, value & 127)]
    first = NRPN_LSB if kind == "nrpn" else RPN_LSB
    head = [controller(channel, first + 1, number >> 7), controller(channel, first, number & 127)]
    if bits == 7:
        return [*head, controller(channel, DATA, value)]
    return [*head, controller(channel, DATA, value >> 7), controller(channel, DATA_LSB, value & 127)]
