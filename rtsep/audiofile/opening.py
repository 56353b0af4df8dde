"""One file for reading, of any format: what is really in it, and a word where its header says something else."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rtsep.audiofile import containers, flac, foreign, mpeg, ogg
from rtsep.audiofile.extent import extent
from rtsep.audiofile.formats import READABLE, Block, without_path
from rtsep.audiofile.parts import Part, part, read
from rtsep.audiofile.spliced import Spliced
from rtsep.errors import InputError
from rtsep.limits import MOST_MICS, check_rate

_RAW_START = 0x1090   # libsndfile's SFC_SET_RAW_START_OFFSET
_MPEG_IN_WAV = (0x50, 0x55)
_LATE = 1 << 17       # samples: an Ogg page ends earlier, so a first one that ends later is not the recording's first
_WHOLE = "allowed is a recording with at least one sample"


class OneFile:
    """One file, open for reading; made by `open_file`.

    Attributes
    ----------
    rate : int
        Hz.
    channels, frames : int
    notes : tuple of str
        What there is to say of its length, a line each.
    """

    def __init__(self, path: Path, parts: Sequence[Part], notes: Sequence[str] = ()) -> None:
        self._parts = parts   # one behind the other
        self.rate, self.channels = parts[0].rate, parts[0].channels
        self.frames = sum(part.frames for part in parts)
        self.notes = tuple(f"{path}: {note}" for note in notes)
        self._place = str(path)
        self._at = 0

    def read(self, frames: int) -> Block:
        """Return the next frames, fewer at the end: float32[frames, channels].

        Raises
        ------
        InputError
            If one that is there cannot be read: the file is damaged in its middle.
        """
        found = [np.zeros((0, self.channels), np.float32)]
        left = max(0, min(frames, self.frames - self._at))
        while left:
            one, inside = self._where(self._at)
            block = self._read(one, min(left, one.frames - inside))
            found.append(block)
            self._at += len(block)
            left -= len(block)
            if left:
                self.seek(self._at)
        return found[-1] if len(found) < 3 else np.concatenate(found)

    def seek(self, frame: int) -> None:
        """Go to a frame.

        Raises
        ------
        InputError
            If the file is damaged there.
        """
        self._at = min(frame, self.frames)
        if self._at < self.frames:
            one, inside = self._where(self._at)
            try:
                one.seek(inside)
            except RuntimeError as error:
                raise InputError(self._place, f"is damaged: {error}", READABLE) from None

    def close(self) -> None:
        """Close it."""
        for one in self._parts:
            one.close()

    def _where(self, frame: int) -> tuple[Part, int]:
        number = 0
        while frame >= self._parts[number].frames:
            frame -= self._parts[number].frames
            number += 1
        return self._parts[number], frame

    def _read(self, one: Part, frames: int) -> Block:
        try:
            samples = one.read(frames)
            problem = f"frame {self._at + len(samples)} of {self.frames} is missing"
        except RuntimeError as error:
            samples = np.zeros((0, self.channels), np.float32)
            problem = f"behind frame {self._at}: {error}"
        # Silence in its place would pass for a recording.
        if len(samples) < frames:
            raise InputError(self._place, f"is damaged, {problem}", READABLE)
        return samples


def open_file(path: Path) -> OneFile:
    """Open one file, or say in one line why not.

    Raises
    ------
    InputError
        If it is not a file, not sound of a kind that is read, or has no samples.
    """
    place = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise InputError(place, "is not a file", READABLE)
        # libsndfile calls everything a system error; the system itself says which.
        with open(path, "rb") as file:
            found = _opened(path, file)
    except OSError as error:
        raise InputError(place, f"cannot be read: {error.strerror}", READABLE) from None
    try:
        _check_channels(place, found.channels)
        if found.frames < 1:
            raise InputError(place, "has no samples", _WHOLE)
    except InputError:
        found.close()
        raise
    return found


def _check_channels(place: str, channels: int) -> None:
    if channels > MOST_MICS:
        raise InputError(place, f"has {channels} channels", f"allowed are up to {MOST_MICS}")
    if channels < 1:
        raise InputError(place, "has no channels", _WHOLE)


def length(frames: int, rate: int) -> str:
    """Return a length as it is said."""
    return f"{frames / rate:.1f} s ({frames} samples)"


def _opened(path: Path, file: BinaryIO) -> OneFile:
    size = path.stat().st_size
    base = _behind_tags(file)
    header = containers.header(file, base, size)
    if header is not None and header.codec in _MPEG_IN_WAV:
        return _mpeg(path, file, header.start, header.start + extent(file, header, size).there, True)
    if header is not None:
        return _linear(path, file, header, size)
    file.seek(base)
    magic = file.read(4)
    if magic == b"fLaC":
        return _flac(path, file, base, size)
    if magic == b"OggS":
        return _ogg(path, file, base, size)
    if base or mpeg.parse(magic) is not None or path.suffix.lower() in (".mp3", ".mp2"):
        return _mpeg(path, file, base, size)
    return _believed(path)


def _behind_tags(file: BinaryIO) -> int:
    """Return the byte behind all ID3 tags at the beginning."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 0x7F:
            return at
        footer = 10 if head[5] & 0x10 else 0
        at += 10 + footer + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def _linear(path: Path, file: BinaryIO, header: containers.Header, size: int) -> OneFile:
    there, said, left_out = extent(file, header, size)
    form = header.form
    if form is None:
        if there == said:
            return _believed(path)
        claim = "does not say how many bytes of sound there are" if said is None else f"says {said} bytes of sound"
        problem = f"is {header.kind} of samples that are not linear, and its header {claim}, but {there} are there"
        raise InputError(str(path), problem, "allowed is PCM or float where a file is not whole")
    check_rate(str(path), form.rate)
    _check_channels(str(path), form.channels)
    frames, rate = there // form.frame, form.rate
    claimed = None if said is None else said // form.frame
    if not frames:
        told = "" if not claimed else f", though its header says {length(claimed, rate)}"
        raise InputError(str(path), f"has no samples{told}", _WHOLE)
    notes = _differing(claimed, frames, rate)
    if left_out:
        notes.append(f"its header says {length(frames, rate)}; {left_out} bytes behind that are left out, no sound")
    try:
        sound = part(partial(_sound_file, path), frames)
        if sound.told == frames and sound.channels == form.channels:
            return OneFile(path, [sound], notes)
        sound.close()
    except InputError:   # BW64, and what broke off early
        pass
    return OneFile(path, [part(partial(_raw, path, form, header.start), frames)], notes)


def _raw(path: Path, form: containers.Form, start: int) -> Any:
    """Open the samples alone, wherever the header says that they end."""
    import soundfile

    file = soundfile.SoundFile(
        path, "r", form.rate, form.channels, form.subtype, endian=form.endian, format="RAW"
    )
    offset = soundfile._ffi.new("sf_count_t *", start)
    soundfile._snd.sf_command(file._file, _RAW_START, offset, 8)
    file.seek(0)   # only now does the offset count
    return file


def _flac(path: Path, file: BinaryIO, base: int, size: int) -> OneFile:
    found = flac.look(file, base, size)
    if found is None:
        sound = _believed(path)
        if not _ends(sound, 1):
            sound.close()
            problem = f"has no samples, though its header says {length(sound.frames, sound.rate)}"
            raise InputError(str(path), problem, _WHOLE)
        return sound
    file.seek(found.counted)
    old = file.read(5)
    for frames, end in ((found.there, size), (found.before, found.last)):
        if frames == found.said and found.sure:
            return _believed(path)
        spans = (base, found.counted), flac.counted(frames, old), (found.counted + 5, end)
        notes = _differing(found.said or None, frames, found.rate)
        sound = OneFile(path, [part(partial(_sound_file, path, *spans), frames)], notes)
        if found.sure or _ends(sound, frames):
            return sound
        sound.close()
    problem = f"has no samples that can be read; its header says {length(found.said, found.rate)}"
    raise InputError(str(path), problem, _WHOLE)


def _ends(sound: OneFile, frames: int) -> bool:
    """Whether there are so many frames; it is at its beginning again."""
    try:
        sound.seek(frames - 1)
        sound.read(1)
        sound.seek(0)
    except InputError:
        return False
    return True


def _mpeg(path: Path, file: BinaryIO, base: int, size: int, inside: bool = False) -> OneFile:
    found = mpeg.look(file, base, size)
    if found is None or not found.frames:
        return _believed(path)
    if found.said == found.frames:
        spans = [(found.first, size)] if inside else []
        return OneFile(path, [part(partial(_sound_file, path, *spans))])
    said = None if found.said is None else found.said * found.head.samples
    if found.info:
        file.seek(found.info)
        old = file.read(found.head.size - (found.info - found.first))
        right, rest = mpeg.counted(found, old), found.info + len(old)
        sound = part(partial(_sound_file, path, (found.first, found.info), right, (rest, found.end)), count=True)
        return OneFile(path, [sound], _differing(said, sound.frames, sound.rate) if said else ())
    sound = part(partial(_sound_file, path, (found.first, found.end)), count=True)
    if sound.told < found.frames * found.head.samples:   # worked out, and too short: no more would be read
        sound.close()
        if found.head.layer != 3:
            there = length(found.frames * found.head.samples, sound.rate)
            problem = f"does not say its length; by its bit rate {length(sound.told, sound.rate)}, {there} are there"
            raise InputError(str(path), problem, "allowed is a constant bit rate, or layer III (MP3)")
        sound = part(partial(_behind_lead, path, *mpeg.lead(found), (found.first, found.end)), count=True)
    return OneFile(path, [sound])


def _behind_lead(path: Path, lead: bytes, samples: int, span: tuple[int, int]) -> Any:
    """Open an MP3 with something put before it, and read that."""
    sound = _sound_file(path, lead, span)
    read(sound, samples)
    return sound


def _ogg(path: Path, file: BinaryIO, base: int, size: int) -> OneFile:
    links = ogg.look(file, base, size)
    if links and links[-1].begin < 0:   # not one page of sound is whole
        links.pop()
        if not links:
            raise InputError(str(path), "has no samples: it breaks off before them", _WHOLE)
    parts: list[Part] = []
    try:
        for link in links:
            spans = [(link.first, link.end)] if len(links) > 1 else []
            parts.append(part(partial(_sound_file, path, *spans), count=link.begin > _LATE))
        kinds = {(sound.channels, sound.rate) for sound in parts}
        if len(kinds) > 1:
            told = " and ".join(f"{channels} channels at {rate} Hz" for channels, rate in sorted(kinds))
            raise InputError(str(path), f"is {len(parts)} recordings in one file, {told}", "allowed is one of a kind")
    except BaseException:
        for sound in parts:
            sound.close()
        raise
    if not parts:
        return _believed(path)
    rate, frames = parts[0].rate, sum(sound.frames for sound in parts)
    notes = []
    if len(parts) > 1:
        each = " + ".join(length(sound.frames, rate) for sound in parts)
        notes.append(f"is {len(parts)} recordings in one file, {each}; they are read one behind the other")
    if not links[-1].ended:
        notes.append(f"breaks off, and does not say how long it was; {length(frames, rate)} are there and are read")
    return OneFile(path, parts, notes)


def _believed(path: Path) -> OneFile:
    """Open what libsndfile alone knows how long it is; where it does not, the samples are counted."""
    return OneFile(path, [part(partial(_sound_file, path))])


def _sound_file(path: Path, *spans: bytes | tuple[int, int]) -> Any:
    """Open a file, or what is spliced of it."""
    import soundfile

    place, reason = str(path), "it has no header"
    try:
        sound = soundfile.SoundFile(Spliced(path, *spans) if spans else place)
        if sound.format != "RAW":   # as which libsndfile takes any file of some names, .au for one
            return sound
        sound.close()
    except TypeError:   # .raw
        pass
    except RuntimeError as error:
        reason = without_path(str(error))
    with open(path, "rb") as file:
        name = foreign.name_of(file.read(64))
    problem = f"is {name}, which is not read" if name else f"is not audio: {reason}"
    raise InputError(place, problem, READABLE)


def _differing(said: int | None, there: int, rate: int) -> list[str]:
    """Return the line that names both lengths, where they are not the same."""
    if said == there:
        return []
    if said is None:
        return [f"its header does not say how long it is; {length(there, rate)} are there and are read"]
    return [f"its header says {length(said, rate)}, but {length(there, rate)} are there; they are read"]
