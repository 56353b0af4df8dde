"""One picture that shows a newcomer what was done: one microphone before, after and in truth, and all in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.stage import Block

_SECONDS = 8.0
_RANGE_DB = 60


def draw(
    path: str,
    names: Sequence[str],
    rate: int,
    mics: Block,
    cleaned: Block,
    images: Block,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Write a PNG: spectrograms of the microphone that gained most, and bars for every microphone.

    Parameters
    ----------
    path : str
    names : sequence of str
    rate : int
    mics, cleaned, images : float32[mics, frames]
        Before, after, and the wanted sound alone.
    rows : sequence of dict
        What `rtsep.evaluate.score` gave.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = int(np.argmax([row["improvement"] for row in rows]))
    figure = Figure(figsize=(13, 8), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 3, height_ratios=(3, 2))
    figure.suptitle(f"rtsep: the {names[shown]} microphone, and what each microphone gained", fontsize=15)
    last = mics.shape[1]
    part = slice(max(0, last - int(_SECONDS * rate)), last)
    pictures = [_spectrogram(signal[shown, part], rate) for signal in (mics, cleaned, images)]
    top = max(float(picture.max()) for picture in pictures)
    titles = ("before: everyone bleeds in", "after rtsep", "the truth: this source alone")
    for column, (title, picture) in enumerate(zip(titles, pictures, strict=True)):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(
            picture, origin="lower", aspect="auto", cmap="magma", vmin=top - _RANGE_DB, vmax=top,
            extent=(0, (part.stop - part.start) / rate, 0, 8),
        )
        axes.set_title(title)
        axes.set_xlabel("seconds")
        axes.set_ylabel("kHz" if column == 0 else "")
    axes = figure.add_subplot(grid[1, :])
    place = np.arange(len(names))
    before = [row["si_sdr_before"] for row in rows]
    after = [row["si_sdr_after"] for row in rows]
    axes.bar(place - 0.2, before, 0.4, color="#999999", label="before")
    axes.bar(place + 0.2, after, 0.4, color="#d1495b", label="after")
    for x, (low, high) in enumerate(zip(before, after, strict=True)):
        axes.annotate(f"{high - low:+.1f} dB", (x + 0.2, max(high, 0)), ha="center", va="bottom")
    axes.set_xticks(place, names)
    axes.set_ylabel("own sound over everything else, dB\n(SI-SDR, higher is cleaner)")
    axes.margins(y=0.15)
    axes.legend(loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)


def _spectrogram(x: Block, rate: int) -> NDArray[np.float64]:
    """Return dB[bins up to 8 kHz, frames]."""
    from scipy import signal

    transform = signal.ShortTimeFFT(signal.windows.hann(2048), hop=512, fs=rate, scale_to="magnitude")
    power = np.abs(transform.stft(x.astype(np.float64))) ** 2
    top = int(8000 / transform.delta_f)
    decibels: NDArray[np.float64] = 10 * np.log10(power[:top] + 1e-14)
    return decibels
