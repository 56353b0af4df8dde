"""The three ways in which rtsep refuses: bad input, a device that fails, a worker that fails; and how it warns."""

from __future__ import annotations


class RtsepError(Exception):
    """An error that the command line prints as one line."""

    exit_code = 1


class InputError(RtsepError, ValueError):
    """Bad usage or bad input; a ValueError, as Python calls it.

    Parameters
    ----------
    place : str
        Where it is: a file, `file:line`, an option or a parameter path.
    problem : str
        The value that is wrong, and what is wrong with it.
    allowed : str, optional
        What would be right.
    """

    exit_code = 2

    def __init__(self, place: str, problem: str, allowed: str = "") -> None:
        self.place = place
        self.problem = problem
        self.allowed = allowed
        super().__init__(f"{place}: {problem}" + (f"; {allowed}" if allowed else ""))


class DeviceError(RtsepError):
    """A sound device cannot be opened or was lost."""

    exit_code = 3


class WorkerError(RtsepError):
    """A worker process or helper thread died."""

    exit_code = 4


class SoundWarning(UserWarning):
    """Something is wrong with sound that is worked on all the same; the command line prints it as one line."""
