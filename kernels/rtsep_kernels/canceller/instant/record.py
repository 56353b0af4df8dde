"""What the instantaneous mode knows. Its tuning comes from the stage, in blocks of its rate."""

from rtsep_kernels.canceller.record import BLOCK, ROW
from rtsep_kernels.maths.vectors import LANES
from rtsep_kernels.plane.record import array, f4, f8, given, i8, number, record, scratch

BANDS = 6                 # which must agree: filtered crosstalk is a mixture in some of them
LOWEST = 2                # bins below hold an offset, which the Hann window spreads over them: counted, not in Hz
STEP = 8                  # edges of bands are multiples of it; so many logarithms are taken at once
SLOW, FAST, PAST = 0, 1, 2   # estimates: the two that learn, and the slow one as it was; see `estimate`
EXPLAINED, EXPECTED = 0, 1   # rows of `score`
OURS, RIVAL = 0, 1        # rows of `merit`: of Lambda, and of the canceller's long paths

INSTANT = record(
    channels=number(),
    span=number(),                                        # bins that are looked at, a multiple of LANES
    edges=array(i8, BANDS + 1),                           # of bands, in bins
    window=array(f4, 2 * BLOCK),
    time=scratch(f4, 2 * BLOCK), spectrum=scratch(f4, 2 * ROW),
    x_re=scratch(f4, "channels", ROW), x_im=scratch(f4, "channels", ROW),   # windowed spectra of x, of this block
    weight=scratch(f4, "channels", ROW),                  # 1 / Psi
    work=scratch(f4, 4, ROW), lanes=scratch(f4, LANES),
    moments=array(f8, 3, "channels", "channels", "channels", start=0),      # lower triangles
    mixing=array(f8, 3, "channels", "channels", start=0),                   # Lambda
    unmixing=array(f8, 3, "channels", "channels", start=0),                 # and its inverse
    determinant=array(f8, 3, start=0),                    # log |det Lambda|
    explained=scratch(f8, 3, "channels", BANDS), expected=scratch(f8, 3, "channels", BANDS),   # of this block
    cost=scratch(f8, 3),                                  # of this block
    level=array(f8, "channels", start=0),                 # mean power of a bin of x
    rival=scratch(f8, "channels"),                        # `explained` of the canceller, of this block
    score=array(f8, 2, "channels", BANDS, start=0),       # explained and expected, smoothed
    merit=array(f8, 2, "channels", start=0),              # likelihoods of Lambda and of the rival, smoothed
    matrices=scratch(f8, 2, "channels", "2 * channels"),
    instant=array(i8, "channels", start=0),               # 1: the mic is in instantaneous mode
    moving=array(i8, "channels", start=0),                # blocks until it is wholly there
    doubted=array(i8, "channels", start=0),               # bad blocks in a row
    barred=array(i8, "channels", start=0),                # block before which it does not come back
    pure_twin=given(i8, "channels", "channels"),          # the guard's: what two mics have in common
    advantage=number(f8, start=0), regret=number(f8, start=0),      # of the fast and of the past estimate, nepers
    patience=number(start=0), regretted=number(start=0),  # blocks for which they have been better
    settled=number(start=0),                              # blocks since the slow estimate was last restarted
    holds=number(start=0),                                # 1: there is a past estimate
    used=number(start=0),                                 # the estimate in use, slow or fast
    blocks=number(start=0),
    # Tuning: the stage's, which says what each is and where it comes from.
    slow_kept=number(f8), fast_kept=number(f8), score_kept=number(f8), advantage_kept=number(f8),
    apart_kept=number(f4),
    floor=number(f4), common_floor=number(f4), ridge=number(f8), damping=number(f8), largest=number(f8),
    better=number(f8), level_blocks=number(), patience_blocks=number(), settled_blocks=number(),
    start_blocks=number(), doubted_blocks=number(), barred_blocks=number(), moving_blocks=number(),
    enough_bleed=number(f8), quiet_bleed=number(f8), believed=number(f8), disbelieved=number(f8), beaten=number(f8),
    weakest=number(f8), plausible=number(f8), twin_product=number(f8), twin_entry=number(f8), pivot=number(f8),
)
