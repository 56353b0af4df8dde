"""Datagrams that no server of OSC should do anything on."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

from rtsep.control.osc.packet import encode


def garbage(addresses: Sequence[str], seed: int = 1) -> Iterator[bytes]:
    """Make datagrams for ever that mean nothing: none is right, however near to it.

    Parameters
    ----------
    addresses : sequence of str
        Of numbers.
    seed : int
    """
    chance = random.Random(seed)
    numbers = (float("nan"), float("inf"), -float("inf"), 1e30, -1e9)
    while True:
        address = chance.choice(addresses)
        good = encode(address, chance.choice(("x" * chance.randrange(1, 40), bytes(chance.randrange(4, 99)))))
        kind = chance.randrange(8)
        if kind == 0:
            yield chance.randbytes(chance.randrange(200))
        elif kind == 1:
            yield good[: chance.randrange(len(good))].ljust(chance.randrange(1, 60), b"\xff")
        elif kind == 2:
            yield encode(address, chance.choice(numbers))
        elif kind == 3:
            bent = bytearray(good)
            bent[chance.randrange(len(bent))] = chance.randrange(128, 256)
            yield bytes(bent)
        elif kind == 4:
            deep = encode(address, 1.0)
            for _ in range(chance.randrange(9, 200)):
                deep = b"#bundle\0" + bytes(8) + struct.pack(">i", len(deep)) + deep
            yield deep
        elif kind == 5:
            sized = chance.choice((-4, -1, 0, 3, 2**31 - 1, 1000))
            yield b"#bundle\0" + bytes(8) + struct.pack(">i", sized) + encode(address, 1.0)
        elif kind == 6:
            yield encode("/" + "".join(chance.choice("*?[]{}!-,a/") for _ in range(chance.randrange(1, 300))), 1e9)
        else:
            yield encode(address, bytes(chance.randrange(9000, 60000)))
