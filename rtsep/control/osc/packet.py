"""Datagrams of OSC 1.0, read with suspicion.

Writing is python-osc's. Reading is not: an element of a bundle that claims a size of -4 keeps it in a loop for ever, a
bundle in bundles ends in Python's own recursion limit, types that it does not know are passed over and said on stderr.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

Value = float | int | str | bytes | bool

LONGEST = 8192      # bytes; a page of a fader bank in one bundle has half of that
_DEEPEST = 8        # bundles in bundles; consoles and remotes send one
_BUNDLE = b"#bundle\0"
_NUMBERS = {kind: struct.Struct(code) for kind, code in {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}.items()}


class Malformed(ValueError):
    """A datagram that is not OSC; nothing of it may be done."""


class Message(NamedTuple):
    """An address, or a pattern of some, and what comes with it."""

    address: str
    values: tuple[Value, ...]


def decode(data: bytes) -> list[Message]:
    """Return the messages of a datagram in their order; time tags are not waited for.

    Raises
    ------
    Malformed
        If any part of it is.
    """
    if len(data) > LONGEST:
        raise Malformed("too long")
    return list(_messages(data, 0))


def encode(address: str, *values: Value) -> bytes:
    """Return a datagram with one message; `float` becomes f, `int` i, `str` s in ASCII, `bytes` b."""
    from pythonosc.osc_message_builder import OscMessageBuilder

    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value.encode("ascii", "replace").decode() if isinstance(value, str) else value)
    return bytes(builder.build().dgram)


def _messages(data: bytes, depth: int) -> Iterator[Message]:
    if len(data) % 4:
        raise Malformed("not made of words of 4 bytes")
    if not data.startswith(_BUNDLE):
        yield _message(data)
        return
    if depth == _DEEPEST or len(data) < 16:
        raise Malformed("too many bundles in bundles, or one without its time")
    at = 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")   # unsigned: what is negative is too long as well
        at += 4
        if size > len(data) - at:
            raise Malformed("an element that is longer than what is there")
        yield from _messages(data[at : at + size], depth + 1)
        at += size


def _message(data: bytes) -> Message:
    address, at = _string(data, 0)
    if not address.startswith("/"):
        raise Malformed("no address")
    if at == len(data):   # old senders leave the types away where there is no value
        return Message(address, ())
    types, at = _string(data, at)
    if not types.startswith(","):
        raise Malformed("no types")
    values: list[Value] = []
    for kind in types[1:]:
        if kind in _NUMBERS:
            number = _NUMBERS[kind]
            if at + number.size > len(data):
                raise Malformed("fewer values than types")
            values.append(number.unpack_from(data, at)[0])
            at += number.size
        elif kind == "s":
            text, at = _string(data, at)
            values.append(text)
        elif kind == "b":
            size = int.from_bytes(data[at : at + 4], "big")
            if at + 4 + size > len(data):
                raise Malformed("a blob that is longer than what is there")
            values.append(data[at + 4 : at + 4 + size])
            at += 4 + (size + 3) // 4 * 4
        elif kind in "TF":
            values.append(kind == "T")
        else:
            raise Malformed(f"type {kind!r}")
    if at != len(data):
        raise Malformed("more than the types say")
    return Message(address, tuple(values))


def _string(data: bytes, at: int) -> tuple[str, int]:
    """Return the text that begins at a place, and where the next thing begins."""
    end = data.find(0, at)
    if end < 0:
        raise Malformed("a string without an end")
    try:
        return data[at:end].decode("ascii"), (end // 4 + 1) * 4
    except UnicodeDecodeError:
        raise Malformed("a string that is not ASCII") from None
