"""Templates in a file: what a system has learnt at a soundcheck, for the show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep import npz
from rtsep.atomic import replacing
from rtsep.errors import InputError

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Frames:
    """What templates were learnt from.

    Parameters
    ----------
    rate : int
        Hz.
    window, hop : int
        Samples.

    To `load`, 0 says that it does not matter.
    """

    rate: int
    window: int
    hop: int = 0


def check_target(path: str) -> None:
    """Raise InputError unless templates may be saved there."""
    if path and not path.endswith(".npz"):
        raise InputError(path, "is no name for templates", "allowed is a file that ends in .npz")


def save(path: str, kind: str, frames: Frames, parts: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write templates of a kind (the system's name)."""
    with replacing(path) as file:
        held: dict[str, Any] = {
            "kind": np.array(kind), "rate": frames.rate, "window": frames.window, "hop": frames.hop,
            "parts": np.array(parts), **arrays,
        }
        np.savez(file, allow_pickle=False, **held)


def load(
    path: str, kind: str, frames: Frames, shapes: Mapping[str, str]
) -> tuple[Frames, tuple[str, ...], dict[str, NDArray[Any]]]:
    """Read templates.

    Parameters
    ----------
    path : str
    kind : str
    frames : Frames
        What they are to be used with.
    shapes : mapping of str to str
        Axes of each array by a letter each: `b` is the bins of a spectrum, `p` the parts, others any length, but the
        same in all arrays.

    Returns
    -------
    Frames
        What they were learnt from.
    tuple of str
        Names of the parts.
    dict of str to array

    Raises
    ------
    InputError
        If the file is something else, or was learnt with another rate, window or hop.
    """
    allowed = f"allowed is an .npz that {kind} has saved"
    try:
        found = npz.read(path)
    except FileNotFoundError:
        raise InputError(path, "there is no such file", allowed) from None
    except InputError:
        raise
    except (OSError, ValueError):
        raise InputError(path, "holds no templates", allowed) from None
    missing = {"kind", "rate", "window", "hop", "parts", *shapes} - set(found)
    if missing or str(found["kind"]) != kind:
        raise InputError(path, f"holds no templates of {kind}", allowed)
    for name in ("rate", "window", "hop"):
        wanted, held = getattr(frames, name), found[name]
        if held.shape != () or held.dtype.kind not in "iu":
            raise InputError(path, f"{name} is no number", allowed)
        if wanted and int(held) != wanted:
            raise InputError(path, f"was learnt with a {name} of {int(held)}", f"allowed is {wanted}, as it is here")
    parts = found["parts"]
    if parts.ndim != 1 or parts.dtype.kind != "U" or not len(parts) or len(set(parts.tolist())) != len(parts):
        raise InputError(path, "does not name its parts once each", allowed)
    learnt = Frames(int(found["rate"]), int(found["window"]), int(found["hop"]))
    lengths = {"b": learnt.window // 2 + 1, "p": len(parts)}
    for name, axes in shapes.items():
        array = found[name]
        right = array.ndim == len(axes) and array.dtype.kind in "fiu" and array.size > 0
        if not right or any(lengths.setdefault(a, n) != n for a, n in zip(axes, array.shape, strict=True)):
            told = ", ".join(str(lengths[axis]) if axis in lengths else "any" for axis in axes)
            raise InputError(path, f"{name} has the shape {array.shape}", f"allowed is ({told})")
        if not np.isfinite(array).all():
            raise InputError(path, f"{name} holds something that is no number", allowed)
    return learnt, tuple(parts.tolist()), {name: found[name] for name in shapes}
