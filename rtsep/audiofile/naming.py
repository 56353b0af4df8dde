"""What the microphones of a recording are called: as the user has named files, or else as the recorder's tracks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rtsep.audiofile.numbering import is_generic
from rtsep.audiofile.pieces import Member
from rtsep.names import from_files, listed, near, numbered

_TOLD = 2   # changed names that one line gives


def mic_names(members: Sequence[Member], channels: int, from_names: bool) -> tuple[tuple[str, ...], str]:
    """Return the names, and a line if they are those of tracks.

    Parameters
    ----------
    members : sequence of Member
        One for each microphone, or one of many channels.
    channels : int
    from_names : bool
        Files are called as their microphones are; where a recorder has named them, its tracks' names say more.
    """
    if from_names:
        tracks = [member.tags.names(1)[0] if is_generic(member.stem) else "" for member in members]
        own = from_files([member.stem for member in members])
    else:
        tracks, own = list(members[0].tags.names(channels)), numbered(channels)
    if not any(tracks):
        return own, ""
    names = near([track or name for track, name in zip(tracks, own, strict=True)])
    if names == numbered(channels):
        return names, ""
    changed = [
        f"{track[:40]!a} is '{name}'" for track, name in zip(tracks, names, strict=True)
        if track and re.sub(r"\s+", "-", unicodedata.normalize("NFC", track).strip()) != name
    ]
    line = f"microphones are called as the recorder's tracks: {listed(names)}"
    if changed:
        more = f" and {len(changed) - _TOLD} more" if len(changed) > _TOLD else ""
        line += f" ({', '.join(changed[:_TOLD])}{more})"
    return names, line
