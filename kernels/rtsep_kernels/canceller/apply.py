"""Apply the canceller: y_i = x_i - sum over j != i of a_ij * y_j, with no added delay.

Each path a_ij of `taps` samples is cut by age, so that nothing that is needed now has to be waited for and the
work of every 64-sample segment is about the same:

    tap 0            solved exactly: y = inverse(I + A0) r
    taps 1..63       added to the samples to come as soon as y is known ("pending")
    taps 64..1023    partitions of 64, spectra of 128 points, at the start of each segment
    taps 1024..      partitions of 512, spectra of 1024 points, made ready during the block before

Everything is added to the future in an order that depends on the 64-sample grid alone: a host's block length
cannot change a bit. Offsets are masked (``& (SEGMENT - 1)``) where the compiler cannot see that they are not
negative: numba would look for negative indices in every turn of the inner loops, which then do not vectorise.

Filters exist in two versions per group of partitions; `handover` writes the idle one, and this file flips them at the
sample where they are due (see `_apply_due`). In the block that begins there both are used: what changes comes in by
`fades`, and only then the one before is idle.

Where there are too many mics for all pairs (see `choice`), only those in `active` are summed. The filters of the
others are zero in both versions, so that it changes no bit in which block a pair is taken off the list or put on it.
"""

import numpy as np
from numba import carray

from rtsep_kernels.canceller import dead, sparing
from rtsep_kernels.canceller.fades import rising
from rtsep_kernels.canceller.record import (
    AS_INSTANT,
    AS_LEARNT,
    BLOCK,
    CANCELLER,
    DUE,
    GROUPS,
    HISTORY,
    SEGMENT,
    SEGMENTS,
)
from rtsep_kernels.canceller.sums import HISTORY_MASK, far_share, far_spectra, list_pairs, near_spectra, near_sums, push
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane import due, ramp
from rtsep_kernels.plane.jit import inlined, kernel, stage_entry
from rtsep_kernels.plane.memory import call_job, fma
from rtsep_kernels.plane.record import flat, inner, view

INSTANT_DOUBT = np.float32(1e-3)   # bleed left in instantaneous mode, beside that of paths through a room
KNOWN_DOUBT = np.float32(0.25)   # with the paths of a soundcheck, as long as nothing has moved
EXPLODED = np.float32(4)   # times louder than the loudest mic of late: no sum of bleed is, an unstable loop soon is
FAINTEST = np.float32(1e-4)   # -80 dBFS: below it nothing has exploded


@kernel
def _clear_history(s):
    """Forget every sample heard; keep the filters."""
    zero = np.float32(0)
    fill(flat(s, "pending"), zero)
    fill(flat(s, "history"), zero)
    fill(flat(s, "heard"), zero)
    fill(flat(s, "filled"), zero)
    fill(flat(s, "own"), zero)
    fill(flat(s, "near_re"), zero)
    fill(flat(s, "near_im"), zero)
    fill(flat(s, "far_re"), zero)
    fill(flat(s, "far_im"), zero)
    fill(flat(s, "near_tail"), zero)
    fill(flat(s, "far_tail"), zero)
    sparing.clear(inner(s, "sparing"))


@kernel
def _apply_due(s, block):
    """At the start of `block`, take into use what was learnt from partition ``block - 1 - DUE`` and before."""
    f = inner(s, "filters")
    versions, fading = view(f, "versions"), view(f, "fading")
    share = view(f, "share")
    wrote = view(s, "wrote")
    shares = view(s, "shares")
    doubt = view(s, "doubt")
    first, end = due.take(s.exchange, block - DUE)
    for m in range(first, end):
        dead.shut_out(s, m)
        if wrote[m % HISTORY]:
            versions[m % GROUPS] ^= 1
            fading[m % GROUPS] = 1
            how = view(s, "how")[m % HISTORY]
            for c in range(s.channels):
                share[c] = shares[m % HISTORY, c]
                doubt[c] = np.float32(1) if how[c] == AS_LEARNT else (
                    INSTANT_DOUBT if how[c] == AS_INSTANT else KNOWN_DOUBT)
    s.taken = end


@kernel
def _end_fades(s):
    """When a block has ended in which filters changed: those before are idle, and the helper may write to them."""
    dead.forget(s)
    if s.follows == 0:
        fill(view(inner(s, "filters"), "fading"), 0)
        due.applied(s.exchange, s.taken)


@kernel
def _start_block(s, block):
    """Every 512 samples: spectra of what was heard, new filters, the next adaptation job."""
    k = s.channels
    _end_fades(s)
    far_spectra(s, block - 1)
    dead.note_usual(s, block - 1)
    power, concealed = view(s, "power")[block % HISTORY], view(s, "concealed")[block % HISTORY]
    for c in range(k):
        power[0, c] = np.float32(0)
        power[1, c] = np.float32(0)
        concealed[c] = 0
    view(s, "missing")[block % HISTORY] = 0
    if s.follows:
        return
    _apply_due(s, block)
    wanted = view(s, "wanted")
    wanted[(block - 1) % HISTORY] = 1 if view(s, "adapt")[0] > np.float32(0.5) else 0
    due.publish(s.exchange, block)
    if s.inline:
        call_job(s.job, s.job_state, block - 1)


@inlined
def _far_sums(s):
    """Return the rows in which a list's far sums grow; `s` has the list."""
    return (view(s, "far_sum_re"), view(s, "far_sum_im"), view(s, "far_gone_re"), view(s, "far_gone_im"),
            view(s, "far_fades"))


@kernel
def _sum(s, segment, within):
    """Sum what is known of the samples to come, of this segment and of the next block."""
    p = inner(s, "sparing")
    block = segment // SEGMENTS
    first, heard_from = view(s, "first"), view(s, "heard_from")
    near_spectra(s, segment)
    if within == 0:
        sparing.start_block(p)
        list_pairs(s, sparing.SUMMED, first, heard_from)
        if p.steps:
            list_pairs(s, sparing.APART, view(p, "first"), view(p, "heard_from"))
    else:
        # The sums of the next block use the spectra that `_start_block` has just made, and may take all of this one.
        far_share(s, block, within - 1, first, heard_from, _far_sums(s), view(s, "far_tail"))
    near_sums(s, segment, first, heard_from, view(s, "near_tail"))
    if p.steps == 0:
        return
    first, heard_from = view(p, "first"), view(p, "heard_from")
    if within > 0:
        far_share(s, block, within - 1, first, heard_from, _far_sums(p), view(p, "far_tail"))
    near_sums(s, segment, first, heard_from, view(p, "near_tail"))


@kernel
def _shift(pending):
    """Go a segment on in what is to be subtracted."""
    for c in range(pending.shape[0]):
        for n in range(SEGMENT):
            pending[c, n] = pending[c, SEGMENT + n]
            pending[c, SEGMENT + n] = np.float32(0)


@kernel
def _start_segment(s):
    """Every 64 samples: sum what is known of them before they come, and move the ramps on."""
    k = s.channels
    if s.clear:
        _clear_history(s)
        s.clear = 0
    segment = s.position // SEGMENT
    within = segment % SEGMENTS
    if within == 0 and segment > 0:
        _start_block(s, segment // SEGMENTS)
    _sum(s, segment, within)
    s.loudest *= s.loudness_kept
    _shift(view(s, "pending"))
    if inner(s, "sparing").steps:   # else nothing is in it
        _shift(view(inner(s, "sparing"), "pending"))
    amounts = view(s, "amounts")
    amount = view(s, "amount")
    share = view(inner(s, "filters"), "share")
    for c in range(k):
        if s.fallen:
            ramp.settle(amounts[c], np.float32(0))   # it is dry, and what was heard is forgotten
        ramp.advance(amounts[c], amount[c] * share[c], s.ramp_segments)
    s.fallen = 0


@kernel
def _known_part(s, given, remainder, limits, offset, frames):
    """Take away what was known before these samples, and note how loud each may become."""
    k = s.channels
    near = view(s, "near_tail")
    far = view(s, "far_tail")[(s.position // BLOCK) & 1]
    within = s.position & (BLOCK - 1)
    for n in range(frames):
        limits[n] = np.float32(0)
    for i in range(k):
        for n in range(frames):
            limits[n] = max(limits[n], abs(given[i, n]))
            remainder[i, n] = given[i, n] - far[i, within + n] - near[i, offset + n]
    loudest = s.loudest
    for n in range(frames):
        loudest = max(loudest, limits[n])
        limits[n] = EXPLODED * loudest + FAINTEST
    s.loudest = loudest


@kernel
def _known_apart(s, remainder, offset, frames):
    """Take away what is known of the pairs that are leaving or coming in, as far as they are there."""
    p = inner(s, "sparing")
    near = view(p, "near_tail")
    far = view(p, "far_tail")[(s.position // BLOCK) & 1]
    within = s.position & (BLOCK - 1)
    for n in range(frames):
        weight = sparing.weight(p, within + n)
        for i in range(s.channels):
            remainder[i, n] -= weight * (far[i, within + n] + near[i, offset + n])


@kernel
def _fall_back(s, given, y, n):
    """Give one sample dry, and have history and filters renewed: the loop feeds itself."""
    s.exploded += 1
    s.clear = 1
    s.fallen = 1
    if s.follows == 0:
        due.tell(s.exchange, due.RESTORE, 1)
    kept = view(s, "kept")
    for i in range(s.channels):
        y[i] = kept[i, n] = given[i, n]


@kernel
def _blend(s, version, new):
    """Write the inverse between both versions: `new` of the one in use, and the rest of the other one."""
    inverse, blend = view(inner(s, "filters"), "inverse"), view(s, "blend")
    for j in range(s.channels):
        for i in range(s.channels):
            before = inverse[1 - version, j, i]
            blend[j, i] = before + (inverse[version, j, i] - before) * new


@kernel
def _push_both(s, pending, version, new, y, start, first, heard_from):
    """As `push`; the sample is shared between both versions of the taps."""
    taps, shared = view(inner(s, "filters"), "head"), view(s, "shared")
    for i in range(s.channels):
        shared[i] = y[i] - y[i] * new
    push(pending, taps[1 - version], s.channels, shared, start, first, heard_from)
    for i in range(s.channels):
        shared[i] = y[i] * new
    push(pending, taps[version], s.channels, shared, start, first, heard_from)


@kernel
def _recursion(s, given, remainder, limits, cleaned, offset, frames, deaths):
    """Sample by sample: subtract what is pending, solve tap 0, add the next 63 taps to what is pending.

    Returns the first sample that is dry as the loop fed itself, `frames` if there is none: the rest is dry, too.
    """
    k = s.channels
    f = inner(s, "filters")
    version = view(f, "versions")[0]
    taps = view(f, "head")[version]
    pending = view(s, "pending")
    y = view(s, "row")
    first, heard_from = view(s, "first"), view(s, "heard_from")
    p = inner(s, "sparing")
    apart = view(p, "pending")
    within = s.position & (BLOCK - 1)
    fades = view(f, "fading")[0] and within < SEGMENT
    inverse = view(s, "blend") if fades else view(f, "inverse")[version]
    dry_from = 0 if s.fallen else frames
    for n in range(frames):
        new = np.float32(1)
        if fades:
            new = rising((np.float32(offset + n) + np.float32(0.5)) * np.float32(1 / SEGMENT))
            _blend(s, version, new)
        for i in range(k):
            y[i] = np.float32(0)
        weight = sparing.weight(p, within + n) if p.steps else np.float32(0)
        for j in range(k):
            r = remainder[j, n] - pending[j, offset + n]
            if p.steps:
                r -= weight * apart[j, offset + n]
            for i in range(k):
                y[i] = fma(inverse[j, i], r, y[i])
        if deaths:
            dead.conceal(s, given, inverse, y, n)
        loudest = np.float32(0)
        for i in range(k):
            loudest = max(loudest, abs(y[i]))
            if not np.isfinite(y[i]):
                loudest = np.float32(np.inf)
        if s.fallen or loudest > limits[n]:
            _fall_back(s, given, y, n)
            dry_from = min(dry_from, n)
        for i in range(k):
            cleaned[i, n] = y[i]
        if fades:
            _push_both(s, pending, version, new, y, offset + n + 1, first, heard_from)
        else:
            push(pending, taps, k, y, offset + n + 1, first, heard_from)
        if p.steps and fades:
            _push_both(s, apart, version, new, y, offset + n + 1, view(p, "first"), view(p, "heard_from"))
        elif p.steps:
            push(apart, taps, k, y, offset + n + 1, view(p, "first"), view(p, "heard_from"))
    return dry_from


@kernel
def _declick(s, given, target, dry_from, fell):
    """Lead over to dry samples: what was last taken from one fades out within 64."""
    last, declick = view(s, "last"), view(s, "declick")
    frames = target.shape[1]
    first = 0
    if fell:
        first = dry_from
        for i in range(s.channels):
            declick[i] = target[i, first - 1] - given[i, first - 1] if first > 0 else last[i]
        s.declick_left = SEGMENT
    count = min(frames - first, s.declick_left)
    for i in range(s.channels):
        for n in range(count):
            target[i, first + n] += declick[i] * (np.float32(s.declick_left - n) * np.float32(1 / SEGMENT))
    s.declick_left -= count


@stage_entry(CANCELLER)
def canceller(state, x, out, frames):
    """Subtract what the other microphones' own sounds make of themselves in each microphone."""
    s = carray(state, (1,))[0]
    if frames == 0:
        s.clear = 1
        return 0
    k = s.channels
    offset = s.position & (SEGMENT - 1)
    if offset == 0:
        _start_segment(s)
    given = carray(x, (k, frames))
    target = carray(out, (k, frames))
    remainder = view(s, "remainder")
    cleaned = view(s, "cleaned")
    limits = view(s, "limits")
    _known_part(s, given, remainder, limits, offset, frames)
    if inner(s, "sparing").steps:
        _known_apart(s, remainder, offset, frames)
    deaths = 0 if s.follows else dead.find(s, given, frames)
    fallen = s.fallen
    dry_from = _recursion(s, given, remainder, limits, cleaned, offset, frames, deaths)
    history = view(s, "history")
    heard, filled = view(s, "heard"), view(s, "filled")
    fills, kept, states, own = view(s, "fills"), view(s, "kept"), view(s, "dead"), view(s, "own")
    place = s.position & HISTORY_MASK
    amounts = view(s, "amounts")
    power = view(s, "power")[(s.position // BLOCK) % HISTORY]
    for i in range(k):
        before = power[0, i]
        after = power[1, i]
        for n in range(frames):
            v = given[i, n]
            y = cleaned[i, n]
            history[i, place + n] = y
            heard[i, place + n] = v
            filled[i, place + n] = v + fills[i, n] if deaths else v
            if deaths and states[i, n] != dead.ALIVE:
                y = kept[i, n]
            own[i, place + n] = y
            before += v * v
            after += y * y
            share = ramp.value(amounts[i], offset + n)
            target[i, n] = y if share == np.float32(1) else v + (y - v) * share
        power[0, i] = before
        power[1, i] = after
    if s.fallen or s.declick_left:
        _declick(s, given, target, dry_from, s.fallen and not fallen)
    last = view(s, "last")
    for i in range(k):
        last[i] = target[i, frames - 1] - given[i, frames - 1]
    s.position += frames
    return 0
