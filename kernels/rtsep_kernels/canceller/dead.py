"""Dead microphones: muted, gated, unplugged, or broken, so that their samples are exactly 0, or nothing but dither.

Such a mic says nothing of bleed: to subtract from it would play what it does not hear, and to learn from its silence
would unlearn every path to it. While it is dead it is taken to hear just what the paths predict: its cleaned sound is
0, no path to it is learnt (`kalman`), and the refinement, which looks at the last seconds as a whole, gets the
prediction in place of the zeros. When it lives again everything goes on where it was.

Meanwhile its player is not taken out of the other mics: what they pass on as their own is his, too, and would teach
them all wrong paths. So nobody learns until that has left the paths' memory, or the mic has been dead for long.
A mic that has never lived, as one that is plugged in later, is dead, too, but nobody waits for it.

A gate closes when its player rests, and then the others go on learning: nothing of him is in their mics.

Who is shut out (see `quarantine`) is treated alike, but for what goes out: that is his sound as it is cleaned.
"""

import numpy as np

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
ALIVE, DEAD, SHUT_OUT = 0, 1, 2
# Who dithers silence to 16 bits gives -1, 0 and 1 of their steps, and to 24 bits of theirs: no sound is just that.
_STEP_16, _STEP_24 = np.float32(2.0**-15), np.float32(2.0**-23)
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
    """Say of each sample whether its mic lives; returns how many do not."""
    dead, shut = view(s, "dead"), view(s, "shut")
    zeros, lived = view(s, "zeros"), view(s, "lived")
    count = 0
    for i in range(s.channels):
        run = zeros[i]
        for n in range(frames):
            size = abs(given[i, n])
            if size > _STEP_24 and size != _STEP_16:
                run = 0
                lived[i] = 1
            else:
                run += 1
            if run == LEAST + 1:
                view(s, "rests")[i] = lived[i] and _rested(s, i)
            least = LEAST if lived[i] else FIRST
            dead[i, n] = DEAD if run > least else SHUT_OUT if shut[i] else ALIVE
            count += dead[i, n] != ALIVE
        zeros[i] = run
    return count


@kernel
def conceal(s, inverse, y, n):
    """Make the cleaned sample of each dead mic 0, and keep what its mic would have heard more for that."""
    k = s.channels
    dead, fills, kept = view(s, "dead"), view(s, "fills"), view(s, "kept")
    for j in range(k):
        fills[j, n] = np.float32(0)
        if dead[j, n]:
            kept[j, n] = y[j]
            fills[j, n] = -y[j] / inverse[j, j]
            for i in range(k):
                y[i] += inverse[j, i] * fills[j, n]
    for j in range(k):
        if dead[j, n]:
            y[j] = np.float32(0)


@kernel
def note(s, frames):
    """Count the dead samples of this block, by mic, and those of mics that may soon be back."""
    dead, zeros, lived, rests = view(s, "dead"), view(s, "zeros"), view(s, "lived"), view(s, "rests")
    block = (s.position // BLOCK) % HISTORY
    concealed, missing = view(s, "concealed")[block], view(s, "missing")
    for i in range(s.channels):
        absent = lived[i] and zeros[i] < LONGEST and not (rests[i] and zeros[i] > LEAST)
        for n in range(frames):
            concealed[i] += dead[i, n] != ALIVE
            missing[block] += dead[i, n] != ALIVE and absent


@kernel
def shut_out(s, m):
    """From now on tell nobody of those whom job m has shut out, nor of what they had before."""
    shut, shuts = view(s, "shut"), view(s, "shuts")[m % HISTORY]
    for j in range(s.channels):
        if shuts[j] and not shut[j]:
            fill(view(s, "history")[j], np.float32(0))
            for block in range(HISTORY):
                fill(view(s, "far_re")[block, j], np.float32(0))
                fill(view(s, "far_im")[block, j], np.float32(0))
            for part in range(NEAR):
                fill(view(s, "near_re")[part, j], np.float32(0))
                fill(view(s, "near_im")[part, j], np.float32(0))
        shut[j] = shuts[j]


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
