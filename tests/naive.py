"""Slow and obviously right: a plain NumPy twin of every kernel, in float64, without any of its tricks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep_kernels.residual import BANDWIDTH_HZ, BIAS, WEIGHTS

Float = NDArray[np.float64]


def canceller(x: Float, paths: Float) -> Float:
    """y_i[t] = x_i[t] - sum over j != i and n of a_ij[n] y_j[t - n], tap 0 by solving the k equations."""
    k, frames = x.shape
    taps = paths.shape[-1]
    y = np.zeros((k, taps + frames))
    solve = np.linalg.inv(np.eye(k) + paths[..., 0])
    backwards = paths[..., :0:-1].reshape(k, -1)
    for t in range(frames):
        past = y[:, t + 1 : t + taps].reshape(-1)
        y[:, taps + t] = solve @ (x[:, t] - backwards @ past)
    return y[:, taps:]


def kalman(
    x: Float, y: Float, partitions: int, memory: float, drift: float, prior: Float
) -> list[NDArray[np.complex128]]:
    """Return the filters after each block of 512 of the cleaned signals y; a quarter is made causal in each."""
    k, frames = y.shape
    w = np.zeros((partitions, k, k, 513), complex)
    p = np.tile(prior[:partitions, None, None, None], (1, k, k, 513)).astype(float)
    smooth = np.zeros((k, 513))
    spectra: list[NDArray[np.complex128]] = []
    history = []
    padded = np.pad(y, ((0, 0), (512, 0)))
    for block in range(frames // 512):
        spectra.insert(0, np.fft.rfft(padded[:, block * 512 : block * 512 + 1024]))
        error = np.fft.rfft(np.pad(y[:, block * 512 : block * 512 + 512], ((0, 0), (512, 0))))
        for i in range(k):
            now = slice(max(block - 31, 0) * 512, block * 512 + 512)
            if np.sum(y[i, now] ** 2) > 2 * np.sum(x[i, now] ** 2) + 1e-6:
                w[:, i] *= 0.7
            power = np.abs(error[i]) ** 2
            smooth[i] = 0.6 * smooth[i] + 0.4 * power
            den = 3 * np.maximum(smooth[i], power) + 1e-10
            others = [j for j in range(k) if j != i]
            for q in range(min(partitions, len(spectra))):
                for j in others:
                    den = den + p[q, i, j] * np.abs(spectra[q][j]) ** 2
            for q in range(partitions):
                for j in others:
                    heard = spectra[q][j] if q < len(spectra) else np.zeros(513)
                    w[q, i, j] += p[q, i, j] * np.conj(heard) * error[i] / den
                    new = memory * (1 - 0.5 * p[q, i, j] * np.abs(heard) ** 2 / den) * p[q, i, j]
                    new += (1 - memory) * np.abs(w[q, i, j]) ** 2 + drift * prior[q]
                    p[q, i, j] = np.clip(new, 0, 10 * prior[q])
        for q in range(block % 4, partitions, 4):
            taps = np.fft.irfft(w[q])
            taps[..., 512:] = 0
            w[q] = np.fft.rfft(taps)
        history.append(w.copy())
    return history


def stft_gains(x: Float, first: Float, second: Float, hop: int, gains: Float) -> Float:
    """Multiply every frame's spectrum by fixed gains[channels, bins]; no latency, nothing at the edges."""
    analysis, synthesis = first.size, second.size
    k, frames = x.shape
    out = np.zeros((k, frames + analysis))
    padded = np.pad(x, ((0, 0), (analysis, analysis)))
    for end in range(0, frames + analysis, hop):
        piece = np.fft.irfft(np.fft.rfft(padded[:, end : end + analysis] * first) * gains, analysis)
        start = end - synthesis
        fresh = piece[:, analysis - synthesis :] * analysis * second
        if start < 0:
            fresh, start = fresh[:, -start:], 0
        out[:, start : start + fresh.shape[1]] += fresh
    return out[:, :frames]


def limiter(x: Float, release: float, ceiling: float) -> Float:
    """Instant attack, exponential release, never above the ceiling, untouched while never above."""
    gain = 1.0
    out = np.empty_like(x)
    for t, value in enumerate(x):
        allowed = ceiling / abs(value) if abs(value) > ceiling else 1.0
        if gain < 1:
            gain += (1 - gain) * release
            gain = 1.0 if gain > 0.9999 else gain
        gain = min(gain, allowed)
        out[t] = np.clip(value * gain, -ceiling, ceiling) if gain < 1 else value
    return out


def residual_gains(
    power: Float, frame: float, rate: int, quiet: float, silence: float, strength: float, floor: float, release: float
) -> Float:
    """Return the gains after all frames of power[frames, k, bins], `frame` seconds apart; opening is instant."""
    frames, k, bins = power.shape
    bias, (w_frame, w_short, w_long, w_wide, w_held, w_middle, w_slow) = float(BIAS), WEIGHTS.astype(float)
    held = np.zeros((k, bins))
    s20, s66, s150, s250 = (np.zeros((k, bins)) for _ in range(4))
    leak = np.full((k, k, bins), 1e-3)
    gains = np.ones((k, bins))
    reach = round(BANDWIDTH_HZ / 2 / (rate / (2 * (bins - 1))))
    for n in range(frames):
        audible = power[n] + silence
        held = np.maximum(audible, held * np.exp(-frame / 0.06))
        s20 = s20 + (audible - s20) * (1 - np.exp(-frame / 0.020))
        s66 = s66 + (audible - s66) * (1 - np.exp(-frame / 0.066))
        s150 = s150 + (audible - s150) * (1 - np.exp(-frame / 0.150))
        s250 = s250 + (audible - s250) * (1 - np.exp(-frame / 0.250))
        for i in range(k):
            others = [j for j in range(k) if j != i]
            for j in others:
                if (j + n + 1) % 4 == 0:
                    above = power[n, i] > leak[i, j] * held[j]
                    step = np.exp(4 * frame / 0.5 * np.where(above, 0.1, -0.9))
                    leak[i, j] = np.where(held[j] > quiet, np.minimum(leak[i, j] * step, 0.02), leak[i, j])
            bleed = 1e-3 * silence + np.sum(leak[i, others] * held[others], axis=0)
            wide = [
                np.log10(audible[i, near].sum() / bleed[near].sum())
                for near in (slice(max(b - reach, 0), b + reach + 1) for b in range(bins))
            ]
            odds = bias + w_frame * np.log10(audible[i] / bleed) + w_short * np.log10(s20[i] / bleed)
            odds += w_long * np.log10(s150[i] / bleed) + w_wide * np.array(wide)
            odds += w_held * np.log10(audible[i] / held[others].sum(axis=0))
            odds += w_middle * np.log10(s20[i] / s66[others].sum(axis=0))
            odds += w_slow * np.log10(s150[i] / s250[others].sum(axis=0))
            odds -= WEIGHTS.sum() * np.log10(strength)
            wanted = floor + (1 - floor) / (1 + np.exp(-odds))
            gains[i] += (wanted - gains[i]) * np.where(wanted > gains[i], 1.0, release)
    return gains
