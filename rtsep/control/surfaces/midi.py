"""The MIDI surface: devices turn the desk by a mapping, and hear what others turn; see `rtsep.control.midi`."""

from __future__ import annotations

import argparse
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep.control.desk import Desk
    from rtsep.control.midi.carrier import Carrier, News
    from rtsep.control.midi.mapping import Mapping
    from rtsep.control.surface import Running

_ANSWER_EVERY = 0.033   # seconds: as often as motors are told anything
# Controls that are told something at once: 480 a second. A DIN cable carries 1042 messages a second, and a control may
# take four.
_MOST_ANSWERS = 16


class Midi:
    """Devices that a mapping names.

    Parameters
    ----------
    mapping : Mapping
    carrier : Carrier
    """

    def __init__(self, mapping: Mapping, carrier: Carrier) -> None:
        self._mapping, self._carrier = mapping, carrier
        self._said: deque[str] = deque()
        self._thread: threading.Thread | None = None
        self._closing = self._looked = False
        self._problem = ""

    def say(self, text: str) -> None:
        """Say nothing: no device of MIDI's can show text."""

    def wait(self, what: str, seconds: float) -> None:
        """Say nothing."""

    def update(self, running: Running) -> bool:
        """Begin with the first desk there is, and pass on what the user should know."""
        if self._thread is None:
            self._running = running
            self._thread = threading.Thread(target=self._work, name="midi", daemon=True)
            self._thread.start()
        while self._said:
            running.say(self._said.popleft())
        return False

    def close(self) -> None:
        """Let go of the devices."""
        self._closing = True
        if self._thread is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        try:
            self._turn(self._running.desk)
        except Exception as error:   # an error in a surface never ends the sound
            self._said.append(f"MIDI has failed, and is off: {error!r}")
        finally:
            self._carrier.close()

    def _turn(self, desk: Desk) -> None:
        from rtsep.control.midi.parse import Decoder, Parser
        from rtsep.control.midi.turning import Turning

        turning = Turning(self._mapping, desk, self._said.append)
        cables: dict[str, Decoder] = {}
        answered = 0.0
        while not self._closing:
            for news in self._carrier.read(_ANSWER_EVERY):
                if news.kind == "message":
                    for message in Parser().feed(news.data):   # what is not whole in itself never becomes so
                        for event in cables[news.key].decode(message):
                            turning.take(news.key, event, time.monotonic())
                elif news.kind == "opened":
                    cables[news.key] = Decoder()
                    turning.opened(news.key)
                self._tell(news)
            now = time.monotonic()
            if now - answered >= _ANSWER_EVERY:
                answered = now
                for key, data in turning.answer(self._carrier.answering, now, _MOST_ANSWERS):
                    self._carrier.send(key, data)

    def _tell(self, news: News) -> None:
        """Say what comes and goes, each once."""
        text = ""
        if news.kind == "opened":
            text = f"MIDI: {news.content['name']} is there" + ("" if news.content["output"] else ", and hears nothing")
        elif news.kind == "closed":
            text = f"MIDI: {news.content['name']} is gone; it is looked for"
        elif news.kind == "problem":
            text = f"no MIDI: {news.content['problem']}; it is tried again"
        elif news.kind == "names":
            inputs = news.content["inputs"]
            missing = [port.input for port in self._mapping.ports if not any(port.input in name for name in inputs)]
            if missing and not self._looked:
                text = f"MIDI: {', '.join(missing)} is not there yet; there is {', '.join(inputs) or 'nothing'}"
            self._looked = True
        if text and (news.kind != "problem" or text != self._problem):
            self._said.append(text)
        if news.kind in ("problem", "opened"):
            self._problem = text


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep run` takes for it."""
    parser.add_argument("--midi", metavar="MAP.toml", help="turn by MIDI what it says; `rtsep midi learn` writes one")


def open_surface(args: argparse.Namespace) -> Midi | None:
    """Return it where a mapping is named.

    Raises
    ------
    InputError
        If there is a mistake in that.
    """
    if args.midi is None:
        return None
    from rtsep.control.midi.carrier import Carrier
    from rtsep.control.midi.mapping import load

    mapping = load(args.midi)
    return Midi(mapping, Carrier(mapping.ports, mapping.api))
