"""A JACK server as the sound card, without PortAudio: ports that are named after the mics, called by the server.

Every mic has an input port. Mics that share a channel of the device share an output port, which is limited as one; one
that is not played has a port, too, that is connected to nothing.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from rtsep.errors import DeviceError, InputError
from rtsep.hosts.jackclient import CLIENT, Devices, JackClient, NameTaken, load, port_names
from rtsep.hosts.soundcard import NAME_PATIENCE, NAME_PAUSE, STOP_PATIENCE, Card
from rtsep.presets import most_block

if TYPE_CHECKING:
    from collections.abc import Collection

    from rtsep.hosts.cables import Cable
    from rtsep.hosts.request import Request
    from rtsep.presets import Preset
    from rtsep.runner import Runner


class JackCard(Card):
    """See `Card`; the period is the server's, and may change at any time.

    Parameters
    ----------
    request : Request
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._client: JackClient | None = None
        self._latency = self._told = 0
        self._away: frozenset[str] = frozenset()   # whose absence has been said

    def load(self) -> None:
        """See `Card.load`."""
        with contextlib.suppress(DeviceError):   # said when the server is looked for
            load()

    def find(self) -> None:
        """See `Card.find`."""
        self._look(JackClient())

    def find_again(self, names: tuple[str, ...], rate: int, client: str) -> None:
        """See `Card.find_again`."""
        self._look(_named(client or CLIENT))
        try:
            self._check_same(names, rate)
        except DeviceError:
            self._leave()
            raise

    def _look(self, client: JackClient) -> None:
        self._client, self._stream = client, None
        try:
            self._there: Devices = client.devices()
            self._choose(self._there.table, lambda _: [])   # the first has sockets
            if self.rate != client.rate:
                raise DeviceError(f"{self.name}: cannot run at {self.rate} Hz; it offers {client.rate} Hz")
        except (DeviceError, InputError):
            self._leave()
            raise

    def connect(self, runner: Runner) -> None:
        """Make what the callbacks are given."""
        from rtsep_kernels.plane.jackport import JACK

        super().connect(runner)
        shared: dict[tuple[bool, int], list[int]] = {}    # mics of each output port
        for c, mic in enumerate(self.mics):
            shared.setdefault((False, c) if mic.output is None else (True, mic.output), []).append(c)
        self._groups = list(shared.values())
        self._pins = [pin if played else None for played, pin in shared]
        first = len(self._groups)
        self._ear = tuple(range(first, first + len(self._request.ear)))
        self._groups += [[] for _ in self._ear]
        self._pins += self._request.ear
        ports = np.zeros(len(self.mics), np.int32)
        for port, mics in enumerate(self._groups):
            ports[mics] = port
        runner.record.put("outputs", ports)
        self._record = JACK.make(runner=runner.record, mics=len(self.mics), outs=len(self._groups))

    @property
    def ear(self) -> tuple[int, ...]:
        """See `Card.ear`: its ports are behind those of the mics."""
        return self._ear

    def open(self, runner: Runner, preset: Preset, cables: Collection[Cable] | None) -> None:
        """See `Card.open`."""
        self._fresh = cables is None
        super().open(runner, preset, cables)

    def _made(self, _runner: Runner) -> Any:
        client, record = self._opened, self._record
        self._threads = set()   # the server looks after its threads' priority
        for field, function in (
            ("get_buffer", "buffer"), ("get_range", "latency_range"), ("set_range", "latency_range")
        ):
            verb = field.partition("_")[0]
            record[field] = client.address(f"jack_port_{verb}_{function}")
        names = [mic.name for mic in self.mics]
        record["in_ports"], record["out_ports"] = client.register(
            port_names("in", [[name] for name in names]),
            port_names("out", [[names[c] for c in group] or ["ear"] for group in self._groups]),
        )
        record["latency"], record["period"], record["rate"] = self._latency, client.period, client.rate
        self._told = client.period
        client.call(record)
        return client

    def start(self) -> None:
        """See `Card.start`; connects what no earlier process had."""
        client = self._opened
        try:
            client.start(self._first_cables() if self._fresh else ())
        except DeviceError:
            self._leave_cables()
            raise
        if self.cables is not None:
            self.cables.watch(client.name)

    def _first_cables(self) -> list[Cable]:
        ins, outs = self._opened.port_names()
        sources = self._there.sources[self._device[0]["name"]]
        targets = self._there.targets.get(self._device[1]["name"], [])
        laid = [(sources[mic.input], port) for mic, port in zip(self.mics, ins, strict=True)]
        return laid + [
            (port, targets[pin]) for pin, port in zip(self._pins, outs, strict=True) if pin is not None
        ]

    @property
    def _opened(self) -> JackClient:
        assert self._client is not None
        return self._client

    def _leave_cables(self) -> None:
        super()._leave_cables()
        self._leave()

    def _leave(self) -> None:
        self._opened.close()

    def _check_period(self, preset: Preset) -> None:
        self._check(self._opened.period, preset)

    def check_burst(self, _runner: Runner, preset: Preset) -> None:
        """See `Card.check_burst`; the period is known."""
        self._check(self.period(), preset)

    def _check(self, period: int, preset: Preset) -> None:
        most = most_block(preset)
        if most is not None and period > most:
            raise InputError(self.name, f"JACK's period is {period} frames", f"this preset needs {most} or less")

    def period(self) -> int:
        """See `Card.period`."""
        return int(self._record["period"])

    def tell_latency(self, frames: int) -> None:
        """See `Card.tell_latency`: the server's other clients ask our ports."""
        self._latency = frames
        if self._stream is not None:
            self._record["latency"] = frames
            self._opened.tell_anew()

    def news(self, preset: Preset) -> list[str]:
        """See `Card.news`: the server has changed its period; who plays or hears us is gone, or back.

        A server goes on without its devices, and so do we: nobody else would tell.
        """
        away = frozenset[str]() if self.cables is None else self.cables.away
        told = [f"{client} is gone: its cables wait for it" for client in sorted(away - self._away)]
        told += [f"{client} is back" for client in sorted(self._away - away)]
        self._away = away
        return told + self._period_news(preset)

    def _period_news(self, preset: Preset) -> list[str]:
        period, before = self.period(), self._told
        if period == before:
            return []
        self._told = period
        most = most_block(preset)
        late = f"; this preset needs {most} or less" if most is not None and period > most else ""
        return [f"JACK's period is {period} frames now, it was {before}{late}"]

    def lost(self) -> str:
        """See `Card.lost`."""
        if self._record["gone"]:
            return f"{self.name}: the JACK server has ended, or has closed our client"
        if self._record["rate"] != self.rate:
            return f"{self.name}: the JACK server runs at {self._record['rate']} Hz now, not at {self.rate} Hz"
        return super().lost()

    def latency(self) -> float:
        """See `Card.latency`."""
        return self._opened.latency() / self.rate

    def _stream_rate(self) -> float:
        return float(self._record["rate"])

    def _own_name(self) -> str:
        return self._opened.name

    def _close(self) -> bool:
        return self._opened.close(STOP_PATIENCE)


def _named(name: str) -> JackClient:
    """Return a client of this name; of another one if the server does not let go of the one that had it."""
    until = time.monotonic() + NAME_PATIENCE
    while True:
        try:
            return JackClient(name, exact=time.monotonic() < until)
        except NameTaken:
            time.sleep(NAME_PAUSE)
