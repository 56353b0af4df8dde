"""What an output carries on of the bext and iXML chunks of its input: its time, where it comes from, its tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rtsep.audiofile.metadata import Tags, entry


@dataclass(frozen=True)
class Origin:
    """What the files of a recording say beside the sound.

    Parameters
    ----------
    files : tuple of Tags
        One for all microphones, or one for each; their times are those of the recording's first sample.
    names : tuple of str
        Of the microphones.
    """

    files: tuple[Tags, ...]
    names: tuple[str, ...]

    @property
    def whole(self) -> Tags:
        """What a polyphonic file of all microphones carries."""
        if len(self.files) == 1:
            return self.files[0]
        bext = next((tags.bext for tags in self.files if tags.bext), b"")
        ixml = next((tags.ixml for tags in self.files if tags.ixml), b"")
        entries = [
            entry(tags.entries(1).get(1, ""), place, name)
            for place, (tags, name) in enumerate(zip(self.files, self.names, strict=True), 1)
        ]
        return Tags(bext, ixml).with_tracks(entries)

    def mic(self, number: int) -> Tags:
        """Return what a mono file of one microphone carries; they count from 0."""
        if len(self.files) == len(self.names):
            return self.files[number]
        own = self.files[0].entries(len(self.names)).get(number + 1, "")
        return self.files[0].with_tracks([entry(own, 1, "" if own else self.names[number])])

    def part(self, name: str, labels: Sequence[str]) -> Origin:
        """Return what a part of a separation carries: a microphone, all of them, or something else at their time.

        Parameters
        ----------
        name : str
            Of the part.
        labels : sequence of str
            Of its channels.
        """
        if len(labels) == 1 and name in self.names:
            return Origin((self.mic(self.names.index(name)),), (name,))
        if len(labels) == len(self.names):
            return self
        return Origin((replace(self.whole, ixml=b""),), tuple(labels))

    def late(self, frames: int) -> Origin:
        """Return it for sound that comes out so many samples late: its first one was there before them."""
        return replace(self, files=tuple(
            tags if tags.start is None else tags.at(max(0, tags.start - frames)) for tags in self.files
        ))

