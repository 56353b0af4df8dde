"""Recordings as streams: one polyphonic file or a folder of mono files, read and written block by block.

Nothing here holds more than a block, so a recording may be hours long. What is written stands under a hidden
name beside its place until `commit`, so that a render that fails leaves what was there before, and nothing else.
"""

from rtsep.audiofile.formats import FORMATS, READABLE, file_name, natural
from rtsep.audiofile.pieces import Member
from rtsep.audiofile.reading import Input, members, open_input, recordings, shorter
from rtsep.audiofile.writing import Output, open_output, refuse_same

__all__ = [
    "FORMATS", "READABLE", "Input", "Member", "Output", "file_name", "members", "natural", "open_input", "open_output",
    "recordings", "refuse_same", "shorter",
]
