"""The recursive canceller: a long causal path from every cleaned microphone to every other one."""

from rtsep.stages.canceller.stage import Canceller

__all__ = ["Canceller"]
