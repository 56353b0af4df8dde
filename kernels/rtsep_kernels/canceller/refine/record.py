"""What the refinement remembers: one record, and the sizes that its files share.

All of it happens at a low rate, a fourth of 48 kHz: bleed is loudest below 5 kHz, and there a pass over the last ten
seconds costs a sixteenth of what it would at the full rate.
"""

import numpy as np
from numba import from_dtype

TAPS = 4096             # of a path, at the low rate
CHUNK = 4096            # samples that one transform convolves
SIZE = 8192             # its points
BINS = 4097
ROW = 4112              # floats in a row of such a spectrum, a multiple of 64 bytes
FRAME = 1024            # of the weights: as long as 4096 samples at the full rate, which resolves partials
FRAME_ROW = 528
FRAMES_PER_CHUNK = 8
MEMORY = 30             # chunks that a round looks at, 10.24 s at 12 kHz
RING = 64              # chunks that are kept: a round may last as long as the rest
LEAST = 3               # chunks before the first round: a second
FRESH = (2, 4)          # least and most chunks, not learnt from, on which old and new filters are compared
PART_BINS = 513         # of the Kalman filter's spectra
PART_ROW = 528
ORDER = 256             # of the linear prediction in the preconditioner
STEPS = 6               # of conjugate gradients per mic and round
BAND_EDGES = (400.0, 1200.0, 2600.0)   # Hz; old or new is chosen in each band between them
BANDS = 4
WATCHED = 3             # chunks, the last ones, over which a soundcheck's paths are held against what is heard
BLENDS = 4              # a new filter comes in so many parts, each when the last has been handed over

REFINE = np.dtype([
    ("channels", np.int64), ("factor", np.int64), ("partitions", np.int64), ("taps", np.int64), ("reach", np.int64),
    ("rate", np.float64),                                       # low rate, Hz
    ("lowpass", np.int64), ("lowpass_taps", np.int64),          # float32[lowpass_taps]
    ("x", np.int64), ("y", np.int64),                           # float32[k, RING * CHUNK]
    ("have", np.int64), ("base", np.int64),                     # samples taken; first one that may be used
    ("since", np.int64),                                        # int64[k]: first sample that mic i still believes in
    ("y_re", np.int64), ("y_im", np.int64),                     # float32[MEMORY, k, ROW]
    ("improved", np.int64),                                     # float32[k, MEMORY * CHUNK]: y with the new filters
    ("powers", np.int64),                                       # float32[k, MEMORY * FRAMES_PER_CHUNK, FRAME_ROW]: of y
    ("weights", np.int64),                                      # float32[MEMORY * FRAMES_PER_CHUNK, FRAME_ROW]
    ("error", np.int64), ("image", np.int64), ("weighted", np.int64),   # float32[MEMORY * CHUNK]
    ("new", np.int64), ("anchor", np.int64),  # float32[k, k, TAPS]
    ("prior_variance", np.int64),                               # float32[TAPS]: of a path of which nothing is known
    ("variance", np.int64),                                     # float32[k, TAPS]: of mic i's paths
    ("doubt", np.int64),                                        # float32[k, k]: of the anchor, a part of the prior
    ("anchored", np.int64),                                     # int64[k]: 1 while mic i's anchor is believed
    # Conjugate gradients for one mic: float32[k, TAPS]
    ("residual", np.int64), ("direction", np.int64), ("product", np.int64), ("solved", np.int64),
    ("predict_re", np.int64), ("predict_im", np.int64),         # float32[k, ROW]: prediction polynomial
    ("mirror_re", np.int64), ("mirror_im", np.int64),           # float32[k, ROW]: its mirror image
    ("inverse_error", np.int64),                                # float64[k]
    ("filter_re", np.int64), ("filter_im", np.int64),           # float32[k, ROW]
    ("sum_re", np.int64), ("sum_im", np.int64), ("sum2_re", np.int64), ("sum2_im", np.int64),   # float32[ROW]
    ("time", np.int64), ("spectrum", np.int64),                 # scratch: float32[SIZE], float32[2 * ROW]
    ("wide_time", np.int64), ("wide_spectrum", np.int64),       # float32[factor * SIZE], float32[factor * SIZE + 32]
    ("levinson", np.int64),                                     # float64[3, ORDER]
    ("unknown", np.int64),                                      # float32[k, k, adapt's ROW]: part of the prior left
    ("change_re", np.int64), ("change_im", np.int64),           # float32[partitions, k, k, adapt's ROW]: new less old
    ("mask", np.int64),                                         # float32[k, ROW]: how much of the new is taken
    ("better", np.int64),                                       # int64[BANDS]: scratch
    # See `refine_watch`.
    ("chunk_re", np.int64), ("chunk_im", np.int64),             # float32[k, ROW]: of y
    ("rests", np.int64),                                        # int64[k]: its player does, in this chunk
    ("parts", np.int64),                                        # float32[k, CHUNK]: of one mic's bleed
    ("frame_re", np.int64), ("frame_im", np.int64),             # float32[k + 2, FRAME_ROW]: of parts, x and y
    ("normal", np.int64),                                       # float64[WATCHED, k, BANDS, k, k + 1]: equations
    ("gauss", np.int64),                                        # float64[k, k + 1]: scratch
    ("gain", np.int64), ("cells", np.int64),                    # float64[k, k, BANDS]: their solution; cells heard
    ("moved", np.int64),                                        # int64[2, k]: paths to a mic, paths from it
    ("turned", np.int64),                                       # float64[k]: what a mic's level was multiplied by
    ("settling", np.int64),                                     # int64[k]: its fader has just moved
    ("watched", np.int64), ("watching", np.int64), ("age", np.int64),   # next chunk, step in it, chunks in a row
    ("moves", np.int64), ("mending", np.int64),                 # count; what is blended in comes from there
    ("window", np.int64),                                       # float32[FRAME]
    ("linear", np.int64),                                       # int64[k]: mics in instantaneous mode
    ("chosen", np.int64),                                       # int64[k, k]: pairs that are held, see `choice`
    ("taken", np.int64), ("pairs", np.int64),                   # int64[k, k], [k]: those of this round; by mic
    ("freed", np.int64),                                        # int64[k, k]: the guard's; 0: a pair learns nothing
    ("kalman_re", np.int64), ("kalman_im", np.int64), ("kalman_p", np.int64),   # adapt's filters and doubts
    ("kalman_memory", np.int64), ("prior", np.int64),           # float32[k, adapt's ROW], float32[partitions]
    ("kalman_drift", np.int64),                                 # float32[k]
    ("slow", np.float32), ("left_doubt", np.float32), ("trust", np.float32),
    ("blind_memory", np.float32), ("blind_drift", np.float32),
    ("forward", np.int64), ("backward", np.int64),
    ("plan_frame", np.int64), ("inverse_frame", np.int64), ("plan", np.int64), ("inverse", np.int64),
    ("plan_wide", np.int64), ("inverse_wide", np.int64),
    ("plan_part", np.int64), ("inverse_part", np.int64),        # 1024 points
    ("budget", np.int64), ("debt", np.int64),                   # thousands of operations per job
    ("phase", np.int64), ("index", np.int64), ("mic", np.int64), ("other", np.int64), ("step", np.int64),
    ("first", np.int64), ("chunks", np.int64), ("last", np.int64),   # first chunk of the round, their number; fresh end
    ("due", np.int64),                                          # samples to be heard before the next part comes in
    ("energy", np.float64),                                     # residual . solved
    ("rounds", np.int64), ("adopted", np.int64), ("dropped", np.int64),
], align=True)
REFINE_TYPE = from_dtype(REFINE)
