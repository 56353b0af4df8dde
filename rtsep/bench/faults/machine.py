"""What the machine knows of other processes, and of JACK's cables."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from rtsep.bench.jackd import JackServer

_MEMORY = "/dev/shm/"
_WORKS = 0.2   # of a core: a program that looks around many times a second takes less
_BUSY = "import os\nwhile os.getppid() == {parent}:\n    sum(range(10000))"   # ends with whoever started it


def alive(pid: int) -> bool:
    """Whether a process is there and not only waiting to be buried."""
    return state(pid) not in ("", "Z", "X")


def state(pid: int) -> str:
    """Return a process's state as in proc(5); nothing if it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def descendants(pid: int) -> list[int]:
    """Return the ids of all children, and of theirs."""
    found: list[int] = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def mapped(pid: int) -> set[str]:
    """Return the first part of the names in shared memory that a process has mapped or open."""
    links: list[str] = []
    with contextlib.suppress(OSError):
        links += [line.split(maxsplit=5)[5] for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
                  if _MEMORY in line]
    for link in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(link))
    names = {link.removeprefix(_MEMORY) for link in links if link.startswith(_MEMORY)}
    return {name.split("/")[0].split(" (deleted)")[0] for name in names}


def waits_in(pid: int, name: str) -> bool:
    """Whether a thread of a process waits, right now, for something in a named piece of shared memory.

    So does the real-time thread of a JACK client that plays, in the client's own semaphore; nobody else does.
    """
    places: list[list[int]] = []
    with contextlib.suppress(OSError):
        lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
        ranges = (line.split()[0].split("-") for line in lines if line.endswith(_MEMORY + name))
        places += [[int(end, 16) for end in ends] for ends in ranges]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*") if places else ():
        with contextlib.suppress(OSError, IndexError, ValueError):
            first = int((task / "syscall").read_text().split()[1], 16)
            if any(begin <= first < end for begin, end in places):
                return True
    return False


def working(pid: int, seconds: float = 1.0) -> bool:
    """Whether the first thread of a process's descendants works now, as one does that loads a program."""
    before = {child: _first_thread(child) for child in descendants(pid)}
    time.sleep(seconds)
    return any(_first_thread(child) - before.get(child, 0.0) > _WORKS * seconds for child in descendants(pid))


def _first_thread(pid: int) -> float:
    """Return how many seconds the first thread of a process has worked."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")   # fields 14 and 15 of proc(5)


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep the machine busy with endless loops while the block runs."""
    command = [sys.executable, "-c", _BUSY.format(parent=os.getpid())]
    hogs = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.wait()


def connections(server: JackServer) -> dict[str, set[str]]:
    """Return every port of a server and what it is connected to; nothing when the server does not answer."""
    done = subprocess.run(
        ["jack_lsp", "-s", server.name, "-c"], env=server.environment, capture_output=True, text=True, timeout=10,
        check=False,
    )
    found: dict[str, set[str]] = {}
    port = ""
    for line in done.stdout.splitlines():
        if line.startswith("   ") and port:
            found[port].add(line.strip())
        elif ":" in line:
            port = line.strip()
            found[port] = set()
    return found


def client_at(server: JackServer, port: str) -> str:
    """Return the client that a port of another one is connected to; nothing if there is none."""
    for other in sorted(connections(server).get(port, ())):
        if not other.startswith("system:"):
            return other.partition(":")[0]
    return ""


def connect(server: JackServer, source: str, target: str) -> None:
    """Plug a cable, as a patchbay does."""
    subprocess.run(
        ["jack_connect", "-s", server.name, source, target], env=server.environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=10, check=False,
    )


def cables(server: JackServer, client: str) -> set[tuple[str, str]]:
    """Return all cables of a client: its port, without the client's name, and the other end."""
    return {
        (port.partition(":")[2], other)
        for port, others in connections(server).items() if port.partition(":")[0] == client for other in others
    }


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def until(true: Callable[[], bool], patience: float, every: float = 0.02) -> bool:
    """Wait until a function says yes; False after the patience, seconds."""
    end = time.monotonic() + patience
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True
