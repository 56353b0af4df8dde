"""Slow twins of the kernels of sections 4.4 to 4.6, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

UNEXPLAINED = 1e-3


def nae_masks(magnitudes: Float, encoder: Float, decoder: Float, owner: list[int], parts: int, may: Float) -> Float:
    """Return the masks [parts, frames, bins]: of V = decoder (encoder V, rectified, where it may sound)."""
    masks = np.zeros((parts, *magnitudes.shape))
    for n, frame in enumerate(magnitudes):
        shares = [
            decoder[c] * max(sum(encoder[c] * frame), 0.0) * may[n, c] for c in range(len(encoder))
        ]
        spare = UNEXPLAINED * frame + 1e-20
        for part in range(parts):
            own = sum((s for s, o in zip(shares, owner, strict=True) if o == part), np.zeros(frame.size))
            masks[part, n] = (own + spare / parts) / (sum(shares) + spare)
    return masks


def drum_masks(magnitudes: Float, templates: Float, sweeps: int) -> Float:
    """Return the masks [parts, frames, bins] with the activations of the last frames found again at each."""
    parts, depth, bins = templates.shape
    frames = len(magnitudes)
    hits = np.zeros((frames, parts))
    masks = np.zeros((parts, frames, bins))

    def model(n: int, part: int) -> Float:
        return sum(
            (templates[part, t] * hits[n - t, part] for t in range(depth) if n - t >= 0), np.zeros(bins)
        )

    for now in range(frames):
        hits[now] = magnitudes[now].sum() / parts
        recent = range(max(0, now - depth + 1), now + 1)
        for _ in range(sweeps):
            ratio = {n: magnitudes[n] / (sum(model(n, r) for r in range(parts)) + 1e-20) for n in recent}
            new = hits.copy()
            for n in recent:
                for r in range(parts):
                    heard = range(n, now + 1)
                    pull = sum((templates[r, m - n] * ratio[m]).sum() for m in heard)
                    new[n, r] *= pull / (sum(templates[r, m - n].sum() for m in heard) + 1e-20)
            hits = new
        models = [model(now, r) for r in range(parts)]
        spare = UNEXPLAINED * magnitudes[now] + 1e-20
        for r in range(parts):
            masks[r, now] = (models[r] + spare / parts) / (sum(models) + spare)
    return masks


def deconvolution(magnitudes: Float, may: NDArray[np.bool_], depth: int, iterations: int) -> tuple[Float, Float]:
    """Return templates [parts, depth, bins] and activations [frames, parts], one sum at a time."""
    frames, bins = magnitudes.shape
    parts = may.shape[1]
    templates = np.full((parts, depth, bins), 1 / (depth * bins))
    hits = may * magnitudes.mean() * bins
    places = [(r, t, n) for r in range(parts) for t in range(depth) for n in range(frames - t)]
    for _ in range(iterations):
        ratio = magnitudes / (deconvolved(hits, templates) + 1e-12)
        wanted, made = np.zeros_like(templates), np.zeros((parts, depth, 1))
        for r, t, n in places:
            wanted[r, t] += hits[n, r] * ratio[n + t]
            made[r, t] += hits[n, r]
        templates = templates * wanted / (made + 1e-12)
        for r in range(parts):
            total = templates[r].sum()
            templates[r] /= total
            hits[:, r] *= total
        ratio = magnitudes / (deconvolved(hits, templates) + 1e-12)
        up, down = np.zeros_like(hits), np.zeros_like(hits)
        for r, t, n in places:
            up[n, r] += (templates[r, t] * ratio[n + t]).sum()
            down[n, r] += templates[r, t].sum()
        hits = hits * up / (down + 1e-12)
    return templates, hits


def deconvolved(activations: Float, templates: Float) -> Float:
    """Return the sum over parts and t of templates[part, t] activations[n - t, part]."""
    frames, parts = activations.shape
    total = np.zeros((frames, templates.shape[2]))
    for n in range(frames):
        for r in range(parts):
            for t in range(templates.shape[1]):
                if n - t >= 0:
                    total[n] += activations[n - t, r] * templates[r, t]
    return total
