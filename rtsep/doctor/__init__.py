"""What is looked at before a show: this machine, its devices, and whether a preset with so many mics fits into it.

Each check is a function that returns findings, in plain words, with what can be done. `examine` is the order.
"""

from rtsep.doctor.examination import Question, examine
from rtsep.doctor.finding import BAD, GOOD, WARN, Finding

__all__ = ["BAD", "GOOD", "WARN", "Finding", "Question", "examine"]
