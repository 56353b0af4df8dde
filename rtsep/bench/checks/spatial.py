"""Acceptance of section 2, spatial: vocal, bass and chords of the standard scene, panned to three places.

Of the four triples of its sources this is the one with SYSTEMS.md's figures. nussl, the only library with these
systems, cannot be installed any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from rtsep.bench import sts
from rtsep.bench.checks.check import Check, Measured, timed
from rtsep.runner import process
from rtsep.stage import Format, Stage
from rtsep.systems.adress import Adress
from rtsep.systems.duet import Duet, DuetLive
from rtsep.systems.projet import Projet, ProjetLive
from rtsep.systems.separator import Audio, Passage, Separator

PANS = (17.5, 45.0, 75.5)
_TRIPLE = ("vocal", "bass", "other")
_SECONDS = 10.0
_LEARNT_SECONDS = 3.0   # after which a live stage has heard every source


@cache
def images(delays: tuple[int, ...] = (0, 0, 0)) -> sts.Signal:
    """Return the stereo images, float64[3, 2, frames], the right channel so many samples later; not to be changed."""
    dry = sts.sources(_SECONDS)[[sts.NAMES.index(name) for name in _TRIPLE]]
    together = np.zeros((len(dry), 2, dry.shape[1]))
    for image, sound, pan, delay in zip(together, dry, np.radians(PANS), delays, strict=True):
        # The earlier of the two channels is on time.
        for channel, gain in enumerate((np.cos(pan), np.sin(pan))):
            late = max(0, delay) if channel else max(0, -delay)
            image[channel, late:] = gain * sound[: len(sound) - late]
    together.flags.writeable = False
    return together


def mixture(truth: sts.Signal) -> Passage:
    """Return the sum of images."""
    return Passage(truth.sum(axis=0).astype(np.float32), sts.RATE, ("left", "right"))


def figures(truth: sts.Signal, found: Sequence[Audio]) -> sts.Signal:
    """Return the SDR of each stereo image, over both channels."""
    return np.array([float(sts.sdr(one.ravel(), other.ravel())) for one, other in zip(truth, found, strict=True)])


def separated(system: Separator, truth: sts.Signal) -> tuple[list[Audio], float]:
    """Return the three sources, and the seconds of work per second of audio."""
    mix = mixture(truth)

    def work() -> dict[str, Audio]:
        system.fit(mix)
        return system.separate(mix)

    parts, seconds = timed(work)
    return [parts[f"source{j}"] for j in (1, 2, 3)], seconds * sts.RATE / mix.sound.shape[1]


def streamed(stage: Stage, truth: sts.Signal) -> tuple[list[Audio], float]:
    """Return what a live stage leaves of each source, its latency taken out, and its cost for one of them."""
    mix = mixture(truth).sound
    stage.prepare(Format(sts.RATE, 2))
    stage.board.set(f"{stage.name}.range_db", -120.0)
    padded = np.ascontiguousarray(np.pad(mix, ((0, 0), (0, stage.latency))))
    found, cost = [], 0.0
    for keep in range(len(truth)):
        stage.board.set(f"{stage.name}.keep", float(keep))
        stage.reset()
        heard, cost = timed(lambda: process(stage, padded))
        found.append(heard[:, stage.latency :])
    return found, cost * sts.RATE / mix.shape[1]


def _worst(system: Separator, delays: tuple[int, ...] = (0, 0, 0)) -> Measured:
    truth = images(delays)
    found, cost = separated(system, truth)
    return Measured(float(figures(truth, found).min()), cost)


def _worst_live(stage: Stage) -> Measured:
    truth = images()
    found, cost = streamed(stage, truth)
    learnt = slice(int(_LEARNT_SECONDS * sts.RATE), None)
    return Measured(float(figures(truth[:, :, learnt], [part[:, learnt] for part in found]).min()), cost)


def _peaks() -> Measured:
    system = Duet()
    _, cost = timed(lambda: system.fit(mixture(images())))
    return Measured(float(np.abs(np.degrees(system.peaks[:, 0]) - PANS).max()), cost / _SECONDS)


def _adress() -> Measured:
    """Measure each source in its louder channel, where SYSTEMS.md's input figures 2.0, -2.9, 2.0 dB are from."""
    from rtsep.metrics import improvement

    truth = images()
    found, cost = separated(Adress(azimuths=",".join(f"{pan:g}" for pan in PANS)), truth)
    mix = mixture(truth).sound
    louder = [int(pan > 45) for pan in PANS]
    gains = [
        float(improvement(one[channel], mix[channel], other[channel]))
        for one, other, channel in zip(truth, found, louder, strict=True)
    ]
    return Measured(min(gains), cost)


CHECKS: tuple[Check, ...] = (
    Check("2.2", "duet", "3 pans: largest error of a peak", 2.0, False, "degrees", _peaks),
    Check("2.2", "duet", "3 pans: worst image", 10.0, True, "dB SDR", lambda: _worst(Duet())),
    Check("2.2", "duet", "3 pans in the stream: worst image", 10.0, True, "dB SDR", lambda: _worst_live(DuetLive())),
    Check("2.2", "duet", "3 pans, delays -2, 0, 3 samples: worst image", 10.0, True, "dB SDR",
          lambda: _worst(Duet(max_delay=5.0), (-2, 0, 3))),
    Check("2.3", "adress", "3 pans: least gain", 6.0, True, "dB SI-SDR", _adress),
    Check("2.4", "projet", "3 pans: worst image", 14.0, True, "dB SDR", lambda: _worst(Projet())),
    Check("2.4", "projet", "3 pans in the stream: worst image", 14.0, True, "dB SDR",
          lambda: _worst_live(ProjetLive())),
    Check("2.4", "projet", "3 pans, delays -6, 0, 7 samples: worst image", 14.0, True, "dB SDR",
          lambda: _worst(Projet(max_delay=8.0), (-6, 0, 7)), slow=True),
)
