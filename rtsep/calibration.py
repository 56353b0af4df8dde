"""What a soundcheck taught: the paths by which every performer reaches the other microphones, and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep import npz
from rtsep.assurance import of_soundcheck
from rtsep.atomic import replacing
from rtsep.errors import InputError
from rtsep.names import checked

if TYPE_CHECKING:
    from rtsep.learnt import Known

SCHEMA = 1
MOST_TAPS = 1 << 17     # 2.7 s at 48 kHz: longer than any hall that is played in
LARGEST_TAP = 100.0     # bleed that is 40 dB louder in the other microphone than in its own: none is
_FIELDS = ("schema", "rate", "names", "paths", "noise_db", "confidence")


@dataclass(frozen=True)
class Calibration:
    """The bleed paths of one stage.

    Parameters
    ----------
    rate : int
        Sampling rate, Hz.
    names : tuple of str
        One per microphone.
    paths : float32[mics, mics, taps]
        `paths[i, j]` is the causal filter by which the cleaned signal of microphone j arrives in microphone i,
        0 on the diagonal: y_i = x_i - sum_j paths[i, j] * y_j.
    noise_db : float32[mics]
        Noise floor of each microphone, dBFS RMS.
    confidence : float32[mics, mics]
        Of each path, 0 to 1: 1, the fit explained everything above the noise; 0, not learnt.
    """

    rate: int
    names: tuple[str, ...]
    paths: NDArray[np.float32]
    noise_db: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def of(self, stage: str) -> dict[str, NDArray[np.float32]]:
        """Return what every stage may start from that takes paths (`rtsep.learnt.Known`)."""
        del stage
        return {"paths": self.paths, "confidence": self.confidence}

    def told(self) -> str:
        """Return how sure it is, as a part of a line (`rtsep.learnt.Known`)."""
        return of_soundcheck(self.confidence, self.names)


def save(calibration: Calibration, path: str | os.PathLike[str]) -> None:
    """Write a calibration as one file, whole or not at all.

    Parameters
    ----------
    calibration : Calibration
        What to write.
    path : str or path-like
        The file; its name is kept as given. It is written beside and renamed, so an old file stays whole until
        the new one is.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with replacing(path) as file:
        np.savez(
            file,
            schema=np.int64(SCHEMA),
            rate=np.int64(calibration.rate),
            names=np.array(calibration.names, dtype=np.str_),
            paths=calibration.paths,
            noise_db=calibration.noise_db,
            confidence=calibration.confidence,
        )


def load(path: str | os.PathLike[str]) -> Calibration:
    """Read a calibration.

    Parameters
    ----------
    path : str or path-like
        A file written by `save`.

    Returns
    -------
    Calibration
        Checked: shapes agree, every value is finite.

    Raises
    ------
    InputError
        The file is missing, is not a calibration, has another schema, wrong shapes or values that are not finite.
    """
    place = str(path)
    fields = _read(place)
    schema, rate = fields["schema"], fields["rate"]
    if not _is_integer(schema) or int(schema) != SCHEMA:
        raise InputError(place, f"calibration schema {_brief(schema)}", f"this version reads schema {SCHEMA}")
    if not _is_integer(rate) or int(rate) <= 0:
        raise InputError(place, f"rate {_brief(rate)}", "a positive whole number of Hz")
    names = fields["names"]
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise InputError(place, f"names are {names.dtype}{list(names.shape)}", "one text per microphone")
    k = len(names)
    paths, confidence = checked_paths(place, fields, k)
    noise_db = _checked(place, "noise_db", fields["noise_db"], (k,))
    return Calibration(int(rate), checked(names.tolist(), place), paths, noise_db, confidence)


def checked_paths(
    place: str, fields: Mapping[str, NDArray[np.generic]], k: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return `paths` and `confidence` of `k` microphones, or say what is wrong with them.

    Raises
    ------
    InputError
        Also for paths that no stage has: longer, or louder.
    """
    paths = _checked(place, "paths", fields["paths"], (k, k, None))
    confidence = _checked(place, "confidence", fields["confidence"], (k, k))
    if paths.shape[-1] > MOST_TAPS:
        raise InputError(place, f"paths of {paths.shape[-1]} taps", f"allowed are up to {MOST_TAPS}")
    if np.abs(paths).max() > LARGEST_TAP:
        raise InputError(place, f"paths with taps of {np.abs(paths).max():.3g}", f"allowed are up to {LARGEST_TAP:g}")
    if paths[np.arange(k), np.arange(k)].any():
        raise InputError(place, "a microphone has a path to itself", "paths[i, i] = 0")
    if confidence.min() < 0 or confidence.max() > 1:
        raise InputError(place, f"confidence {confidence.min():g} to {confidence.max():g}", "0 to 1")
    return paths, confidence


def check(calibration: Known, rate: int, place: str = "calibration") -> None:
    """Refuse a calibration, or what was learnt, of another sampling rate; of the names see `rtsep.names.match`.

    Parameters
    ----------
    calibration : Known
        The calibration.
    rate : int
        Sampling rate of the run, Hz.
    place : str
        What errors call it.

    Raises
    ------
    InputError
        The rate differs.
    """
    if calibration.rate != rate:
        raise InputError(
            place, f"made at {calibration.rate} Hz, but the run is at {rate} Hz",
            "use that rate or run the soundcheck again",
        )


def _read(place: str) -> dict[str, NDArray[np.generic]]:
    allowed = "a file written by a soundcheck"
    try:
        found = npz.read(place)
    except FileNotFoundError as error:
        raise InputError(place, "no such file", allowed) from error
    except OSError as error:
        raise InputError(place, f"cannot be read ({error.strerror or 'damaged'})", allowed) from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(place, "not a calibration, or damaged", allowed) from error
    missing = [key for key in _FIELDS if key not in found]
    if missing:
        raise InputError(place, f"not a calibration: no {', '.join(missing)}", allowed)
    return found


def _checked(place: str, key: str, value: NDArray[np.generic], shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    wanted = f"float32[{', '.join('taps' if n is None else str(n) for n in shape)}]"
    fits = value.ndim == len(shape) and all(
        have == want if want is not None else have > 0 for have, want in zip(value.shape, shape, strict=True)
    )
    if value.dtype != np.float32 or not fits:
        raise InputError(place, f"{key} is {value.dtype}{list(value.shape)}", f"{wanted} for these names")
    if not np.isfinite(value.astype(np.float32)).all():
        raise InputError(place, f"{key} holds values that are not finite", "finite numbers")
    return value.astype(np.float32)


def _is_integer(value: NDArray[np.generic]) -> bool:
    return value.ndim == 0 and value.dtype.kind in "iu"


def _brief(value: NDArray[np.generic]) -> str:
    return str(value) if value.ndim == 0 else f"of shape {list(value.shape)}"
