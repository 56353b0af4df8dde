"""Turning: a mapping held against a desk; events turn it, and what others turn goes back to the controls.

Of every control it is known where it stands: what it has sent last, or was sent. So nothing is an echo: a control is
told of a change only if it does not stand there already, and what comes back of what it was told is passed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtsep import presets
from rtsep.control.desk import Desk
from rtsep.control.follow import Follower
from rtsep.control.midi.actions import act, recall
from rtsep.control.midi.curves import Curve, usual
from rtsep.control.midi.mapping import PANICS, Control, Mapping, Programs
from rtsep.control.midi.parse import TOP14, Event, message_of
from rtsep.errors import InputError
from rtsep.params import Board, Param, located
from rtsep.presets import Preset

HOLD = 0.5        # seconds after its last move in which a fader is told nothing: a hand is on it, or a motor still runs
_KEY_HOLD = 0.15  # seconds in which a key that sends its light back has not been pressed: no finger is so quick
_NEAR = 2.5 / 127   # of the travel: so close a knob has picked its value up; people turn past several steps at once
_MOST_SENT = 64     # values that may come back as echoes; at 30 a second more than are sent in `HOLD`


class Turning:
    """Turns a desk.

    Parameters
    ----------
    mapping : Mapping
    desk : Desk
    say : callable
        Given what the user should know, a line each.
    """

    def __init__(self, mapping: Mapping, desk: Desk, say: Callable[[str], None]) -> None:
        self._mapping, self._desk, self._say = mapping, desk, say
        self._follower = Follower(desk)
        self._told: set[str] = set()
        self._stands: dict[tuple[Control, str], _Stand] = {}
        self._due: dict[_Stand, None] = {}   # controls that may have to be told something, the oldest first
        # When a hand last moved what has such messages, on whatever port: should a cable lead from one to another one,
        # values that are under way would go round and round.
        self._moved: dict[tuple[str, int, int], float] = {}
        self._bind()

    def _bind(self) -> None:
        """Find what the preset has of what the mapping names; the rest is said, and does nothing."""
        self._preset = self._desk.preset
        self._bound: dict[tuple[str, int, int], list[_Bound]] = {}
        self._listeners: dict[str, list[_Bound]] = {}
        for control in self._mapping.controls:
            try:
                bound = _Bound(control, self._desk)
            except InputError as error:
                self._tell_once(f"{self._mapping.place}:{control.line}: {error}")
                continue
            self._bound.setdefault(control.address, []).append(bound)
            for path in control.to:
                for single in self._desk.spread(path):
                    self._listeners.setdefault(single, []).append(bound)

    def take(self, port: str, event: Event, now: float) -> None:
        """Do what an event asks for.

        Parameters
        ----------
        port : str
            The `input` of the port that it came from, or its name where the mapping names no ports.
        event : Event
        now : float
            Seconds.
        """
        if self._desk.preset is not self._preset:
            self._bind()
        if event.kind == "cc" and event.number in PANICS:
            self._panic(port)
            return
        programs = self._mapping.programs
        try:
            if event.kind == "program":
                if programs is not None and _counts(programs, port, event.channel):
                    recall(self._desk, event.value + programs.offset)
                return
            for bound in self._bound.get((event.kind, event.channel, event.number), ()):
                if bound.control.port in ("", port):
                    self._turn(bound, port, event, now)
        except InputError as error:
            self._tell_once(str(error))

    def answer(self, ports: list[str], now: float, most: int) -> list[tuple[str, bytes]]:
        """Return what is to be sent, and to which of the ports that can be answered.

        Parameters
        ----------
        ports : list of str
            As `take` is told them.
        now : float
        most : int
            Controls that are told something now; the others wait, and hear the latest then.
        """
        if self._desk.preset is not self._preset:
            self._bind()
        for path, _ in self._follower.changed():
            for bound in self._listeners.get(path, ()):
                self._look_at(bound, ports)
        sent: list[tuple[str, bytes]] = []
        for stand in list(self._due):
            if most == 0:
                break
            control = stand.bound.control
            if now - self._moved.get(control.address, -HOLD) < HOLD and not control.key:
                continue
            del self._due[stand]
            raw = stand.bound.raw(self._desk.get(stand.bound.control.to[0]))
            if raw != stand.raw and stand.port in ports:
                stand.send(raw, now)
                sent += [(stand.port, data) for data in
                         message_of(control.kind, control.channel, control.number, raw, control.bits)]
                most -= 1
        return sent

    def opened(self, port: str) -> None:
        """Have every control of a port told where it is to stand: it has just come, and stands anywhere."""
        for bounds in self._bound.values():
            for bound in bounds:
                self._stands.pop((bound.control, port), None)
                self._look_at(bound, [port])

    def _look_at(self, bound: _Bound, ports: list[str]) -> None:
        if bound.control.answered:
            for port in ports:
                if bound.control.port in ("", port):
                    self._due[self._stand(bound, port)] = None

    def _stand(self, bound: _Bound, port: str) -> _Stand:
        key = (bound.control, port)
        if key not in self._stands:
            self._stands[key] = _Stand(port)
        stand = self._stands[key]
        stand.bound = bound   # another preset may have another range
        return stand

    def _turn(self, bound: _Bound, port: str, event: Event, now: float) -> None:
        control, stand = bound.control, self._stand(bound, port)
        if event.step:
            self._set(bound, bound.stepped(self._first(bound), event.step))
            stand.raw, self._moved[control.address] = None, now
            return
        raw = event.value >> 7 if control.bits == 7 and control.kind in ("nrpn", "rpn") else event.value
        if stand.echoes(raw, now, 7 if event.coarse and control.top == TOP14 else 0):
            return
        self._moved[control.address] = now
        if not control.to:
            if _pressed(event, raw, control.top) and (said := act(self._desk, control)):
                self._say(f"MIDI: {said}")
        elif control.mode == "absolute":
            known, stand.raw = stand.raw, raw
            if raw != known or bound.raw(self._first(bound)) != raw:   # else it stands there already
                self._set(bound, bound.value(raw))
        elif control.mode == "pickup":
            stand.raw = raw
            if stand.picks(raw, bound.place(self._first(bound))):
                self._set(bound, bound.value(raw))
                stand.left = bound.place(self._first(bound))
        elif control.mode == "relative":
            if control.kind == "cc":
                self._set(bound, bound.stepped(self._first(bound), ticks(raw, control.coding)))
        else:
            stand.raw = None   # its light may have changed by itself
            self._due[stand] = None
            self._press(bound, event, raw)

    def _press(self, bound: _Bound, event: Event, raw: int) -> None:
        down = _pressed(event, raw, bound.control.top)
        if bound.control.mode == "toggle":
            if down:
                self._set(bound, bound.ends[not bound.on(self._first(bound))])
        elif bound.control.mode == "momentary":
            self._set(bound, bound.ends[down])
        elif raw > 0:   # a key of a desk: Note On 64 to 127 mutes, 1 to 63 does not, 0 is said behind either
            self._set(bound, bound.ends[raw >= 64])

    def _set(self, bound: _Bound, value: float) -> None:
        with self._desk.together(key=" ".join(bound.control.to)):
            for path in bound.control.to:
                self._desk.set(path, value)

    def _first(self, bound: _Bound) -> float:
        return self._desk.get(bound.control.to[0])

    def _panic(self, port: str) -> None:
        """Make all dry; never back: a device sends it on all its channels, one after the other."""
        if self._desk.get("output.dry_all") < 0.5:
            self._desk.set("output.dry_all", 1.0)
            self._say(f"panic from {port}: all microphones are dry")

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)


class _Bound:
    """A control and what it turns, as the preset has that now."""

    def __init__(self, control: Control, desk: Desk) -> None:
        self.control = control
        for path in control.to:
            desk.get(path)   # the microphone as well
        params = [desk.param(path) for path in control.to]
        lows = [p.low if control.low is None else p.check(path, control.low) for path, p in _pairs(control, params)]
        highs = [p.high if control.high is None else p.check(path, control.high) for path, p in _pairs(control, params)]
        low, high = max(lows, default=0.0), min(highs, default=1.0)
        if params and not low < high:
            raise InputError(control.to[0], f"nothing is left between {low:g} and {high:g}", "allowed is min below max")
        self.switch = bool(params) and params[0].unit == "on"
        kind = control.curve or usual(params[0].unit if params else "", low, high)
        if kind == "log" and low <= 0:
            raise InputError(control.to[0], f"log cannot begin at {low:g}", "allowed is min above 0, or another curve")
        self.curve = Curve(kind, low, high)
        self.ends = (high, low) if control.reverse else (low, high)   # of a key: let go, and pressed

    def place(self, value: float) -> float:
        """Return the position, 0 to 1, that a control has for a value."""
        position = self.curve.position(value)
        return 1 - position if self.control.reverse else position

    def at(self, place: float) -> float:
        """Return the value that a position means; a switch has two."""
        position = 1 - place if self.control.reverse else place
        return self.curve.value(round(position) if self.switch else position)

    def value(self, raw: int) -> float:
        """Return the value that a control sends as `raw`."""
        return self.at(raw / self.control.top)

    def raw(self, value: float) -> int:
        """Return what stands for a value in a control's messages; of a key, the light."""
        if self.control.key:
            return self.control.top if self.on(value) else 0
        return round(self.place(value) * self.control.top)

    def on(self, value: float) -> bool:
        """Return whether a value is what a key means when it is pressed, more than the other."""
        return abs(value - self.ends[1]) < abs(value - self.ends[0])

    def stepped(self, value: float, ticks: int) -> float:
        """Return a value turned on by so many clicks."""
        if self.switch:
            return self.ends[ticks > 0] if ticks else value
        return self.at(min(max(self.place(value) + ticks * self.control.step, 0.0), 1.0))


class _Stand:
    """Where one control of one port stands."""

    bound: _Bound

    def __init__(self, port: str) -> None:
        self.port = port
        self.raw: int | None = None     # None: not known
        self.place: float | None = None    # of a pickup: where it was
        self.left: float | None = None     # and where it has left the value; None: it has not picked it up
        self._sent: deque[tuple[float, int]] = deque(maxlen=_MOST_SENT)

    def send(self, raw: int, now: float) -> None:
        """Note what it is told."""
        self.raw = raw
        self._sent.append((now, raw))

    def echoes(self, raw: int, now: float, unsaid: int) -> bool:
        """Return whether it only says what it has been told, except for so many bits that are still to come."""
        lasts = _KEY_HOLD if self.bound.control.key else HOLD
        return any(sent >> unsaid == raw >> unsaid and now - when < lasts for when, sent in self._sent)

    def picks(self, raw: int, value: float) -> bool:
        """Return whether a knob has the value in hand: it turned it last, or has just come by where that stands.

        Parameters
        ----------
        raw : int
            Where it is now.
        value : float
            The position of what it turns, 0 to 1.
        """
        place, was = raw / self.bound.control.top, self.place
        self.place = place
        has = self.left is not None and abs(self.left - value) < 1e-4   # nobody else has turned it
        passes = was is not None and (was - value) * (place - value) <= 0
        if not (has or passes or abs(place - value) <= _NEAR):
            self.left = None
            return False
        return True


def ticks(raw: int, coding: str) -> int:
    """Return by how many clicks an endless knob was turned.

    Parameters
    ----------
    raw : int
        0 to 127.
    coding : str
        `twos`: 1, 2 … forth, 127, 126 … back; `offset`: 65, 66 … and 63, 62 …; `sign`: 1, 2 … and 65, 66 ….
    """
    if coding == "offset":
        return raw - 64
    if coding == "sign":
        return -(raw & 63) if raw & 64 else raw
    return raw - 128 if raw & 64 else raw


def check(mapping: Mapping, preset: str, mics: Sequence[str]) -> None:
    """Check whether a preset has all that a mapping turns.

    Parameters
    ----------
    mapping : Mapping
    preset : str
        Its name or file.
    mics : sequence of str
        Names of the microphones; none: all that the mapping names are there.

    Raises
    ------
    InputError
        The first complaint, with the line.
    """
    loaded = presets.load(preset)
    known = {f"{stage}.{param.name}" for stage, params in presets.layout(loaded) for param in params}
    named = {located(path, known)[1] or "" for control in mapping.controls for path in control.to}
    desk = Desk(_Silent(loaded, presets.make_board(loaded, mics or sorted(named - {""}) or ("mic",))))
    for control in mapping.controls:
        try:
            _Bound(control, desk)
        except InputError as error:
            place = f"{mapping.place}:{control.line}"
            raise InputError(place, f"{error.place}: {error.problem}", error.allowed) from None


@dataclass(frozen=True)
class _Silent:
    """What a desk needs of who plays; nothing sounds."""

    preset: Preset
    board: Board

    def reload(self, preset: Preset) -> str:
        raise NotImplementedError(preset.name)


def _pairs(control: Control, params: list[Param]) -> Iterator[tuple[str, Param]]:
    return zip(control.to, params, strict=True)


def _counts(programs: Programs, port: str, channel: int) -> bool:
    return programs.port in ("", port) and programs.channel in (None, channel)


def _pressed(event: Event, raw: int, top: int) -> bool:
    """Return whether a key is down: of one that has a velocity, whatever that is."""
    return raw > 0 if event.kind == "note" else raw > top // 2
