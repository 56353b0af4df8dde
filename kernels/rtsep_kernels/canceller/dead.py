"""Dead microphones: muted, gated, unplugged, or broken, so that their samples are exactly 0.

Such a mic says nothing of bleed: to subtract from it would play what it does not hear, and to learn from its silence
would unlearn every path to it. While it is dead it is taken to hear just what the paths predict: its cleaned sound is
0, no path to it is learnt (`kalman`), and the refinement, which looks at the last seconds as a whole, gets the
prediction in place of the zeros. When it lives again everything goes on where it was.

Meanwhile its player is not taken out of the other mics: what they pass on as their own is his, too, and would teach
them all wrong paths. So nobody learns until that has left the paths' memory, or the mic has been dead for long.
A mic that has never lived, as one that is plugged in later, is dead, too, but nobody waits for it.

A gate closes when its player rests, and then the others go on learning: nothing of him is in their mics.

Who is shut out (see `quarantine`) is treated alike, but for what goes out: that is his sound as it is cleaned.

Neither comes nor ends at once: within 64 samples less and less is subtracted from who dies, and less and less is told
of who is shut out; and back. So nobody hears a step, and a mic's own first sound is there with its first sample.
"""

import numpy as np

from rtsep_kernels.canceller.fades import rising
from rtsep_kernels.canceller.record import BLOCK, HISTORY, NEAR
from rtsep_kernels.maths.vectors import fill
from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.record import view

# Zeros in a row: 1.3 ms at 48 kHz. Converters that are on give some noise, and waves of 16 bits cross 0 in one sample.
LEAST = 64
# And of who has never lived: in a hall without any noise the first note takes some ms from one mic to the next.
FIRST = 128
# Samples, 11 s at 48 kHz: who is dead for longer is out of the show, and the others learn again.
LONGEST = 1 << 19
ALIVE, DEAD, SHUT_OUT, COMES_BACK = 0, 1, 2, 3
# Of who dies or comes back, or is shut out or let in, in a sample: nobody jumps, he is there or gone after 64.
STEP = np.float32(1 / 64)
# Blocks before its death, 85 ms at 48 kHz: a gate's release is longer, a mute's ramp shorter.
_BEFORE = 8
_RESTING = np.float32(0.01)   # of the mic's usual power, 20 dB below it


@kernel
def _rested(s, i):
    """Tell whether mic i was far softer than usual of late."""
    powers = view(s, "power")
    block = s.position // BLOCK
    most = np.float32(0)
    for b in range(max(0, block - _BEFORE), block + 1):
        most = max(most, powers[b % HISTORY, 1, i])
    return most < _RESTING * view(s, "usual")[i]


@kernel
def note_usual(s, block):
    """Take a block that has ended into what is usual."""
    usual, powers, concealed = view(s, "usual"), view(s, "power"), view(s, "concealed")
    for i in range(s.channels):
        if concealed[block % HISTORY, i] == 0:
            usual[i] += (np.float32(1) - s.usual_kept) * (powers[block % HISTORY, 1, i] - usual[i])


@kernel
def find(s, given, frames):
    """Say of each sample whether its mic lives, and how far; returns how many are not just as they come.

    Counts those samples of the block, by mic, and those of mics that may soon be back.
    """
    dead, shut = view(s, "dead"), view(s, "shut")
    zeros, lived = view(s, "zeros"), view(s, "lived")
    alive, told = view(s, "alive"), view(s, "told")
    one = np.float32(1)
    count = 0
    for i in range(s.channels):
        run = most = zeros[i]
        sounds = False
        for n in range(frames):
            sounds |= given[i, n] != np.float32(0)
            run = 0 if given[i, n] != np.float32(0) else run + 1
            most = max(most, run)
        if most <= LEAST and shut[i] == 0 and alive[i] == one and told[i] == one:
            fill(dead[i], ALIVE)
            lived[i] |= sounds
            zeros[i] = run
        else:
            count += _find_one(s, given, frames, i)
    return count


@kernel
def _find_one(s, given, frames, i):
    """Do it for mic i."""
    dead, shut, lives = view(s, "dead"), view(s, "shut"), view(s, "lives")
    zeros, lived, rests = view(s, "zeros"), view(s, "lived"), view(s, "rests")
    alive, told = view(s, "alive"), view(s, "told")
    block = (s.position // BLOCK) % HISTORY
    concealed, missing = view(s, "concealed")[block], view(s, "missing")
    one = np.float32(1)
    count = 0
    run = zeros[i]
    for n in range(frames):
        if given[i, n] != np.float32(0):
            run = 0
            lived[i] = 1
        else:
            run += 1
        if run == LEAST + 1:
            rests[i] = lived[i] and _rested(s, i)
        gone = run > (LEAST if lived[i] else FIRST)
        dead[i, n] = ALIVE
        if not gone and shut[i] == 0 and alive[i] == one and told[i] == one:
            continue
        alive[i] = max(alive[i] - STEP, np.float32(0)) if gone else min(alive[i] + STEP, one)
        told[i] = max(told[i] - STEP, np.float32(0)) if shut[i] else min(told[i] + STEP, one)
        lives[0, i, n] = rising(alive[i])
        lives[1, i, n] = rising(told[i])
        dead[i, n] = DEAD if gone else SHUT_OUT if shut[i] else COMES_BACK
        concealed[i] += 1
        absent = lived[i] and run < LONGEST and not (rests[i] and run > LEAST)
        missing[block] += dead[i, n] != COMES_BACK and absent
        count += 1
    zeros[i] = run
    return count


@kernel
def conceal(s, given, inverse, y, n):
    """Take from each mic that is not just alive, and tell others of it, as much as it lives.

    What its mic would have heard more for that is kept: of who is dead all that would have made it silent.
    """
    k = s.channels
    dead, lives, fills = view(s, "dead"), view(s, "lives"), view(s, "fills")
    kept, heard = view(s, "kept"), view(s, "shared")
    for j in range(k):
        fills[j, n] = np.float32(0)
        if dead[j, n]:
            share = lives[0, j, n]
            kept[j, n] = y[j] if share == np.float32(1) else given[j, n] + (y[j] - given[j, n]) * share
            heard[j] = lives[1, j, n] * kept[j, n]
            fills[j, n] = (heard[j] - y[j]) / inverse[j, j]
            for i in range(k):
                y[i] += inverse[j, i] * fills[j, n]
    for j in range(k):
        if dead[j, n]:
            y[j] = heard[j]


@kernel
def shut_out(s, m):
    """From now on tell nobody of those whom job m has shut out; what they had before fades (see `sums`)."""
    shut, shuts, leaves = view(s, "shut"), view(s, "shuts")[m % HISTORY], view(s, "leaves")
    for j in range(s.channels):
        leaves[j] |= shuts[j] and not shut[j]
        shut[j] = shuts[j]


@kernel
def forget(s):
    """Forget, a block later, what those who were shut out then had before."""
    leaves = view(s, "leaves")
    zero = np.float32(0)
    for j in range(s.channels):
        if leaves[j]:
            fill(view(s, "history")[j], zero)
            for block in range(HISTORY):
                fill(view(s, "far_re")[block, j], zero)
                fill(view(s, "far_im")[block, j], zero)
            for part in range(NEAR):
                fill(view(s, "near_re")[part, j], zero)
                fill(view(s, "near_im")[part, j], zero)
        leaves[j] = 0


@kernel
def was(c, m, i):
    """Tell whether mic i was dead in block m or in the one before: both are in a partition's spectrum."""
    concealed = view(c, "concealed")
    return concealed[m % HISTORY, i] > 0 or concealed[(m - 1) % HISTORY, i] > 0


@kernel
def missed(c, m, partitions):
    """Tell whether somebody was missing in what `partitions` blocks up to m say of paths."""
    missing = view(c, "missing")
    count = 0
    for block in range(max(0, m - partitions), m + 1):
        count += missing[block % HISTORY]
    return count > 0
