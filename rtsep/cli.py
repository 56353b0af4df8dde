"""The command line: finds the verb, lets it run, and says in one line what went wrong.

Exit codes: 0 done, 2 bad usage or bad input (one line), 3 device, 4 worker. The verbs are in `rtsep.commands`; a verb
is imported when it is called, and heavy modules where it uses them, so that `rtsep --help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from rtsep import __version__, commands
from rtsep.errors import RtsepError, SoundWarning


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Parameters
    ----------
    arguments : sequence of str, optional
        The process's own by default.

    Returns
    -------
    int
        The exit code.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    parsed = _parser().parse_args(arguments)
    told: list[str] = []   # of sound that was worked on all the same
    try:
        with _warnings_to(told):
            code: int = parsed.run(parsed)
        for line in told:
            _say(f"rtsep: {line}")
        if sys.stdout is not None:   # it was closed before Python began
            sys.stdout.flush()
        return code
    except RtsepError as error:
        _say("; ".join([f"rtsep: {error}", *told]))
        return error.exit_code
    except KeyboardInterrupt:
        _say("rtsep: interrupted; nothing half-written was left")
        return 130
    except BrokenPipeError:   # `rtsep … | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@contextmanager
def _warnings_to(told: list[str]) -> Iterator[None]:
    """Collect what is wrong with sound, each line once; other warnings are for whoever works on this program."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, SoundWarning):
                usual(message, category, *where, **more)
            elif str(message) not in told:
                told.append(str(message))

        warnings.showwarning = show
        warnings.simplefilter("always", SoundWarning)
        yield


def _say(text: str) -> None:
    """Print an error, unless nobody reads it: the exit code is right all the same."""
    from rtsep.control.writer import say_last

    say_last(sys.stderr, text)


def _interrupt(_signal: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        _say(f"{self.prog}: {message}; see {self.prog} --help")
        raise SystemExit(2)


class _VerbParser(_Parser):
    """Takes in what its verb takes once the verb is called."""

    module = ""

    def parse_known_args(self, *args: Any, **named: Any) -> Any:
        """See `ArgumentParser.parse_known_args`."""
        if self.module:
            verb = importlib.import_module(self.module)
            verb.arguments(self)
            self.set_defaults(run=verb.run)
        return super().parse_known_args(*args, **named)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rtsep", description="Cleans every microphone of a concert of the sound that is not its own.")
    parser.add_argument("--version", action="version", version=f"rtsep {__version__}")
    _add(parser, commands.find(), "VERB")
    return parser


def _add(parser: argparse.ArgumentParser, verbs: Iterable[commands.Verb], what: str) -> None:
    into = parser.add_subparsers(required=True, metavar=what, parser_class=_VerbParser)
    for verb in verbs:
        text = verb.help.removesuffix(".")
        if not text[1].isupper():   # SDR stays SDR
            text = text[0].lower() + text[1:]
        made = into.add_parser(verb.name, help=text, description=verb.help)
        if verb.verbs:
            _add(made, verb.verbs, "TABLE")
        else:
            made.module = verb.module
