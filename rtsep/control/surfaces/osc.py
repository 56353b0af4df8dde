"""OSC: remotes, consoles and programs turn and see everything over UDP; see `rtsep.control.osc`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rtsep.errors import InputError

if TYPE_CHECKING:
    from rtsep.control.osc.server import Server
    from rtsep.control.surface import Running

_PORT = 9010     # near what OSC programs use, and no console's own
_SHORTEST = 4   # characters of a PIN


class Osc:
    """Lets a server see what runs; that does all the rest by itself.

    Parameters
    ----------
    server : Server
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waits = self._told = False

    def say(self, text: str) -> None:
        """Do nothing: messages are for people."""

    def wait(self, what: str, seconds: float) -> None:
        """Note that something is waited for."""
        del what, seconds
        self._waits = True

    def update(self, running: Running) -> bool:
        """Show it to the server; nobody quits by OSC."""
        if not self._told:
            self._told = True
            running.say(f"OSC: UDP port {self._server.port} of {self._server.host}")
        while self._server.said:
            running.say(self._server.said.popleft())
        self._server.see(running, self._waits)
        self._waits = False
        return False

    def close(self) -> None:
        """End the service."""
        self._server.close()


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rtsep run` takes for it."""
    parser.add_argument(
        "--osc", nargs="?", type=int, const=_PORT, metavar="PORT", help=f"serve OSC at a UDP port ({_PORT})"
    )
    parser.add_argument(
        "--osc-bind", default="127.0.0.1", metavar="ADDRESS", help="where (127.0.0.1: only for this machine)"
    )
    parser.add_argument("--osc-pin", metavar="PIN", help="what others must send first: /pin PIN")


def open_surface(args: argparse.Namespace) -> Osc | None:
    """Return the service, if it is asked for."""
    if args.osc is None:
        return None
    if not 1 <= args.osc <= 65535:
        raise InputError("--osc", str(args.osc), "a port from 1 to 65535")
    if args.osc_pin is not None and len(args.osc_pin) < _SHORTEST:
        raise InputError("--osc-pin", "it is too short", f"{_SHORTEST} characters at least")
    from rtsep.control.osc.server import Server

    return Osc(Server(args.osc_bind, args.osc, args.osc_pin))
