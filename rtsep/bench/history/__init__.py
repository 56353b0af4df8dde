"""What every bench has measured on this machine, in one form and in one file: see `store`."""

from rtsep.bench.history.reading import EQUAL, LESS, MORE, Reading, exact, fifths, measured
from rtsep.bench.history.store import History, Recorder, Run, keep

__all__ = ["EQUAL", "LESS", "MORE", "History", "Reading", "Recorder", "Run", "exact", "fifths", "keep", "measured"]
