"""The stage that hosts the mics' plug-ins; they run in processes of their own (`rtsep.workers.strips`)."""

from rtsep.stages.strips.stage import Strips

__all__ = ["Strips"]
