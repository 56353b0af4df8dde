"""One picture that shows a newcomer what was done: one microphone before, after and in truth, and all in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtsep.stage import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SECONDS = 8.0     # of the recording's end: what was learnt by then, wide enough to see notes
_RANGE_DB = 60     # below the loudest, of spectrograms
_GAIN_DB = 30      # beyond which more or less taken away makes no difference to hear

Image = NDArray[np.float64]


def draw(
    file: str | BinaryIO,
    names: Sequence[str],
    rate: int,
    mics: Block,
    cleaned: Block,
    images: Block,
    before: Sequence[float],
    after: Sequence[float],
) -> None:
    """Write a PNG: what happened to the microphone that gained most, and bars for every microphone.

    Above are its spectrograms before, after and in truth; below them the gain that was applied to each time and
    frequency, the gain that would have been right, and where they differ.

    Parameters
    ----------
    file : str or binary file
    names : sequence of str
    rate : int
    mics, cleaned, images : float32[mics, frames] or float32[mics, channels, frames]
        Before, after, and the wanted sound alone. Of several channels the power is shown.
    before, after : sequence of float
        SI-SDR of each microphone, dB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    gained = np.subtract(after, before)
    shown = int(np.nanargmax(gained)) if np.isfinite(gained).any() else 0
    figure = Figure(figsize=(13, 11), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 3, height_ratios=(3, 3, 2))
    figure.suptitle(f"rtsep: {names[shown]}, and what each gained", fontsize=15)
    last = mics.shape[-1]
    part = slice(max(0, last - int(_SECONDS * rate)), last)
    top_khz = min(8.0, rate / 2000)
    heard, left, truth = (
        _spectrogram(np.atleast_2d(s[shown])[:, part], rate, top_khz) for s in (mics, cleaned, images)
    )
    loudest = max(float(picture.max()) for picture in (heard, left, truth))
    applied, right = gains(heard, left, truth, loudest - _RANGE_DB)
    top: dict[str, Any] = {"cmap": "magma", "vmin": loudest - _RANGE_DB, "vmax": loudest}
    mask: dict[str, Any] = {"cmap": "viridis", "vmin": -_GAIN_DB, "vmax": 0}
    error: dict[str, Any] = {"cmap": "coolwarm", "vmin": -_GAIN_DB, "vmax": _GAIN_DB}
    panels = (
        ("before: everyone is heard", heard, top),
        ("after rtsep", left, top),
        ("the truth: this source alone", truth, top),
        ("gain applied: after / before", applied, mask),
        ("right gain: truth / before", right, mask),
        ("blue: too much taken, red: too much left", applied - right, error),
    )
    for place, (title, picture, look) in enumerate(panels):
        axes = figure.add_subplot(grid[place // 3, place % 3])
        extent = (0, (part.stop - part.start) / rate, 0, top_khz)
        shades = axes.imshow(picture, origin="lower", aspect="auto", extent=extent, **look)
        axes.set_facecolor("#dddddd")   # where there was nothing to change
        axes.set_title(title)
        axes.set_xlabel("seconds")
        axes.set_ylabel("kHz" if place % 3 == 0 else "")
        if place > 2:
            figure.colorbar(shades, ax=axes, label="dB")
    _bars(figure.add_subplot(grid[2, :]), names, before, after)
    figure.savefig(file, dpi=90, format="png")


def _bars(axes: Axes, names: Sequence[str], before: Sequence[float], after: Sequence[float]) -> None:
    """Draw what every microphone gained."""
    place_of = np.arange(len(names))
    axes.bar(place_of - 0.2, before, 0.4, color="#999999", label="before")
    axes.bar(place_of + 0.2, after, 0.4, color="#d1495b", label="after")
    for x, (low, high) in enumerate(zip(before, after, strict=True)):
        if np.isfinite(high - low):
            axes.annotate(f"{high - low:+.1f} dB", (x + 0.2, max(high, 0)), ha="center", va="bottom")
    axes.set_xticks(place_of, names)
    axes.set_ylabel("own sound over everything else, dB\n(SI-SDR, higher is cleaner)")
    axes.margins(y=0.15)
    axes.legend(loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def gains(before: Image, after: Image, truth: Image, floor: float) -> tuple[Image, Image]:
    """Return the gain that was applied and the one that would have been right, in dB.

    Parameters
    ----------
    before, after, truth : float64[bins, frames]
        Spectrograms in dB.
    floor : float
        dB; where there was less before, the gains are nan.

    Returns
    -------
    applied, right : float64[bins, frames]
        Between -`_GAIN_DB` and +`_GAIN_DB`.
    """
    silent = before < floor
    applied, right = (np.clip(picture - before, -_GAIN_DB, _GAIN_DB) for picture in (after, truth))
    return np.where(silent, np.nan, applied), np.where(silent, np.nan, right)


def _spectrogram(x: Block, rate: int, top_khz: float) -> Image:
    """Return dB[bins, frames] of float32[channels, frames], their powers added up."""
    from scipy import signal

    transform = signal.ShortTimeFFT(signal.windows.hann(2048), hop=512, fs=rate, scale_to="magnitude")
    if x.shape[1] < 2048:
        x = np.pad(x, ((0, 0), (0, 2048 - x.shape[1])))
    power = (np.abs(transform.stft(x.astype(np.float64))) ** 2).sum(axis=0)
    decibels: Image = 10 * np.log10(power[: int(1000 * top_khz / transform.delta_f)] + 1e-14)
    return decibels
