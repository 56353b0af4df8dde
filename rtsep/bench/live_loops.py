"""Loops that are played: `rtsep run` or any other program in a JACK server, and a sound card."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep import presets
from rtsep.bench import latency
from rtsep.bench.jackd import JackServer
from rtsep.bench.latency import SETTLE, Ask, Row
from rtsep.bench.loop import carriers, jack, probes
from rtsep.bench.loop.card import Card, CardOptions
from rtsep.bench.loop.carriers import Carrier
from rtsep.bench.loop.clocks import Clocks, clocks
from rtsep.bench.loop.jack import LoopClient
from rtsep.bench.loop.response import GOOD, Echo
from rtsep.errors import DeviceError, InputError
from rtsep.names import numbered
from rtsep.session import Session

JACK, CARD = "jack", "card"
_READY = 60.0        # seconds that a run may take to sound
_SOFT = 1.5          # seconds: the soft start is over
_FULL = "servers that were killed fill JACK's registry: with none alive, `rm -r /dev/shm/jack*` empties it"
_TRIES = 3           # a machine that stalls loses periods on all of them


@dataclass(frozen=True)
class Found:
    """What was measured.

    Parameters
    ----------
    rows : list of Row
    clocks : Clocks or None
    lost : int
        Xruns while it was measured.
    """

    rows: list[Row]
    clocks: Clocks | None = None
    lost: int = 0


@contextlib.contextmanager
def server(period: int, rate: int) -> Iterator[None]:
    """Run a JACK server of our own, with its dummy driver, for as long as the block lasts.

    Raises
    ------
    DeviceError
        It does not start.
    """
    if shutil.which("jackd") is None or shutil.which("jack_lsp") is None:
        raise DeviceError("jackd is not installed: --periods needs it, apt-get install jackd2")
    before = os.environ.get("JACK_DEFAULT_SERVER")
    own = JackServer(period, rate, 2, realtime=True, leashed=True)
    if not own.ready():
        own.close()
        own = JackServer(period, rate, 2, leashed=True)
    try:
        if not own.ready():
            raise DeviceError(f"jackd does not start with periods of {period}; {_FULL}")
        os.environ["JACK_DEFAULT_SERVER"] = own.name
        yield
    finally:
        own.close()
        os.environ.pop("JACK_DEFAULT_SERVER", None)
        if before is not None:
            os.environ["JACK_DEFAULT_SERVER"] = before


def through_jack(ask: Ask) -> Found:
    """Measure presets through the JACK server that there is, each in a `rtsep run` of its own."""
    rows, lost = [], 0
    with jack.opened(ask.mics) as client:
        base, device = _direct(client, ask)
        rows += base
        for name in ask.presets:
            preset = presets.load(name)
            with Session.open(preset, client.rate, numbered(ask.mics)) as session:
                late = latency.declared(session)
            with _running(name):
                found, dropped = _tried(client, ask, SETTLE, True)
                said = client.declared()
            lost += dropped
            for mic, echo, own in zip(numbered(ask.mics), found, late, strict=True):
                rows.append(latency.row(JACK, preset.name, client.period, mic, echo, own, device))
            if said != max(late):
                raise DeviceError(f"{preset.name}: tells JACK {said} samples, and declares {max(late):g}")
    return Found(rows, None, lost)


def external(ask: Ask, name: str, declared: float | None, seconds: float) -> Found:
    """Measure another program that is patched into the JACK loop.

    Parameters
    ----------
    ask : Ask
    name : str
        Of its client; empty: the user lays the cables.
    declared : float or None
        Samples that it says it adds; None: what JACK says of it.
    seconds : float
        How long clocks are watched; 0: not.
    """
    with jack.opened(ask.mics) as client:
        base, device = _direct(client, ask)
        cables = client.around(name) if name else []
        with client.laid(cables):
            if not name:
                client.wait_for_cables()
            found, lost = _tried(client, ask, 1, False)
            said = (float(client.declared()) or math.nan) if declared is None else declared   # 0: it says nothing
            told = _watch(client.carry, ask, client.rate, seconds)
        rows = [latency.row(JACK, name or "external", client.period, mic, echo, said, device)
                for mic, echo in zip(numbered(ask.mics), found, strict=True)]
    return Found([*base, *rows], told, lost)


def through_card(ask: Ask, options: CardOptions, seconds: float) -> Found:
    """Measure a sound card whose outputs are patched to its inputs."""
    card = Card(options, ask.mics)
    echoes = carriers.measure(card.carry, ask.probe, len(card.names), card.rate, ask.repeats)
    rows = latency.device_rows(CARD, options.block, card.names, echoes, card.declared)
    return Found(rows, _watch(card.carry, ask, card.rate, seconds), card.lost)


def _direct(client: LoopClient, ask: Ask) -> tuple[list[Row], float]:
    """Measure the loop without anything in it."""
    with client.laid(client.direct()):
        found, _ = _tried(client, ask, 1, False)
    rows = latency.device_rows(JACK, client.period, numbered(ask.mics), found, math.nan)
    if any(one.verdict != GOOD for one in rows):
        raise DeviceError(f"JACK's own loop: {next(one.verdict for one in rows if one.verdict != GOOD)}")
    return rows, max(echo.delay for echo in found)


def _tried(client: LoopClient, ask: Ask, settle: int, bleed: bool) -> tuple[list[Echo], int]:
    """Measure; anew where an xrun has torn it and the repeats do not agree."""
    for _ in range(_TRIES):
        found = carriers.measure(client.carry, ask.probe, ask.mics, client.rate, ask.repeats, settle, bleed)
        if not client.lost or all(echo.verdict == GOOD and echo.confidence < latency.TOLERANCE for echo in found):
            break
    return found, client.lost


def _watch(carry: Carrier, ask: Ask, rate: int, seconds: float) -> Clocks | None:
    if not seconds:
        return None
    own = probes.probes(probes.MLS, 1, rate)
    many = max(3, math.ceil(seconds * rate / own.shape[1]))
    heard = carry(np.pad(own, ((0, ask.mics - len(own)), (0, 0))), many + 1)
    (echo,) = carriers.echoes(own, heard[:1], 1)
    if echo.verdict != GOOD:
        raise DeviceError(f"the clocks cannot be watched: {echo.verdict}")
    return clocks(echo.delays, own.shape[1])


@contextlib.contextmanager
def _running(preset: str) -> Iterator[None]:
    """Start `rtsep run` between our ports, and wait until it sounds.

    Raises
    ------
    DeviceError
        It does not.
    """
    words = ["run", "--preset", preset, "--host-api", JACK, "-i", jack.CLIENT, "-o", jack.CLIENT, "--no-view", "--json"]
    run = subprocess.Popen([sys.executable, "-m", "rtsep", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    sounding = threading.Event()

    def read() -> None:
        assert run.stderr is not None
        for line in run.stderr:
            lines.append(line.strip())
            if "latency" in line:
                sounding.set()
        sounding.set()   # it has ended

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    try:
        if not sounding.wait(_READY) or run.poll() is not None:
            raise DeviceError(f"rtsep run --preset {preset}: {lines[-1] if lines else 'does not start'}")
        time.sleep(_SOFT)
        yield
    finally:
        run.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(20)
        run.kill()
        run.wait()
        reading.join(5)
        for pipe in (run.stdout, run.stderr):
            if pipe is not None:
                pipe.close()


def check_through(through: str, ask: Ask, given: dict[str, Any]) -> None:
    """Refuse options that do not go with what sound is sent through.

    Raises
    ------
    InputError
    """
    for option, (value, allowed) in given.items():
        if value not in (None, (), 0, "") and through not in allowed:
            raise InputError(option, f"not with --through {through}", f"it goes with {', '.join(allowed)}")
    for period in given["--periods"][0]:
        if period < 16 or period & (period - 1):
            raise InputError("--periods", str(period), "allowed are powers of 2 from 16 on")
    latency.check(ask)


def told(found: Sequence[Found]) -> str:
    """Return what is said of lost sound and of clocks, in one line."""
    lost = sum(one.lost for one in found)
    text = f"{lost} xruns while measuring"
    for one in found:
        if one.clocks is not None:
            c = one.clocks
            slips = ", ".join(f"{slip:+.0f}" for slip in c.slips) or "none"
            text += (f"; clocks: {c.drift_ppm:+.3f} ± {c.confidence_ppm:.3f} ppm, jitter {c.jitter:.4f} samples "
                     f"(at most {c.most:.4f}), slips: {slips}")
    return text
