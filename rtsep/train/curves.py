"""The curves of a training as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtsep.atomic import replacing


def draw(path: Path, title: str, steps: Sequence[int], losses: Sequence[float], validated: Sequence[float]) -> None:
    """Draw the loss of training and of what is not trained on.

    Parameters
    ----------
    path : Path
        A PNG.
    title : str
    steps : sequence of int
        At which both were measured.
    losses, validated : sequence of float
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, losses, color="#999999", label="training")
    axes.plot(steps, validated, color="#d1495b", label="not trained on")
    if min([*losses, *validated], default=0.0) > 0:
        axes.set_yscale("log")
    axes.set(title=title, xlabel="steps", ylabel="loss")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as file:
        figure.savefig(file, dpi=90, format="png")
