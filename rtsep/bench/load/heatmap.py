"""A picture of the load: for each chain a field of mics and blocks, coloured by the share of the deadline."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from rtsep.bench.load.cells import ROOM, Cell

_LOW, _HIGH = 0.01, 2.0   # of the deadline: what colours tell apart


def draw(cells: Sequence[Cell], title: str, which: str = "p99") -> bytes:
    """Return a PNG: blocks to the right, mics upwards, per cent of the deadline in each field.

    White lines go around what holds; grey is what was not measured.

    Parameters
    ----------
    cells : sequence of Cell
    title : str
    which : str
        Percentile.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    chains = list(dict.fromkeys(cell.chain for cell in cells))
    mics, blocks = (sorted({getattr(cell, name) for cell in cells}) for name in ("mics", "block"))
    figure = Figure(figsize=(2 + 3.4 * len(chains), 2 + 0.5 * len(mics)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    fields = np.atleast_1d(np.asarray(figure.subplots(1, len(chains), sharey=True)))
    shades = None
    for axes, chain in zip(fields, chains, strict=True):
        shares = np.full((len(mics), len(blocks)), np.nan)
        for cell in cells:
            if cell.chain == chain and cell.us:
                at = mics.index(cell.mics), blocks.index(cell.block)
                shares[at] = cell.share[which]
                dark = not 0.04 < cell.share[which] < 1
                axes.text(at[1], at[0], f"{100 * cell.share[which]:.3g}", ha="center", va="center", fontsize=8,
                          color="white" if dark else "black")
                if cell.holds:
                    axes.add_patch(Rectangle((at[1] - 0.47, at[0] - 0.47), 0.94, 0.94, fill=False, edgecolor="white"))
        axes.set_facecolor("#bbbbbb")
        shades = axes.imshow(shares, origin="lower", aspect="auto", cmap="turbo", norm=LogNorm(_LOW, _HIGH))
        axes.set_title(chain)
        axes.set_xticks(range(len(blocks)), [str(block) for block in blocks])
        axes.set_yticks(range(len(mics)), [str(count) for count in mics])
        axes.set_xlabel("block, frames")
    fields[0].set_ylabel("mics")
    if shades is not None:
        bar = figure.colorbar(shades, ax=list(fields), label=f"{which} of the callback ÷ deadline")
        bar.ax.axhline(ROOM, color="white")
    made = io.BytesIO()
    figure.savefig(made, dpi=90, format="png")
    return made.getvalue()
