"""A stage whose work is done by another process, and what is on this side of it; the other side is `rtsep.workers`."""

from rtsep.stages.remote.stage import Remote

__all__ = ["Remote"]
