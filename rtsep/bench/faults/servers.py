"""Faults of the sound server and the device: gone, back, back differently."""

from __future__ import annotations

import time

from rtsep.bench.faults.trial import Fault, Limits, Trial

_SHORT, _LONG = 0.5, 5.0   # seconds without a server
_WRONG_SECONDS = 4.0       # in which the device is not what it was
_AWAY_SECONDS = 2.0        # without the device
_PORT_MS = 150             # between two ports of a device that registers them one by one
_RETURN = Limits(silence=None, after_return=2.0)


def _server_away(trial: Trial, seconds: float) -> None:
    trial.server.kill()
    time.sleep(seconds)
    trial.serve_again()
    trial.come_back()


def server_half_a_second(trial: Trial) -> None:
    """Kill the server and start it again at once."""
    _server_away(trial, _SHORT)


def server_five_seconds(trial: Trial) -> None:
    """Kill the server and start it again later."""
    _server_away(trial, _LONG)


def fewer_ports(trial: Trial) -> None:
    """Bring the server and the device back with half its ports, then as it was."""
    _differently(trial, mics=trial.mics // 2)


def other_period(trial: Trial) -> None:
    """Bring it back with four times the period, then as it was."""
    _differently(trial, period=4 * trial.period)


def other_rate(trial: Trial) -> None:
    """Bring it back at another rate, then as it was."""
    _differently(trial, rate=44100 if trial.setting.rate != 44100 else 48000)


def _differently(trial: Trial, **what: int) -> None:
    trial.server.kill()
    time.sleep(_SHORT)
    trial.serve_again(**what)
    time.sleep(_WRONG_SECONDS)
    trial.notes["alive_when_wrong"] = trial.program.alive()
    trial.device.close()
    trial.server.close()
    time.sleep(_SHORT)
    trial.serve_again()
    trial.come_back()


def device_away(trial: Trial) -> None:
    """Unplug the device, and plug it in again."""
    trial.device.close()
    time.sleep(_AWAY_SECONDS)
    trial.plug()
    trial.come_back()


def ports_one_by_one(trial: Trial) -> None:
    """Unplug the device; its ports come back one after the other."""
    trial.device.close()
    time.sleep(_AWAY_SECONDS)
    trial.plug(pause_ms=_PORT_MS)
    trial.come_back()


FAULTS = (
    Fault("jackd killed, 0.5 s", server_half_a_second, _RETURN),
    Fault("jackd killed, 5 s", server_five_seconds, _RETURN),
    Fault("jackd back: fewer ports", fewer_ports, _RETURN),
    Fault("jackd back: other period", other_period, _RETURN),
    Fault("jackd back: other rate", other_rate, _RETURN),
    Fault("device gone and back", device_away, _RETURN),
    Fault("device back port by port", ports_one_by_one, _RETURN),
)
