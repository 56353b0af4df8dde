"""Slow, plain twins of the factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating[Any]]


def factorise(v: Matrix, w: Matrix, h: Matrix, divergence: str, iterations: int, repeats: int) -> tuple[Matrix, Matrix]:
    """Return W and H after multiplicative updates, as the papers print them."""
    w, h = w.astype(float), h.astype(float)
    ones = np.ones_like(v)
    for _ in range(iterations):
        if divergence == "euclidean":
            for _ in range(repeats):
                h = h * (w.T @ v) / (w.T @ w @ h)
            for _ in range(repeats):
                w = w * (v @ h.T) / (w @ h @ h.T)
        elif divergence == "kl":
            h = h * (w.T @ (v / (w @ h))) / (w.T @ ones)
            w = w * ((v / (w @ h)) @ h.T) / (ones @ h.T)
        else:
            h = h * (w.T @ (v / (w @ h) ** 2)) / (w.T @ (1 / (w @ h)))
            w = w * ((v / (w @ h) ** 2) @ h.T) / ((1 / (w @ h)) @ h.T)
    return w, h
