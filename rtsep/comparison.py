"""What belongs together of two or three recordings: estimated and true parts, and what was there before.

Folders are compared file by file: a file is one part (a microphone, or what a separation calls a part), and a file of
several channels is that part's image.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsep import audiofile
from rtsep.errors import InputError, SoundWarning
from rtsep.finite import open_sound
from rtsep.names import from_files, is_mix
from rtsep.stage import Block


@dataclass(frozen=True)
class Comparison:
    """Recordings that belong together, part by part.

    Parameters
    ----------
    names : tuple of str
        Of the parts, after the true ones.
    rate : int
        Hz.
    truth, given : float32[parts, channels, frames]
        What should be there, and what is.
    mics : float32[parts, channels, frames], optional
        What was there before.
    """

    names: tuple[str, ...]
    rate: int
    truth: Block
    given: Block
    mics: Block | None = None


@dataclass(frozen=True)
class Recording:
    """A recording, part by part.

    Parameters
    ----------
    names : tuple of str
        Of the parts.
    rate : int
        Hz.
    sound : float32[parts, channels, frames]
    """

    names: tuple[str, ...]
    rate: int
    sound: Block


def read_comparison(reference: str, estimate: str, mixture: str | None = None) -> Comparison:
    """Read estimated and true signals, file by file.

    Parameters
    ----------
    reference, estimate : str
        Each one polyphonic file, whose channels are the parts, or a folder whose files are the parts, all with the
        same number of channels. If a folder's names are those of the other, whatever number stands before them, names
        decide which belong together, otherwise their order. A mix beside the parts of a folder is no part, unless the
        other has one too.
    mixture : str, optional
        What was there before: likewise, or one recording for all parts, as a song that was separated.

    Raises
    ------
    InputError
        If parts, channels, rates or lengths differ.
    """
    files = _files(reference), _files(estimate)
    true = _whole(reference, _parts(reference, files[0], estimate, files[1]))
    guess = _whole(estimate, _parts(estimate, files[1], reference, files[0]))
    check_same(estimate, guess, true, reference)
    order = list(range(len(true.names)))
    if sorted(guess.names) == sorted(true.names):
        order = [guess.names.index(name) for name in true.names]
    mics = None
    if mixture is not None:
        before = _whole(mixture, _files(mixture))
        before = Recording(before.names, before.rate, for_each_part(before.sound, true.sound))
        check_same(mixture, before, true, reference)
        mics = before.sound
        if sorted(before.names) == sorted(true.names):
            mics = mics[[before.names.index(name) for name in true.names]]
    return Comparison(true.names, true.rate, true.sound, guess.sound[order], mics)


def _whole(path: str, files: Sequence[Path]) -> Recording:
    """Read a recording: its files, if it is a folder."""
    if not files:
        with open_sound(path) as source:
            return Recording(source.names, source.rate, source.read(source.frames)[:, None])
    rates, parts = [], []
    found, notes = audiofile.members(files)
    if len(found) == 1 and len(found[0].pieces) > 1:   # a session in pieces is as one file: its channels are the parts
        return _whole(path, ())
    for note in notes:
        warnings.warn(note, SoundWarning, stacklevel=3)
    for one in found:
        with open_sound(one) as source:
            rates.append(source.rate)
            parts.append(source.read(source.frames))
    for one, part, rate in zip(found, parts, rates, strict=True):
        if rate != rates[0] or len(part) != len(parts[0]):
            problem = f"has {len(part)} channels at {rate} Hz"
            raise InputError(str(one), problem, f"{found[0].name} has {len(parts[0])} at {rates[0]} Hz")
    lengths = [(one.name, part.shape[1]) for one, part in zip(found, parts, strict=True)]
    for note in audiofile.shorter(path, lengths, rates[0]):
        warnings.warn(note, SoundWarning, stacklevel=3)
    # Files may end early, as recorders leave them: in silence.
    sound = np.zeros((len(parts), len(parts[0]), max(part.shape[1] for part in parts)), np.float32)
    for row, part in zip(sound, parts, strict=True):
        row[:, : part.shape[1]] = part
    return Recording(from_files([one.stem for one in found]), rates[0], sound)


def _parts(path: str, files: Sequence[Path], other: str, others: Sequence[Path]) -> Sequence[Path]:
    """Return a folder's files without a mix that lies beside the parts, and say so."""
    names = from_files([file.stem for file in files])
    mixes = [file for file, name in zip(files, names, strict=True) if is_mix(name)]
    if not mixes or len(mixes) == len(files):
        return files
    if others:
        known = from_files([file.stem for file in others])
        mixes = [file for file in mixes if from_files([file.stem])[0] not in known]
    else:   # channels have no names
        with audiofile.open_input(other) as source:
            mixes = mixes if source.channels < len(files) else []
    for file in mixes:
        warnings.warn(f"{path}: {file.name} is the mix and no part; it is left out", SoundWarning, stacklevel=3)
    return [file for file in files if file not in mixes]


def _files(path: str) -> Sequence[Path]:
    """Return the parts in a folder; none where `open_input` has to say what it is."""
    try:
        return audiofile.recordings(Path(path)) if Path(path).is_dir() else ()
    except OSError:
        return ()


def for_each_part(mixture: Block, truth: Block) -> Block:
    """Return what was there before for each part float32[parts, channels, frames]: it may be one recording for all."""
    count, channels, _ = truth.shape
    if mixture.shape[:2] != (count, channels) and mixture[..., 0].size == channels:
        song = mixture.reshape(1, channels, -1)
        return np.broadcast_to(song, (count, channels, song.shape[2]))
    return mixture


def check_same(place: str, given: Recording, true: Recording, true_place: str) -> None:
    """Refuse what has other parts, channels, lengths or rates than the truth.

    Raises
    ------
    InputError
    """
    if given.sound.shape != true.sound.shape or given.rate != true.rate:
        raise InputError(place, _shape(given), f"{true_place} has {_shape(true)}")


def _shape(recording: Recording) -> str:
    parts, channels, frames = recording.sound.shape
    what = f"{parts} channels" if channels == 1 else f"{parts} parts of {channels} channels"
    return f"{what} of {frames} frames at {recording.rate} Hz"
