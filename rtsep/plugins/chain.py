"""PluginChain: one mic's plug-ins in order, in units of a fixed length, with a latency that is known to the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.params import Param
from rtsep.plugins.slots import SlotConfig

Block = NDArray[np.float32]


@dataclass(frozen=True)
class SlotReport:
    """What is to be said of one slot while it runs.

    Parameters
    ----------
    name, plugin : str
    state : int
        `ON`, `BYPASS` or `OFF`.
    declared : int or None
        Latency that the plug-in says it has, samples; None: it says nothing (built-in effects).
    measured : int or None
        Latency that was measured when it was loaded, or given another state.
    latency : int
        What is reckoned with.
    bad_blocks : int
        Units in which it answered something that is no number, and its dry input was heard.
    remade : int
        How often it was made anew for that.
    """

    name: str
    plugin: str
    state: int
    declared: int | None
    measured: int | None
    latency: int
    bad_blocks: int
    remade: int


class PluginChain:
    """Plug-ins one after the other; made, worked and closed by one thread, the main thread of its process.

    A mic is mono. A plug-in that takes nothing but stereo is fed the mic twice, and the mean of its two outputs is
    what is heard.

    The output is exactly `latency` samples late. That changes only when a slot is turned off or on, the chain is
    replaced, or a plug-in changes its own; `news` tells of each, and the change is cross-faded.

    Parameters
    ----------
    rate : int
        Hz.
    unit : int
        Samples that `work` takes, always.
    slots : sequence of SlotConfig
        May be empty.

    Raises
    ------
    InputError
        If a plug-in cannot be had.

    Attributes
    ----------
    params : tuple of Param
        In the order of the vector that `work` takes, see `chain_params`.
    """

    def __init__(self, rate: int, unit: int, slots: Sequence[SlotConfig]) -> None:
        self.params: tuple[Param, ...] = ()
        raise NotImplementedError

    @property
    def latency(self) -> int:
        """Samples by which the output is late from now on (a fade to it may still be going on)."""
        raise NotImplementedError

    def work(self, block: Block, values: NDArray[np.float32]) -> Block:
        """Return what becomes of one unit.

        The same units with the same values give the same samples, bit for bit.

        Parameters
        ----------
        block : float32[1, unit]
            Finite; not written to.
        values : float32[len(params)]
            Targets from this unit on, in the order of `params`; what is out of range or no number is left as it was.
            The first ones are taken over at once, later ones on a ramp.

        Returns
        -------
        float32[1, unit]
            Finite, the caller's to keep.
        """
        raise NotImplementedError

    def replace(self, slots: Sequence[SlotConfig]) -> None:
        """Go over to other plug-ins: old and new run side by side, then cross-fade, aligned to the longer latency.

        Slots of the same name, plug-in and path keep their values and their state. `params` is another one afterwards.
        Loading files takes as long as it takes: nothing is worked meanwhile.

        Raises
        ------
        InputError
            If a plug-in cannot be had; then nothing has changed.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Be as new: plug-ins with the state they began with, nothing of what sounded before."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Return every plug-in's `raw_state` and its values.

        What sounds just now is not in it (pedalboard does not give it out): after `restore` tails begin anew.
        """
        raise NotImplementedError

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot of the same slots; of others, those with the same name, plug-in and path."""
        raise NotImplementedError

    def news(self) -> list[str]:
        """Return what has happened since the last call, a line each."""
        raise NotImplementedError

    def report(self) -> list[SlotReport]:
        """Return how each slot does, in the order in which they were given."""
        raise NotImplementedError
