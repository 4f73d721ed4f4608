"""What processes cost, as the kernel counts it: CPU time and memory of a process and all below it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = 1000 / os.sysconf("SC_CLK_TCK")  # ms
PPID, UTIME, CSTIME = 1, 11, 14  # fields of /proc/PID/stat after the name; proc(5) counts two more before


@dataclass(frozen=True, slots=True)
class Memory:
    """In MB (10^6 bytes); `pss` is None where the kernel shows it to root only."""

    rss: float
    pss: float | None


def tree(root: int) -> set[int]:
    """Return `root` and every process below it."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    parents = {pid: _parent(pid) for pid in pids}
    found: set[int] = set()
    fresh = {root} & parents.keys()
    while fresh:
        found |= fresh
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
    return found


def cpu_ms(pids: Iterable[int]) -> float:
    """Return the CPU time of live processes and of their children that ended, in ms."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += sum(map(int, fields[UTIME : CSTIME + 1]))
    return ticks * TICK


def memory(pid: int) -> Memory:
    """Return the memory of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    try:
        pss = _kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")
    except PermissionError:  # it is not dumpable, and we are not root
        pss = None
    return Memory(_kilobytes(status, "VmRSS:") or 0.0, pss)


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[PPID]) if fields else 0


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return []


def _kilobytes(text: str, name: str) -> float | None:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    return None
