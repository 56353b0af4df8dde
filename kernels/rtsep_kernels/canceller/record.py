"""What the canceller consists of: sizes that all of its files share, and the tables that several of them use.

`CANCELLER` is what the audio thread works with. `FILTERS` is what it applies, in the form in which it is applied: one
version is in use, the other is written to. `PATHS` is what has been learnt; the helper writes it (see `paths`), and
everybody else reads it. The tables of single estimates (instant, guard, choice, refine) stand beside their kernels.
"""

from rtsep_kernels.canceller.sparing import SPARING
from rtsep_kernels.plane.due import EXCHANGE
from rtsep_kernels.plane.grid import GRID
from rtsep_kernels.plane.ramp import RAMP
from rtsep_kernels.plane.record import address, array, f4, given, i8, link, number, record, scratch

SEGMENT = GRID          # samples after which the near partitions are summed anew
BLOCK = 512             # samples in a partition that is learnt, and from one job to the next
SIZE = 2 * BLOCK        # points of a partition's spectrum
BINS = BLOCK + 1
SEGMENTS = BLOCK // SEGMENT       # in a block
ROW = 528               # floats in a row of such a spectrum, a multiple of 64 bytes
NEAR = 2 * BLOCK // SEGMENT       # partitions of 64 before the partitions of 512 take over
NEAR_SIZE = 2 * SEGMENT           # points of their spectra
NEAR_BINS = SEGMENT + 1
NEAR_LOOP = 72          # bins that are multiplied: rounded up so that loops vectorise
NEAR_ROW = 80           # floats in a row of such a spectrum, a multiple of 64 bytes
HISTORY = 64            # blocks whose spectra and samples are kept: partitions, and slack for the helper
GROUPS = 4              # partitions p with the same p % 4 are renewed by the same job
DUE = 2                 # blocks from the end of a partition to the use of what was learnt from it

# How a mic is cleaned: by paths that are learnt, in instantaneous mode, or by a soundcheck's paths that still hold.
AS_LEARNT, AS_INSTANT, AS_KNOWN = 0, 1, 2

FILTERS = record(
    channels=number(), partitions=number(),
    versions=array(i8, GROUPS, start=0),              # which version of each group is in use
    fading=array(i8, GROUPS, start=0),                # 1: the other one was until this block began (see `fades`)
    # Both versions of a path differ in those partitions of a group that are below this number.
    changed=array(i8, GROUPS, "channels", "channels", start=0),
    active=array(i8, "channels", "channels", start=0),   # 0 where filters are zero in both versions
    share=array(f4, "channels", start=0),             # of the subtraction, as the guard decides
    head=array(f4, 2, "channels", "channels", SEGMENT, start=0),      # taps 1 to 63
    inverse=array(f4, 2, "channels", "channels", start=0),            # of I + tap 0, transposed
    near_re=array(f4, 2, "channels", "channels", NEAR - 1, NEAR_ROW, start=0),
    near_im=array(f4, 2, "channels", "channels", NEAR - 1, NEAR_ROW, start=0),
    far_re=array(f4, 2, "partitions", "channels", "channels", ROW, start=0),
    far_im=array(f4, 2, "partitions", "channels", "channels", ROW, start=0),
)
"""What is applied. A shadow applies its master's.

The helper writes to versions that are neither in use nor fading out, and with them to `changed`.
"""

PATHS = record(
    channels=number(), partitions=number(),
    tracked=number(),                                 # partitions that the Kalman filter adapts; the first ones
    w_re=array(f4, "partitions", "channels", "channels", ROW, start=0),   # spectra of the path from j (third) to i
    w_im=array(f4, "partitions", "channels", "channels", ROW, start=0),
    p=array(f4, "partitions", "channels", "channels", ROW, start=0),      # variance of w, what the filter doubts
    good_re=array(f4, "partitions", "channels", "channels", ROW, start=0),   # what a restore goes back to
    good_im=array(f4, "partitions", "channels", "channels", ROW, start=0),
    prior=array(f4, "partitions"),                    # expected power of a path, per bin
    memory=array(f4, "channels", ROW, start=0),       # a2 of each mic and bin: what a job keeps of p
    drift=array(f4, "channels", start=0),             # q of each mic: the part of the prior that comes to p each job
    first_memory=number(f4),                          # `memory` at the start and after an explosion
    held=array(i8, "channels", "channels", start=0),  # 1: mic i learns from mic j
    leaving=array(i8, "channels", "channels", start=0),   # jobs until a pair that leaves is out
    renew_far=number(start=0),                        # jobs that must hand over the partitions not tracked, too
)
"""What has been learnt of the paths."""

CANCELLER = record(
    channels=number(), partitions=number(), position=number(start=0),
    filters=link(FILTERS),
    pending=array(f4, "channels", NEAR_SIZE, start=0),           # to be subtracted in this segment and the next one
    history=array(f4, "channels", HISTORY * BLOCK, start=0),     # y
    heard=array(f4, "channels", HISTORY * BLOCK, start=0),       # x
    filled=array(f4, "channels", HISTORY * BLOCK, start=0),      # x, and where a mic is dead what it would hear
    zeros=array(i8, "channels", start=0), lived=array(i8, "channels", start=0),   # see `dead`
    dead=scratch(i8, "channels", SEGMENT), fills=scratch(f4, "channels", SEGMENT),
    # Of each mic: how far it lives, how far others are told of it, from 0 to 1; both by sample, without corners.
    alive=array(f4, "channels", start=1), told=array(f4, "channels", start=1),
    lives=scratch(f4, 2, "channels", SEGMENT),
    leaves=array(i8, "channels", start=0),                       # 1: shut out from this block on
    usual=array(f4, "channels", start=0), usual_kept=number(f4),  # mean power of y, of blocks in which the mic lives
    rests=array(i8, "channels", start=0),                        # 1: his player had nothing to play when the mic died
    concealed=array(i8, HISTORY, "channels", start=0),           # dead samples, per block
    own=array(f4, "channels", HISTORY * BLOCK, start=0),         # y as it goes out; of who is shut out, too
    kept=scratch(f4, "channels", SEGMENT),                       # the same, of this segment, where `dead` is not ALIVE
    shut=array(i8, "channels", start=0),                         # 1: nobody is told of the mic, see `quarantine`
    shuts=array(i8, HISTORY, "channels", start=0),               # as each job decided
    missing=array(i8, HISTORY, start=0),                         # those of mics that have not been dead for long
    near_re=array(f4, NEAR, "channels", NEAR_ROW, start=0),      # spectra of y, segment by segment
    near_im=array(f4, NEAR, "channels", NEAR_ROW, start=0),
    far_re=array(f4, HISTORY, "channels", ROW, start=0),         # and block by block
    far_im=array(f4, HISTORY, "channels", ROW, start=0),
    first=array(i8, "channels + 1", start=0),                    # see `sums.list_pairs`
    heard_from=array(i8, "channels * channels", start=0),
    near_tail=array(f4, "channels", SEGMENT, start=0),           # sums of the near partitions for this segment
    far_tail=array(f4, 2, "channels", BLOCK, start=0),           # of the far ones, for this block and the next one
    near_sum_re=scratch(f4, NEAR_ROW), near_sum_im=scratch(f4, NEAR_ROW),
    far_sum_re=array(f4, ROW, start=0), far_sum_im=array(f4, ROW, start=0),   # kept from one segment to the next
    # What fades out (see `fades`): by how much the sums were more with the filters before, and whether they were.
    near_gone_re=scratch(f4, NEAR_ROW), near_gone_im=scratch(f4, NEAR_ROW),
    far_gone_re=array(f4, ROW, start=0), far_gone_im=array(f4, ROW, start=0), far_fades=array(i8, 1, start=0),
    blend=scratch(f4, "channels", "channels"),                   # of `inverse`, between both versions
    shared=scratch(f4, "channels"),                              # the part of a sample that one of them is given
    time=scratch(f4, SIZE), spectrum=scratch(f4, 2 * ROW),
    forward=address(), backward=address(),                       # FFTW's execute functions
    plan128=address(), inverse128=address(), plan1024=address(), inverse1024=address(),
    adapt=given(f4, 1), amount=given(f4, "channels"),            # targets
    amounts=array(f4, "channels", RAMP, start=0), ramp_segments=number(),
    row=scratch(f4, "channels"),                                 # y of one sample
    remainder=scratch(f4, "channels", SEGMENT), cleaned=scratch(f4, "channels", SEGMENT), limits=scratch(f4, SEGMENT),
    power=array(f4, HISTORY, 2, "channels", start=0),            # of x and y, per block
    loudest=number(f4, start=0), loudness_kept=number(f4),       # peak of all inputs, a part of which a segment keeps
    clear=number(start=0),                                       # 1: the history is to be forgotten
    fallen=number(start=0),                                      # 1: for that reason all is dry in this segment
    last=array(f4, "channels", start=0),                         # sample that went out, less what came in
    declick=array(f4, "channels", start=0), declick_left=number(start=0),   # what leads over to dry, and for how long
    exploded=number(start=0),                                    # samples given dry because the loop fed itself
    doubt=array(f4, "channels", start=1),                        # bleed left, 1 as usual, for later stages
    # Exchange with the job (job m of `plane.due` is that of block m). By block: was adaptation wanted, did it write,
    # the share of the subtraction, and how each mic is cleaned.
    exchange=array(i8, EXCHANGE, start=0), taken=number(start=0),   # jobs in use; the helper is told a block later
    wanted=array(i8, HISTORY, start=0), wrote=array(i8, HISTORY, start=0),
    shares=array(f4, HISTORY, "channels", start=0), how=array(i8, HISTORY, "channels", start=0),
    inline=number(), job=address(), job_state=address(),         # 1: the job runs in the audio thread
    follows=number(),                                            # 1: another canceller decides, this one applies
    sparing=link(SPARING),                                       # pairs that are left out while the machine is too slow
)
"""What the audio thread works with."""
