"""The canceller's job: learn from the partition that has just ended, and hand over what is due two partitions later.

`job` does it in the audio thread, for files; `jobs_forever` is the helper thread that does it beside, for devices.
"""

import numpy as np
from numba import carray, types

from rtsep_kernels.canceller import choice, handover, kalman, polarity, quarantine
from rtsep_kernels.canceller.guard import shares as guard
from rtsep_kernels.canceller.guard import twins
from rtsep_kernels.canceller.guard.record import GUARD
from rtsep_kernels.canceller.instant import mode as instant
from rtsep_kernels.canceller.instant.record import INSTANT
from rtsep_kernels.canceller.paths import doubt, drop_good, forget_memory, shrink
from rtsep_kernels.canceller.record import AS_INSTANT, AS_KNOWN, AS_LEARNT, CANCELLER, GROUPS, HISTORY, PATHS
from rtsep_kernels.canceller.refine import round as refine
from rtsep_kernels.canceller.refine.record import REFINE
from rtsep_kernels.plane import due
from rtsep_kernels.plane.jit import entry, kernel
from rtsep_kernels.plane.memory import flush_to_zero, restore_floats
from rtsep_kernels.plane.record import inner, link, number, record, view

_SLACK = 4   # blocks by which a job must be ahead of the overwriting of what it reads

JOB = record(
    canceller=link(CANCELLER),       # whose job it is
    paths=link(PATHS), kalman=link(kalman.KALMAN), handover=link(handover.HANDOVER),
    instant=link(INSTANT), guard=link(GUARD),
    quarantine=link(quarantine.QUARANTINE), polarity=link(polarity.POLARITY),
    choice=link(choice.CHOICE),      # or 0: all pairs are held
    refine=link(REFINE),             # or 0
    holding=number(start=0),         # 1: a mic is broken, nobody learns
    skipped=number(start=0), jobs=number(start=0),
)


@kernel
def _finish(c, t, g, m, wrote):
    """Say how each mic is cleaned, and that the job is done."""
    how = view(c, "how")[m % HISTORY]
    in_mode = view(t, "instant")
    anchored = view(g, "anchored")
    for i in range(c.channels):
        # Later stages compare powers: a soft twin they take for what is left of the loud one, and must leave alone.
        how[i] = AS_INSTANT if in_mode[i] or twins.is_soft(g, i) else AS_KNOWN if anchored[i] else AS_LEARNT
    view(c, "wrote")[m % HISTORY] = wrote
    due.finish(c.exchange, m + 1)


@kernel
def _choose(s, c, t, g, h, m):
    """Measure and choose pairs, and take those that leave a step further to zero."""
    w = inner(s, "paths")
    k = c.channels
    in_mode = view(t, "instant")
    held = view(w, "held")
    leaving = view(w, "leaving")
    w_re, w_im = view(w, "w_re"), view(w, "w_im")
    choice.work(h, c, m, view(inner(s, "kalman"), "y_power")[m % HISTORY], view(t, "x_re"), view(t, "x_im"),
                w_re[: w.tracked], w_im[: w.tracked], view(g, "freed"), in_mode)
    for i in range(k):
        for j in range(k):
            # A tap that is left behind when its mic leaves the instantaneous mode fades out as a whole path does.
            if held[i, j] == 0 and leaving[i, j] == 0 and in_mode[i] == 0 and w_re[0, i, j, 0] != np.float32(0):
                leaving[i, j] = h.fade_blocks + choice.FLUSH
            left = leaving[i, j] - choice.FLUSH
            if left > 0:
                shrink(w, i, j, np.float32(left - 1) / np.float32(left), 1 if in_mode[i] else 0)


@kernel
def _count_down(s, c, h, m):
    """After a hand-over, let those pairs go of which both versions are zero and in use."""
    w = inner(s, "paths")
    k = c.channels
    leaving = view(w, "leaving")
    active = view(inner(c, "filters"), "active")
    since = view(h, "since")
    for i in range(k):
        for j in range(k):
            if leaving[i, j] == 0:
                continue
            # Only jobs in a row hand over every group twice, and wait until the first of them is in use.
            if leaving[i, j] <= choice.FLUSH and m != h.last + 1:
                leaving[i, j] = choice.FLUSH
            leaving[i, j] -= 1
            if leaving[i, j]:
                continue
            active[i, j] = 0
            since[i, j] = m
            doubt(w, i, j, w.partitions)
            drop_good(w, i, j)
    h.last = m


@kernel
def _is_broken(s, c, t, g, m):
    """Tell whether nobody may learn from block m for a mic's sake; if not, or until that is sure, `instant` has."""
    q, p = inner(s, "quarantine"), inner(s, "polarity")
    s.holding = 1
    if quarantine.holds(q):
        return True
    instant.learn(t, c, m)
    if not polarity.observe(p, c, t, m):
        s.holding = 0
        return False
    alarm = p.alarm
    h = polarity.find(p)
    if h >= 0:
        polarity.flip(p, t, h)
        quarantine.take_back(q, m, 2 * alarm + polarity.BEFORE)
        guard.turn(g, h)
        if s.refine:
            refine.turn(inner(s, "refine"), h)
    return True


@kernel
def _adapt(s, c, m):
    """Learn from block m and hand over; True if it was learnt from."""
    a, o = inner(s, "kalman"), inner(s, "handover")
    t, g, h = inner(s, "instant"), inner(s, "guard"), inner(s, "choice")
    kalman.observe(a, c, m)
    if due.read(c.exchange, due.PUBLISHED) - m > HISTORY - c.partitions - _SLACK:
        s.skipped += 1           # what this job would read is being overwritten
        quarantine.tell(inner(s, "quarantine"), c, m)
        _finish(c, t, g, m, 0)
        return False
    if due.read(c.exchange, due.RESTORE) and m - o.restored > handover.CALM:
        handover.restore(o, m)
        instant.forget(t)
        _forget_refinement(s)
        due.tell(c.exchange, due.RESTORE, 0)
    quarantine.observe(inner(s, "quarantine"), c, m)
    wanted = view(c, "wanted")[m % HISTORY]
    if wanted == 0 and o.renew == 0:
        _finish(c, t, g, m, 0)
        return False
    if wanted == 0:
        guard.hold(g, m)
    elif _is_broken(s, c, t, g, m):
        guard.hold(g, m)
        polarity.go_dry(inner(s, "polarity"), c, m)
    else:
        guard.observe(g, c, t, m)
        kalman.learn(a, c, t, g, h, inner(s, "quarantine"), s.choice, m)
        if s.choice:
            _choose(s, c, t, g, h, m)
    handover.hand_over(o, c, t, m)
    if s.choice:
        _count_down(s, c, h, m)
    handover.keep_next_good(o, m)
    s.jobs += 1
    _finish(c, t, g, m, 1)
    return wanted != 0


@kernel
def _forget_refinement(s):
    """Know nothing that the refinement has said."""
    forget_memory(inner(s, "paths"))
    if s.refine:
        refine.forget(inner(s, "refine"))


@kernel
def _job(s, c, m):
    """Adapt first, as that is due soon; then do a share of the refinement, which hands over whenever it is done."""
    learnt = _adapt(s, c, m)
    if s.refine == 0:
        return
    r = inner(s, "refine")
    if learnt:
        refine.take(r, c, m, s.holding)
        if refine.work(r):
            inner(s, "paths").renew_far = 2 * GROUPS
    else:
        refine.forget(r)


@entry(types.int32(types.CPointer(JOB.type), types.int64))
def job(state, m):
    """Learn from partition `m`."""
    s = carray(state, (1,))[0]
    _job(s, inner(s, "canceller"), m)
    return 0


@entry(types.int32(types.CPointer(JOB.type), types.int64))
def export(state, v):
    """Export every partition to version `v`: before the start, and never while audio runs."""
    s = carray(state, (1,))[0]
    handover.hand_over_all(inner(s, "handover"), inner(s, "canceller"), v)
    return 0


@entry(types.int32(types.CPointer(JOB.type), types.int64))
def jobs_forever(state, _argument):
    """Be the helper thread: one job for each partition published, until told to stop."""
    floats = flush_to_zero()
    s = carray(state, (1,))[0]
    c = inner(s, "canceller")
    m = due.read(c.exchange, due.DONE)
    while due.read(c.exchange, due.STOP) == 0:
        if due.wait_for(c.exchange, due.PUBLISHED, m + 1):
            _job(s, c, m)
            m += 1
    restore_floats(floats)
    return 0
