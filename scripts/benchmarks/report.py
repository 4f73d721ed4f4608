"""Figures for people: medians, percentiles and tables, in plain columns or in Markdown."""

import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

RECORD = b"x" * 400  # about as long as the record of one signature


@dataclass(slots=True)
class Table:
    """Rows under a heading, each cell a text; notes follow below."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append([*map(str, cells)])

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (self.columns, *self.rows)]
        return "\n".join([f"\n{self.title}", *lines, *self.notes])

    def markdown(self) -> str:
        rows = (self.columns, ["---"] * len(self.columns), *self.rows)
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([f"\n**{self.title}**", "", *lines, "", *(f"- {note}" for note in self.notes)])


def percentile(values: Sequence[float], part: float) -> float:
    """Return the nearest-rank percentile; `part` is from 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def spread(values: Sequence[float]) -> list[str]:
    """Return median, p99 and maximum as cells."""
    return [f"{value:.1f}" for value in (median(values), percentile(values, 0.99), max(values))]


def circumstances(directory: Path) -> list[str]:
    """Return what the figures depend on besides this code: machine, its other work, its disk."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    syncs = fdatasync_ms(directory)
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    times = f"median {median(syncs):.2f} ms, p99 {percentile(syncs, 0.99):.2f} ms ({len(syncs)} in this run)"
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {system}",
        f"load average at start: {load}",
        f"the disk's own fdatasync of {len(RECORD)} bytes within a file: {times}",
    ]


def fdatasync_ms(directory: Path, count: int = 100) -> list[float]:
    """Write and sync as the signer's journal does, in a file of full size; return the time of each, in ms."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, count * len(RECORD))
        os.fsync(file.fileno())
        return [_sync_once(file.fileno()) for _ in range(count)]


def _sync_once(descriptor: int) -> float:
    start = time.perf_counter()
    os.write(descriptor, RECORD)
    os.fdatasync(descriptor)
    return 1000 * (time.perf_counter() - start)


def show(table: Table, *, markdown: bool) -> None:
    print(table.markdown() if markdown else table, flush=True)
