"""What the guard knows. Its tuning comes from the stage, in blocks of its rate."""

from rtsep_kernels.canceller.guard.evidence import EVIDENCE
from rtsep_kernels.canceller.record import HISTORY
from rtsep_kernels.plane.record import array, f4, f8, given, i8, link, number, record, scratch

LINES = 96                # most bins of a spectrum that are compared: a bound of arrays, and of the work
BANDS = 12                # of these bins: their median is not led by a source that fills a few of them
LAGS = 57                 # at which a source reaches two mics that stand at it: one for each 1 / 16 ms

# What two mics have in common: two sources at least; hardly anything but one, at about one level; one line, be it that
# a player rests; one line.
APART, ALIKE, PERHAPS_ONE, ONE = 0, 1, 2, 3
# Whether two mics i < j have sources of their own: so they were heard, or a soundcheck says so.
UNKNOWN, SEEN, TOLD = 0, 1, 2

GUARD = record(
    channels=number(), lines=number(),
    line=array(i8, LINES), band=array(i8, LINES),     # bin, and band of it, in order
    lag_re=array(f4, LAGS, LINES), lag_im=array(f4, LAGS, LINES),   # exp(2 pi i f lag)
    weighted=scratch(f4, 2, LINES), bands=scratch(f8, 2, BANDS),
    cross_re=array(f4, "channels", "channels", LINES, start=0),     # cross-spectra of mics i < j
    cross_im=array(f4, "channels", "channels", LINES, start=0),
    auto=array(f4, "channels", "channels", LINES, start=0),         # power of mic i while j sounds, too
    seen=array(i8, "channels", "channels", start=0),          # blocks in which both sounded
    balance=array(f8, "channels", "channels", start=0),       # mean of log(power i / power j) of those
    freed=array(i8, "channels", "channels", start=1),         # 1: mic i may learn from mic j
    twin=array(i8, "channels", "channels", start=0),          # 1: mic j hears the source of mic i
    pure_twin=array(i8, "channels", "channels", start=0),     # what the two have in common, see above
    parted=array(i8, "channels", "channels", start=0),        # whether mics i < j have sources of their own
    alike=array(i8, "channels", "channels", start=0),         # blocks for which mics i < j have been one line
    power=scratch(f8, "channels"),                            # of the lines, in this block
    loud=array(f8, "channels", start=0),                      # and of late at most
    evidence=link(EVIDENCE),
    level=array(f8, "channels", start=0),                     # power of x, smoothed
    peak=array(f8, "channels", start=0),                      # of x, of late
    clipped=array(i8, "channels", start=0),                   # blocks until the mic counts as clean
    silent=array(i8, "channels", start=0),                    # 1: dead or unplugged
    share=given(f4, HISTORY, "channels"),                     # of the canceller, as each job decided
    known=number(),                                           # 1: paths came from a soundcheck
    anchored=array(i8, "channels", start=0),                  # 1 while a soundcheck's paths to the mic are right
    mode_before=array(i8, "channels", start=0),               # 1: the mic was in instantaneous mode a block ago
    blocks=number(start=0),
    # Tuning: the stage's, which says what each is and where it comes from.
    coherence_kept=number(f8), level_kept=number(f8), peak_kept=number(f8), loud_kept=number(f8),
    shrink_kept=number(f4), clipped_blocks=number(), first_blocks=number(), turn_blocks=number(),
    least_alike=number(f8), enough_alike=number(f8), least_innovations=number(f8), enough_innovations=number(f8),
    sure_blocks=number(), rest_blocks=number(), one=number(f8), exact=number(f8), soft=number(f8),
    incoherent=number(f8), coherent=number(f8), elsewhere=number(f8), together=number(f8), apart=number(f8),
    active=number(f8), risen=number(f8), silence=number(f8), near_peak=number(f8),
)
