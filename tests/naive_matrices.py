"""Slow and obvious twins of the kernels of mixtures by gains and of AuxIVA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


def orthonormal(w: Real) -> Real:
    """(w wᵀ)^-1/2 w."""
    u, _, v = np.linalg.svd(w)
    return np.asarray(u @ v)


def fastica_window(x: Real, own: Real, steps: int) -> Real:
    """Unmix one window, x[k, n], starting from the unmixing `own`; returns the inverse of Λ."""
    z = x - x.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(z, bias=True))
    whitening = vectors.T / np.sqrt(values)[:, None]
    z = whitening @ z
    w = own @ np.linalg.inv(whitening)
    w = orthonormal(w / np.linalg.norm(w, axis=1, keepdims=True))
    for _ in range(steps):
        g = np.tanh(w @ z)
        new = orthonormal(g @ z.T / z.shape[1] - np.mean(1 - g * g, axis=1)[:, None] * w)
        moved = np.max(np.abs(np.abs(np.sum(new * w, axis=1)) - 1))
        w = new
        if moved <= 1e-5:
            break
    mixing = np.linalg.inv(w @ whitening)
    share = np.abs(mixing) / np.abs(mixing).sum(axis=0)
    mixing = mixing[:, linear_sum_assignment(-np.log(share))[1]]
    return np.asarray(np.linalg.inv(mixing / np.diag(mixing)))


def auxiva(spectra: Complex, memory: float, warm: int, loading: float, alike: float) -> Complex:
    """Online AuxIVA of spectra[k, frames, bins], none of them quiet, bin by bin and product by product."""
    k, frames, bins = spectra.shape
    covariance = np.zeros((bins, k, k, k), complex)   # [bin, source]
    unmixing = np.tile(np.eye(k, dtype=complex), (bins, 1, 1))
    cross, power = np.zeros((bins, k), complex), np.zeros((bins, k))
    out = np.zeros_like(spectra)
    for n in range(frames):
        x = spectra[:, n].T   # [bin, mic]
        old = min(memory, n / (n + 1))
        y = np.array([unmixing[b] @ x[b] for b in range(bins)])
        loud = np.sqrt(np.sum(np.abs(y) ** 2, axis=0))
        level = np.mean(np.abs(x) ** 2)
        for b in range(bins):
            for m in range(k):
                sample = np.outer(x[b], x[b].conj()) + loading * level * np.eye(k) + alike * np.diag(np.abs(x[b]) ** 2)
                covariance[b, m] = old * covariance[b, m] + (1 - old) / loud[m] * sample
            for s in range(k) if n + 1 > warm else ():
                ws = unmixing[b, s].copy()
                v = np.zeros(k, complex)
                for m in range(k):
                    own = (ws @ covariance[b, m] @ ws.conj()).real
                    v[m] = 1 - own**-0.5 if m == s else unmixing[b, m] @ covariance[b, m] @ ws.conj() / own
                gain = 1 - v[s].real
                unmixing[b] -= np.outer(v, ws)
                cross[b, s] *= gain
                power[b, s] *= gain**2
            y_now = unmixing[b] @ x[b]
            cross[b] = old * cross[b] + (1 - old) * x[b] * y_now.conj()
            power[b] = old * power[b] + (1 - old) * np.abs(y_now) ** 2
            out[:, n, b] = cross[b] / power[b] * y_now
    return out
