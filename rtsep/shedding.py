"""What an engine can give up where the machine is too slow: a ladder, the least important work on its first rungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.catalogue import STAGES
from rtsep.catalogue.spec import SHED_ORDER
from rtsep.chain import Chain
from rtsep.presets import StageConfig
from rtsep.stage import Stage


@dataclass(frozen=True)
class Rung:
    """One step of what can be given up.

    Parameters
    ----------
    told : str
        What is said of it.
    stage : Stage or None
        Whose saving it is; None: the engine goes dry, and the chain is not called any more.
    saving : int
        Which of the stage's.
    whole : bool
        It is the stage's last: it is passed over.
    background : bool
        Nothing of it is heard at once.
    relief : str
        What would help for good.
    """

    told: str
    stage: Stage | None = None
    saving: int = 0
    whole: bool = False
    background: bool = False
    relief: str = ""


def ladder(configs: Sequence[StageConfig], chain: Chain) -> list[Rung]:
    """Return what a chain can give up, by class and of one class in the chain's order; the last rung is dry."""
    rungs = []
    for order in SHED_ORDER:
        for config, stage in zip(configs, chain.stages, strict=True):
            spec = STAGES[config.stage]
            for n, saving in enumerate(spec.savings):
                if saving.order == order:
                    whole = n == len(spec.savings) - 1
                    told = f"{stage.name} {saving.told}"
                    rungs.append(Rung(told, stage, n, whole, order == SHED_ORDER[0], spec.relief))
    return [*rungs, Rung("all mics dry")]


def give_up(rungs: Sequence[Rung], chain: Chain) -> None:
    """Have a chain's stages give up what these rungs say, and nothing else."""
    for stage, bypass in chain.bypasses.items():
        mine = [rung for rung in rungs if rung.stage is stage]
        stage.shed([rung.saving for rung in mine])
        bypass["wanted"] = int(any(rung.whole for rung in mine))
