"""The device: a client in C whose microphones sound for ever, and whose ears keep every sample with its time."""

from __future__ import annotations

import mmap
import os
import pathlib
import subprocess
import time

import numpy as np
from numpy.typing import NDArray

from rtsep.bench.faults.hearing import Heard
from rtsep.bench.jackd import JackServer
from rtsep.errors import DeviceError, WorkerError
from rtsep.stage import Block

LOOP_SECONDS = 8           # longer than any block that could be repeated, and than most faults
NOISE, TONE = 0.05, 0.1    # of each mic: -26 dBFS RMS and -20 dBFS peak, so that sums of four stay below full scale
BLEED = 0.1                # of all others: something to be learnt
_FIELDS = ("heard", "capacity", "stamps", "state", "period", "rate", "xruns", "place", "active_ns", "calls", "loop")
_HEADER = 16               # int64 words: `struct tape` of player.c
_SHORTEST_PERIOD = 32      # frames: more stamps are never needed
_PATIENCE = 10.0           # seconds until a client has its ports, without those it waits for on purpose
_PLAYING = 1


def compile_player(folder: pathlib.Path) -> pathlib.Path:
    """Compile the client.

    Parameters
    ----------
    folder : Path
        Where the program is written.

    Returns
    -------
    Path

    Raises
    ------
    WorkerError
        If there is no C compiler or no libjack.
    """
    program = folder / "player"
    source = pathlib.Path(__file__).with_name("player.c")
    try:
        done = subprocess.run(
            ["cc", "-O2", "-o", str(program), str(source), "-l:libjack.so.0"], capture_output=True, text=True,
            check=False,
        )
    except FileNotFoundError:
        raise WorkerError("there is no C compiler (cc)") from None
    if done.returncode:
        raise WorkerError(f"player.c does not compile: {done.stderr.strip()}")
    return program


def make_mics(mics: int, rate: int) -> Block:
    """Return a loop of sustained sound, float32[mics, frames]: each mic its own tone and noise, and the others' bleed.

    Parameters
    ----------
    mics : int
    rate : int
        Hz.
    """
    rng = np.random.default_rng(1)
    frames = LOOP_SECONDS * rate
    cycles = LOOP_SECONDS * (110 + 37 * np.arange(mics))   # whole ones, so that the loop closes without a click
    tones = TONE * np.sin(2 * np.pi * cycles[:, None] * np.arange(frames) / frames)
    own = tones + NOISE * rng.standard_normal((mics, frames))
    others = np.roll(own.sum(0) - own, round(0.002 * rate), axis=1) / max(mics - 1, 1)
    return np.asarray(own + BLEED * others, np.float32)


class Player:
    """A running client.

    Parameters
    ----------
    program : Path
        Of `compile_player`.
    server : JackServer
    mics : float32[mics, frames]
        What it plays, over and over.
    seconds : float
        How much it can keep; memory is only taken for what it has heard, and given back by `forget`.
    pause_ms : int
        Between one port and the next.
    name : str
        Of the client, which PortAudio lists as a device.
    """

    def __init__(
        self, program: pathlib.Path, server: JackServer, mics: Block, seconds: float, pause_ms: int = 0,
        name: str = "player",
    ) -> None:
        channels, loop = mics.shape
        self._channels, self._pause = channels, pause_ms / 1000
        capacity = round(seconds * server.rate)
        stamps = capacity // _SHORTEST_PERIOD
        self._first = _HEADER * 8 + stamps * 8   # byte of the sound
        self.mics = _Memory((channels, loop), np.float32)
        self.mics.array[:] = mics
        self._tape = _Memory((_HEADER * 8 + stamps * 8 + channels * capacity * 4,), np.uint8)
        header = self._tape.array[: _HEADER * 8].view(np.int64)
        self._header: NDArray[np.int64] = header
        header[1], header[2], header[10] = capacity, stamps, loop
        self._stamps = self._tape.array[_HEADER * 8 : (_HEADER + stamps) * 8].view(np.int64)
        self._sound = self._tape.array[(_HEADER + stamps) * 8 :].view(np.float32).reshape(channels, capacity)
        fds = (self.mics.fd, self._tape.fd)
        self.process = subprocess.Popen(
            [str(program), server.name, name, str(channels), str(pause_ms), *map(str, fds)], pass_fds=fds,
            env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def get(self, field: str) -> int:
        """Return a word of the client's header."""
        return int(self._header[_FIELDS.index(field)])

    def wait(self) -> float:
        """Wait until all ports are there; returns since when, seconds of `time.monotonic`.

        Raises
        ------
        DeviceError
            If it cannot connect.
        """
        until = time.monotonic() + _PATIENCE + self._channels * self._pause
        while self.get("state") != _PLAYING:
            if self.process.poll() is not None or time.monotonic() > until:
                self.close()
                raise DeviceError("the player cannot connect to JACK")
            time.sleep(0.005)
        return self.get("active_ns") / 1e9

    def heard(self) -> Heard:
        """Return what it has heard until now; the arrays are views."""
        frames, calls = self.get("heard"), self.get("calls")
        return Heard(
            self._sound[:, :frames], self._stamps[:calls] / 1e9, max(1, self.get("period")), max(1, self.get("rate"))
        )

    def forget(self, frame: int) -> None:
        """Give back the memory of what it has heard before a frame; that reads as silence from now on."""
        capacity = self.get("capacity")
        for channel in range(self._channels):
            first = self._first + 4 * channel * capacity
            self._tape.give_back(first, first + 4 * min(frame, capacity))

    def close(self) -> None:
        """Unplug it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class _Memory:
    """Memory without a name, so that nothing is left behind: its file descriptor and an array on it."""

    def __init__(self, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.fd = os.memfd_create("player")
        os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        self.array: NDArray[np.generic] = np.frombuffer(self._map, dtype).reshape(shape)

    def give_back(self, first: int, last: int) -> None:
        """Forget the whole pages between two bytes."""
        first, last = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE, last // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self._map.madvise(mmap.MADV_REMOVE, first, last - first)

    def __del__(self) -> None:
        os.close(self.fd)
