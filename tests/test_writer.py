"""What is said never lets anybody wait: full pipes, readers that are gone, terminals that have stopped."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from rtsep.control import writer
from rtsep.control.surfaces import terminal
from rtsep.control.writer import Writer

SOON = 0.5   # seconds; whoever waits for a reader waits for ever


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Yield a pipe's reading end and a stream into it."""
    ours, theirs = os.pipe()
    stream = os.fdopen(theirs, "w", encoding="utf-8")
    try:
        yield ours, stream
    finally:
        with contextlib.suppress(OSError):
            os.close(ours)
        with contextlib.suppress(OSError):
            stream.close()


def fill(file: int) -> int:
    """Fill a pipe until it takes no more; returns how many bytes it took."""
    os.set_blocking(file, False)
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += os.write(file, b"." * 4096)
    os.set_blocking(file, True)
    return taken


def read(file: int, until: bytes) -> bytes:
    seen = b""
    while not seen.endswith(until):
        assert select.select([file], [], [], 10)[0], f"{until!r} does not come after {seen[-100:]!r}"
        seen += os.read(file, 65536)
    return seen


def test_lines_come_in_order_and_only_the_latest_frame() -> None:
    with pipe() as (ours, stream):
        filled = fill(stream.fileno())
        talk = Writer(stream)
        begun = time.monotonic()
        talk.line("first")
        for n in range(1000):
            talk.frame(f"<{n}>")
        talk.line("last")
        assert time.monotonic() - begun < SOON
        seen = read(ours, b"<999>")[filled:]
        assert talk.close()
    assert seen == b"first\nlast\n<999>"


def test_lines_that_nobody_reads_are_dropped_and_counted() -> None:
    with pipe() as (ours, stream):
        filled = fill(stream.fileno())
        talk = Writer(stream)
        talk.line("held")             # the thread is stuck with it
        while not talk._busy:
            time.sleep(0.001)
        for n in range(writer._MOST_LINES + 12):
            talk.line(str(n))
        seen = read(ours, b"not shown\n")[filled:].decode().splitlines()
        talk.line("after")
        assert read(ours, b"\n") == b"after\n"
    assert seen == ["held", *map(str, range(writer._MOST_LINES)), "12 lines were not shown"]


def test_the_end_does_not_wait_for_a_full_pipe() -> None:
    with pipe() as (_ours, stream):
        fill(stream.fileno())
        talk = Writer(stream)
        talk.line("never read")
        begun = time.monotonic()
        assert not talk.close(0.1)
        assert 0.1 <= time.monotonic() - begun < SOON


def test_a_reader_who_is_gone_is_given_up() -> None:
    with pipe() as (ours, stream):
        os.close(ours)
        talk = Writer(stream)
        talk.line("nobody hears this")
        assert not talk.close()
        assert talk.gone
        talk.line("nor this")
        talk.frame("nor that")
        assert not talk.close()


def test_a_stream_that_was_made_non_blocking_is_written_whole() -> None:
    with pipe() as (ours, stream):
        filled = fill(stream.fileno())
        os.set_blocking(stream.fileno(), False)
        talk = Writer(stream)
        talk.line("x" * 100000)
        time.sleep(3 * writer._RETRY)
        seen = read(ours, b"\n")
        assert talk.close()
    assert len(seen) == filled + 100001


def test_a_stopped_terminal_holds_nobody_up_and_goes_on() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        os.write(ours, b"\x13")   # Ctrl-S
        time.sleep(0.05)
        talk = Writer(stream)
        begun = time.monotonic()
        for n in range(2 * writer._MOST_LINES):
            talk.line(str(n) + 100 * ".")
        assert time.monotonic() - begun < SOON
        assert not talk.close(0.1)
        os.write(ours, b"\x11")   # Ctrl-Q
        assert b"not shown" in read(ours, b"not shown\r\n")
    os.close(ours)


def test_a_closed_terminal_is_given_up() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        os.close(ours)
        talk = Writer(stream)
        talk.line("EIO")
        assert not talk.close()
        assert talk.gone


def test_none_and_memory_are_streams_too() -> None:
    nothing = Writer(None)
    nothing.line("x")
    assert not nothing.close()
    kept = io.StringIO()
    writer.say_last(kept, "x")
    assert kept.getvalue() == "x\n"


def test_it_does_not_hold_the_lock_while_it_writes() -> None:
    with pipe() as (_ours, stream):
        fill(stream.fileno())
        talk = Writer(stream)
        talk.line("stuck")
        done = threading.Event()
        threading.Thread(target=lambda: (talk.line("x"), talk.frame("y"), done.set()), daemon=True).start()
        assert done.wait(5)


@pytest.mark.parametrize(("stream", "script", "code"), [
    ("stdout", "from rtsep.commands import run; run._print_line({}); sys.exit(7)", 7),
    ("stderr", "from rtsep.cli import main; sys.exit(main(['check', 'nothing']))", 2),
])
@pytest.mark.parametrize("gone", [False, True])
def test_python_ends_with_the_right_code_though_nobody_reads(stream: str, script: str, code: int, gone: bool) -> None:
    ends = os.pipe()
    fill(ends[1])
    others = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: ends[1]}
    if gone:
        os.close(ends[0])
    process = subprocess.Popen([sys.executable, "-c", f"import sys; {script}"], **others)
    try:
        assert process.wait(30) == code
    finally:
        process.kill()
        process.wait()
        for end in ends[gone:]:
            os.close(end)


@pytest.mark.parametrize(("verb", "code"), [("presets", 0), ("check nothing", 2)])
def test_streams_that_were_closed_before_are_not_missed(verb: str, code: int) -> None:
    command = f'exec "{sys.executable}" -m rtsep {verb} 2>&- >&-'
    assert subprocess.run(["sh", "-c", command], check=False).returncode == code


def test_a_surface_needs_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    surface = terminal.open_surface(argparse.Namespace(no_view=False))
    surface.say("nobody hears this")
    surface.close()
    with terminal.progress("work") as done:
        done(1.0)
