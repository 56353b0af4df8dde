"""Lets `python -m rtsep` be `rtsep`."""

import sys

from rtsep.cli import main

sys.exit(main())
