"""A recording in place of the inputs: rows that another process has read ahead, taken one for each sample.

Nothing is waited for: where there is no row, there is silence, and it is counted. Whatever stops or begins fades within
`fade_frames`. What begins at a place of the file has some rows before that place, for its fade: from the place on every
sample is the file's.
"""

from rtsep_kernels.plane.jit import kernel
from rtsep_kernels.plane.memory import load_acquire, store_release
from rtsep_kernels.plane.record import f4, given, i8, number, record, view

# Places in the header. Rows written and read. Cuts: how many times another place of the file was gone to, the row at
# which the last of them begins, how many rows come before the place itself. The row behind the file's last; -1: it goes
# on. Times there were no rows. Then the reader's own; see `rtsep.hosts.playring`.
WRITTEN, READ, CUTS, CUT_ROW, BEFORE, END, UNDERRUNS = 0, 8, 16, 24, 32, 40, 48
PLAYER_HEADER = 128

PLAYER = record(
    channels=number(), rows=number(), header=given(i8, PLAYER_HEADER), data=given(f4, "rows", "channels"),
    run=given(f4, 1),                       # target: 0 stands, 1 plays
    fade_frames=number(), enough=number(),  # rows that must be there before it begins again
    level=number(),                         # 0 to fade_frames
    cuts=number(), fresh=number(), short=number(),   # the cut that plays; 1: nothing of it has; 1: rows have run out
)


@kernel
def _stops(s, written, read, end, jump):
    """Return whether to fade out, and note when rows run out."""
    left = written - read
    ends = end >= 0 and end <= written
    if s.short and (left >= s.enough or ends):
        s.short = 0
    elif not s.short and left <= s.fade_frames and not ends:
        s.short = 1
        if s.level > 0 and not jump:
            view(s, "header")[UNDERRUNS] += 1
    return jump or s.short != 0 or view(s, "run")[0] <= 0.5


@kernel
def play(s, inside):
    """Write what the file has next over float32[channels, frames]."""
    header, data = view(s, "header"), view(s, "data")
    cuts = load_acquire(s.header + 8 * CUTS)   # first: with a cut its rows are seen
    written, read, end = load_acquire(s.header + 8 * WRITTEN), header[READ], header[END]
    for i in range(inside.shape[1]):
        jump = cuts != s.cuts
        if jump and s.level == 0:
            read, s.cuts, s.short, s.fresh, jump = header[CUT_ROW], cuts, 0, 1, False
        stops = _stops(s, written, read, end, jump)
        if s.fresh and not stops:
            s.fresh = 0
            s.level = max(0, s.fade_frames - header[BEFORE])   # the file's own beginning is no click
        if (stops and s.level == 0) or read >= written or (end >= 0 and read >= end):
            for c in range(s.channels):
                inside[c, i] = 0
            if stops:
                s.level = max(0, s.level - 1)
            continue
        row = data[read % s.rows]
        if s.level == s.fade_frames:
            for c in range(s.channels):
                inside[c, i] = row[c]
        else:
            gain = s.level / s.fade_frames
            for c in range(s.channels):
                inside[c, i] = row[c] * gain
        read += 1
        s.level = max(0, s.level - 1) if stops else min(s.fade_frames, s.level + 1)
    store_release(s.header + 8 * READ, read)
