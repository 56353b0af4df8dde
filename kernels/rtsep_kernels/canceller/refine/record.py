"""What the refinement remembers: one record, and the sizes that its files share.

All of it happens at a low rate, a fourth of 48 kHz: bleed is loudest below 5 kHz, and there a pass over the last ten
seconds costs a sixteenth of what it would at the full rate.

A round is cut into pieces over many jobs. So whatever one piece writes and another reads is running; scratch is only
what a piece writes before it reads it. How long things last is counted in chunks, or samples at the low rate, that
follow from seconds when the record is made.
"""

from rtsep_kernels.canceller.record import PATHS
from rtsep_kernels.canceller.record import ROW as PART_ROW
from rtsep_kernels.plane.record import address, array, f4, f8, given, i8, link, number, record, scratch

TAPS = 4096             # of a path, at the low rate
CHUNK = 4096            # samples that one transform convolves
SIZE = 8192             # its points
BINS = 4097
ROW = 4112              # floats in a row of such a spectrum, a multiple of 64 bytes
FRAME = 1024            # of the weights: as long as 4096 samples at the full rate, which resolves partials
HOP = FRAME // 2
FRAME_BINS = FRAME // 2 + 1
FRAME_ROW = 528
FRAMES_PER_CHUNK = CHUNK // HOP
RING = 64               # chunks that are kept, a power of two: a round may last as long as what it doesn't look at
WIDE_PAD = 32           # floats beyond a spectrum's points at the full rate: its last bin, and a whole row
ORDER = 256             # of the linear prediction in the preconditioner
BANDS = 4               # in each of which old or new paths are chosen

# Costs, in thousands of operations, roughly: what the budget of a job is counted in.
FFT = 530
FFT_FRAME = 55
FFT_WIDE = 2500         # of 32768 points
FFT_PARTS = 32 * 55     # of all partitions of a path
PRODUCT = 33            # of one chunk's spectrum
PASS = 120              # one pass over a path, or a chunk
PASS_FRAME = 10         # over a frame
COPY = 2                # of a chunk, or of a path's partition

_FRAMES = f"memory * {FRAMES_PER_CHUNK}"
_ROUND = f"memory * {CHUNK}"
_LOW_PATHS = ("channels", "channels", TAPS)

REFINE = record(
    channels=number(), factor=number(), partitions=number(), taps=number(), lowpass_taps=number(),
    reach=number(),                                   # samples of a path that are refined
    rate=number(f8),                                  # low rate, Hz
    budget=number(),                                  # per job, see the costs above
    forward=address(), backward=address(),            # FFTW's execute functions, and plans
    plan=address(), inverse=address(), plan_frame=address(), inverse_frame=address(),
    plan_wide=address(), inverse_wide=address(), plan_part=address(), inverse_part=address(),
    # Tuning, see the stage's settings.
    memory=number(), least=number(),                  # chunks that a round looks at; before the first round
    fresh_least=number(), fresh_most=number(),        # chunks, not learnt from, on which old and new are compared
    keeps=number(),                                   # samples that a mic at least keeps when it forgets
    edges=array(f8, BANDS - 1), edge=number(f8),      # Hz: between the bands; half the width of each edge
    trust=number(f4), slow=number(f4), left_doubt=number(f4), blind_memory=number(f4), blind_drift=number(f4),
    span=number(), soon=number(),                     # chunks that are watched together; that a judgement needs
    sure=number(f4), plays=number(f4), certain=number(f8), heard=number(f8),
    off_moved=number(f8), off_turned=number(f8), off_settled=number(f8), off_uniform=number(f8),
    smooth=number(),                                  # bins of the Kalman filter, to both sides
    # Constants.
    lowpass=array(f4, "lowpass_taps"), window=array(f4, FRAME),
    prior_variance=array(f4, TAPS),                   # of the taps of a path of which nothing is known
    # What is heard, at the low rate.
    x=array(f4, "channels", RING * CHUNK, start=0), y=array(f4, "channels", RING * CHUNK, start=0),
    have=number(start=0), base=number(start=0),       # samples taken; first one that may be used
    unwatched=array(i8, RING, start=0),               # 1: a mic was dead in this chunk
    since=array(i8, "channels", start=0),             # first sample that mic i still believes in
    # Where a round stands.
    phase=number(start=0), index=number(start=0), mic=number(start=0), other=number(start=0), step=number(start=0),
    debt=number(start=0),                             # what jobs have done beyond their budgets
    first=number(start=0), chunks=number(start=0),    # first chunk of the round, their number
    last=number(start=0),                             # first fresh one
    due=number(start=0),                              # samples to be heard before the next part comes in
    rounds=number(start=0), adopted=number(start=0), dropped=number(start=0),
    taken=array(i8, "channels", "channels", start=0),     # pairs of this round
    pairs=array(i8, "channels", start=0),                 # their number, by mic
    # What a round works on.
    y_re=array(f4, "memory", "channels", ROW, start=0), y_im=array(f4, "memory", "channels", ROW, start=0),
    powers=array(f4, "channels", _FRAMES, FRAME_ROW, start=0),   # of y
    weights=array(f4, _FRAMES, FRAME_ROW, start=0),
    error=array(f4, _ROUND, start=0), image=array(f4, _ROUND, start=0), weighted=array(f4, _ROUND, start=0),
    improved=array(f4, "channels", _ROUND, start=0),  # y with the new paths
    new=array(f4, *_LOW_PATHS, start=0), anchor=array(f4, *_LOW_PATHS, start=0),
    variance=array(f4, "channels", TAPS, start=0),    # of mic i's paths
    doubt=array(f4, "channels", "channels", start=1),     # of the anchor, a part of the prior
    unknown=array(f4, "channels", "channels", PART_ROW, start=0),   # part of the prior left
    # Conjugate gradients for one mic.
    residual=array(f4, "channels", TAPS, start=0), direction=array(f4, "channels", TAPS, start=0),
    product=array(f4, "channels", TAPS, start=0), solved=array(f4, "channels", TAPS, start=0),
    energy=number(f8, start=0),                       # residual . solved
    predict_re=array(f4, "channels", ROW, start=0), predict_im=array(f4, "channels", ROW, start=0),   # prediction
    mirror_re=array(f4, "channels", ROW, start=0), mirror_im=array(f4, "channels", ROW, start=0),     # its mirror image
    inverse_error=array(f8, "channels", start=0),
    filter_re=array(f4, "channels", ROW, start=0), filter_im=array(f4, "channels", ROW, start=0),
    # What is handed over.
    change_re=array(f4, "partitions", "channels", "channels", PART_ROW, start=0),   # new less old
    change_im=array(f4, "partitions", "channels", "channels", PART_ROW, start=0),
    mask=array(f4, "channels", ROW, start=0),         # how much of the new is taken
    # What is watched, see `watch`.
    watched=number(start=0), watching=number(start=0), age=number(start=0),   # next chunk, step in it, chunks in a row
    moves=number(start=0), mending=number(start=0),   # count; what is blended in comes from there
    chunk_re=array(f4, "channels", ROW, start=0), chunk_im=array(f4, "channels", ROW, start=0),   # of y
    rests=array(i8, "channels", start=0),             # its player does, in this chunk
    parts=array(f4, "channels", CHUNK, start=0),      # of one mic's bleed
    normal=array(f8, "span", "channels", BANDS, "channels", "channels + 1", start=0),   # equations of the gains
    settling=array(i8, "channels", start=0),          # its fader has just moved
    # Scratch.
    time=scratch(f4, SIZE), spectrum=scratch(f4, 2 * ROW),
    wide_time=scratch(f4, f"factor * {SIZE}"), wide_spectrum=scratch(f4, f"factor * {SIZE} + {WIDE_PAD}"),
    sum_re=scratch(f4, ROW), sum_im=scratch(f4, ROW), total_re=scratch(f4, ROW), total_im=scratch(f4, ROW),
    kept_re=scratch(f4, ROW), kept_im=scratch(f4, ROW),
    density=scratch(f4, FRAME_ROW), means=scratch(f4, FRAME_ROW), rows=scratch(f4, 2, FRAME_ROW),
    levinson=scratch(f8, 3, ORDER),
    better=scratch(i8, BANDS),
    frame_re=scratch(f4, "channels + 2", FRAME_ROW), frame_im=scratch(f4, "channels + 2", FRAME_ROW),   # parts, x, y
    gauss=scratch(f8, "channels", "channels + 1"),
    gain=scratch(f8, "channels", "channels", BANDS), cells=scratch(f8, "channels", "channels", BANDS),   # cells heard
    moved=scratch(i8, 2, "channels"),                 # paths to a mic, paths from it
    turned=scratch(f8, "channels"),                   # what a mic's level was multiplied by
    # Of others.
    anchored=given(i8, "channels"),                   # the guard's: 1 while mic i's anchor is believed
    freed=given(i8, "channels", "channels"),          # the guard's; 0: a pair learns nothing
    instant=given(i8, "channels"),                    # mics in instantaneous mode
    paths=link(PATHS),                                # what is refined: the Kalman filter's
)
