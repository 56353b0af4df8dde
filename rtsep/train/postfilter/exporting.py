"""Exporting: one step of the network as a file that says what it is."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rtsep.models.card import STEP, Card
from rtsep.stages.learned import BANDS
from rtsep.train.export import Deployable, write
from rtsep.train.postfilter.concerts import RATE
from rtsep.train.postfilter.evidence import Setting
from rtsep.train.postfilter.network import PostFilter
from rtsep_kernels.learned import VALUES, WEIGHTS

STATES = (("own", "own_next"), ("every", "every_next"))


@dataclass(frozen=True)
class Told:
    """What the file says beside what follows from the network.

    Parameters
    ----------
    preset : str
        Whose gains it corrects.
    data : str
        What it was trained on.
    steps, seed : int
    commit : str
    figures : mapping of str to float
    """

    preset: str
    data: str
    steps: int
    seed: int
    commit: str
    figures: Mapping[str, float]


class OneStep(Deployable):
    """One step of a network as its file has it: states in, states out.

    Parameters
    ----------
    network : PostFilter
    card : Card
    """

    def __init__(self, network: PostFilter, card: Card) -> None:
        super().__init__(card)
        self.network = network

    def forward(self, x: Tensor, own: Tensor | None = None, every: Tensor | None = None
                ) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights [1, mics, WEIGHTS * BANDS] of `x` [1, mics, VALUES * BANDS], and states [1, mics, width]."""
        mics = x.shape[1]
        seen = x.reshape(1, mics, 1, VALUES, BANDS)
        weights, own, every = self.network(seen, torch.ones_like(x[:, :, 0]), own, every)
        return weights.reshape(1, mics, WEIGHTS * BANDS), own, every


def card_of(setting: Setting, told: Told) -> Card:
    """Return what a network's file says of itself."""
    return Card(
        system=f"postfilter-{told.preset}", kind=STEP, rate=RATE, window=setting.analysis, hop=setting.hop,
        channels=0, sources=(), frames=VALUES * BANDS, look_ahead=0, latency=0, states=STATES, taper="sqrt-hann",
        licence="GPL-3.0-or-later", source="rtsep", data=told.data, steps=told.steps, seed=told.seed,
        commit=told.commit, figures=told.figures,
    )


def export(network: PostFilter, setting: Setting, told: Told, path: pathlib.Path) -> Card:
    """Write a network as a model of kind `step`.

    Raises
    ------
    InputError
        If ONNX computes something else, or the file cannot be written.
    """
    card = card_of(setting, told)
    write(OneStep(network, card).eval(), path)
    return card
