"""Arguments that several verbs take, with one wording each."""

from __future__ import annotations

import argparse
import math

from rtsep.errors import InputError

PRESET = "live, monitor, foh, record, a system's name, or a path to a .toml"


def add_preset(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--preset`."""
    parser.add_argument("--preset", default=default, metavar="P", help=f"{PRESET} ({default})")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, as often as wanted."""
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a parameter's value")


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add `--calibration`."""
    parser.add_argument("--calibration", metavar="C", help="what `rtsep learn` or --save wrote")


def add_save(parser: argparse.ArgumentParser) -> None:
    """Add `--save`."""
    parser.add_argument("--save", metavar="C", help="write what was learnt; a later run takes it as its --calibration")


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--json`, which every verb that reads has."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def add_midi_api(parser: argparse.ArgumentParser) -> None:
    """Add `--api`, of MIDI."""
    parser.add_argument("--api", default="", choices=("alsa", "jack"), help="of MIDI; what the system has by default")


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add `--report`."""
    parser.add_argument("--report", metavar="R.json", help="write figures here")


def positive(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def numbers(option: str, words: tuple[str, ...] | None, what: str = "numbers") -> tuple[int, ...]:
    """Return whole numbers of an option that `names` has read; none where it was not given.

    Raises
    ------
    InputError
        If there is none, or something else.
    """
    if words is not None and not (words and all(word.isdecimal() for word in words)):
        raise InputError(option, ",".join(words), f"allowed are {what} with commas between them")
    return tuple(map(int, words or ()))


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name for name in text.split(",") if name)
