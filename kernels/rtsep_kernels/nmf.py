"""Factorisation with known templates: how strongly each sounds in one frame, by multiplicative updates."""

import numpy as np
from numba import carray, types

from rtsep_kernels.masking import HEAD, kept_part, settle, system_entry
from rtsep_kernels.plane.jit import kernel, signed
from rtsep_kernels.plane.memory import fma
from rtsep_kernels.plane.record import array, f4, given, number, record, scratch, view

EUCLIDEAN, KULLBACK_LEIBLER, ITAKURA_SAITO = 0, 1, 2

NMF = record(
    **HEAD,
    keep=given(f4, "channels"),                             # target: number of the part that is heard
    rank=number(), parts=number(), divergence=number(), iterations=number(),
    templates=array(f4, "rank", "bins"),                    # each adds up to 1
    columns=array(f4, "bins", "rank"),                      # the same, for the other product
    gram=array(f4, "rank", "rank"),                         # templates times templates
    members=array(f4, "rank"),                              # the part of each template
    strengths=scratch(f4, 3, "rank"), work=scratch(f4, 3, "bins"), mask=scratch(f4, "row"),
)

FLOOR = np.float32(1e-5)
"""Added to every bin, as a share of the frame's mean: silence in a bin must not decide."""

SILENCE = np.float32(1e-15)
"""A frame with a smaller mean is shared out evenly."""

VANISHED = np.float32(1e-20)
"""A weaker template is off: denormal numbers would cost time."""


@kernel
def levels(power, divergence, out):
    """Write what is factorised, float32[bins], scaled to a mean of 1: magnitude, or power for Itakura-Saito.

    Returns False if the frame is silent.
    """
    total = np.float32(0)
    for b in range(out.shape[0]):
        out[b] = power[b] if divergence == ITAKURA_SAITO else np.sqrt(power[b])
        total += out[b]
    mean = total / np.float32(out.shape[0])
    if not mean > SILENCE:
        return False
    for b in range(out.shape[0]):
        out[b] = out[b] / mean + FLOOR
    return True


@kernel
def _model(templates, strengths, out):
    """Write the spectrum that the templates make together."""
    out[:] = FLOOR
    for r in range(templates.shape[0]):
        if strengths[r] > 0:
            for b in range(out.shape[0]):
                out[b] = fma(strengths[r], templates[r, b], out[b])


@kernel
def _project(columns, values, out):
    """Write the product of each template with a spectrum."""
    out[:] = np.float32(0)
    for b in range(values.shape[0]):
        for r in range(out.shape[0]):
            out[r] = fma(columns[b, r], values[b], out[r])


@kernel
def activate(wanted, templates, columns, gram, divergence, iterations, strengths, work):
    """Write how strongly each template sounds: updates of H of Lee & Seung (NIPS 2000), from a flat start.

    Parameters
    ----------
    wanted : float32[bins]
    templates, columns, gram
        As in `NMF`.
    divergence, iterations : int64
    strengths : float32[3, rank]
        Row 0 is written; the others are scratch.
    work : float32[2, bins]
    """
    h, above, below = strengths[0], strengths[1], strengths[2]
    model, ratio = work[0], work[1]
    h[:] = np.float32(1)
    below[:] = np.float32(1)             # Kullback-Leibler: the templates' sums
    if divergence == EUCLIDEAN:
        _project(columns, wanted, above)
    for _ in range(iterations):
        if divergence == EUCLIDEAN:
            _project(gram, h, below)
        else:
            _model(templates, h, model)
            if divergence == ITAKURA_SAITO:
                for b in range(wanted.shape[0]):
                    ratio[b] = np.float32(1) / model[b]
                _project(columns, ratio, below)
                for b in range(wanted.shape[0]):
                    ratio[b] *= wanted[b] * ratio[b]
            else:
                for b in range(wanted.shape[0]):
                    ratio[b] = wanted[b] / model[b]
            _project(columns, ratio, above)
        for r in range(h.shape[0]):
            h[r] = h[r] * above[r] / below[r] if below[r] > 0 else np.float32(0)
            if h[r] < VANISHED:
                h[r] = np.float32(0)


@kernel
def share(templates, strengths, members, parts, which, work, mask):
    """Write the share of one part in each bin, 0 to 1; the shares of all `parts` add up to 1, a further one has 0.

    Parameters
    ----------
    templates : float32[rank, bins]
    strengths, members : float32[rank]
    parts, which : int64
    work : float32[2, bins]
    mask : float32[at least bins]
    """
    if which >= parts:
        mask[:] = np.float32(0)
        return
    own, everyone = work[0], work[1]
    own[:] = FLOOR / np.float32(parts)
    everyone[:] = FLOOR
    for r in range(templates.shape[0]):
        if strengths[r] > 0:
            for b in range(own.shape[0]):
                everyone[b] = fma(strengths[r], templates[r, b], everyone[b])
            if members[r] == which:
                for b in range(own.shape[0]):
                    own[b] = fma(strengths[r], templates[r, b], own[b])
    for b in range(own.shape[0]):
        mask[b] = min(np.float32(1), own[b] / everyone[b])


_MATRIX = types.float32[:, ::1]


@signed(types.void(_MATRIX, _MATRIX, _MATRIX, _MATRIX, types.int64, types.int64, _MATRIX))
def activations(power, templates, columns, gram, divergence, iterations, out):
    """Write `activate` of every row of float32[frames, bins] into float32[frames, rank]; a silent frame's are 0."""
    rank, bins = templates.shape
    work, strengths = np.empty((3, bins), np.float32), np.empty((3, rank), np.float32)
    for n in range(power.shape[0]):
        if levels(power[n], divergence, work[0]):
            activate(work[0], templates, columns, gram, divergence, iterations, strengths, work[1:])
            out[n] = strengths[0]
        else:
            out[n] = np.float32(0)


@signed(types.void(_MATRIX, _MATRIX, types.float32[::1], types.int64, types.int64, _MATRIX))
def shares(templates, strengths, members, parts, which, mask):
    """Write `share` of every frame, float32[frames, rank] to float32[frames, bins]."""
    work = np.empty((2, templates.shape[1]), np.float32)
    for n in range(mask.shape[0]):
        share(templates, strengths[n], members, parts, which, work, mask[n])


def _for_both(make):
    """Return signatures for float32 and float64."""
    return [make(kind[:, ::1], kind) for kind in (types.float32, types.float64)]


@signed(_for_both(lambda matrix, number: types.void(matrix, matrix, matrix, number)))
def step(factor, above, below, tiny):
    """Multiply a factor by above / below; where there is nothing to divide by, leave it; below `tiny` it becomes 0."""
    for i in range(factor.shape[0]):
        for j in range(factor.shape[1]):
            divisor = below[i, j]
            moved = factor[i, j] * (above[i, j] / (divisor if divisor > 0 else tiny))
            moved = moved if divisor > 0 else factor[i, j]
            factor[i, j] = moved if moved >= tiny else factor[i, j] * 0


@signed(_for_both(lambda matrix, number: types.void(matrix, matrix, number)))
def divide(wanted, model, floor):
    """Write wanted / model over the model: what Kullback-Leibler compares."""
    for i in range(model.shape[0]):
        for j in range(model.shape[1]):
            model[i, j] = wanted[i, j] / (model[i, j] + floor)


@signed(_for_both(lambda matrix, number: types.void(matrix, matrix, matrix, number)))
def divide_twice(wanted, model, ratio, floor):
    """Write 1 / model over the model and wanted / model² into `ratio`: what Itakura-Saito compares."""
    for i in range(model.shape[0]):
        for j in range(model.shape[1]):
            inverse = 1 / (model[i, j] + floor)
            model[i, j] = inverse
            ratio[i, j] = wanted[i, j] * inverse * inverse


@system_entry(NMF)
def nmf(state, mic):
    """Write the gains of one mic."""
    s = carray(state, (1,))[0]
    templates, strengths, work, mask = view(s, "templates"), view(s, "strengths"), view(s, "work"), view(s, "mask")
    if levels(view(s, "power")[mic], s.divergence, work[0]):
        activate(work[0], templates, view(s, "columns"), view(s, "gram"), s.divergence, s.iterations, strengths,
                 work[1:])
    else:
        strengths[0] = np.float32(0)
    share(templates, strengths[0], view(s, "members"), s.parts, kept_part(s, mic), work[1:], mask)
    settle(s, mic, mask)
    return 0
