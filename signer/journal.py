"""Records of intent: durable here before a signature leaves, then written to the custodian's history.

One line of JSON a record, written and synced by a thread; records that arrive meanwhile share the next
sync. The file has its full size from the start, the rest of it zeros: a sync that need not change the
size takes half the time. It holds at least what the custodian has not acknowledged; sending a record
twice is harmless, since the custodian keeps one for each lease and number.

With `sync` off a record is written but not synced: it survives the end of this process, not of the
machine. Syncing costs what the disk takes, which a single client waits for.
"""

import asyncio
import itertools
import json
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from custodian.errors import BadInput

Record = dict[str, Any]
Send = Callable[[list[Record]], Awaitable[None]]
BATCH = 100  # records in one call to the custodian, of at most so many bytes
BATCH_SIZE = 48_000
Batch = list[tuple[Record, asyncio.Future[None]]]
log = logging.getLogger(__name__)
FILE_SIZE = 8_388_608  # bytes; when full, the file is made anew with what is still owed


class Journal:
    def __init__(self, path: Path, send: Send, *, sync: bool = True) -> None:
        self._path, self._send_records, self._sync = path, send, sync
        self.refused = 0  # records set aside
        self._owed = deque(_read(path))
        self._file, self._end = self._make_file()
        self._loop = asyncio.get_running_loop()
        self._pending: Batch = []
        self._last: asyncio.Future[None] | None = None  # of the record written last
        self._writing = False
        self._sending = asyncio.Lock()
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._write_batches, name="journal", daemon=True)
        self._thread.start()

    @property
    def owed(self) -> int:
        """How many records the custodian has not acknowledged."""
        return len(self._owed) + len(self._pending)

    def close(self) -> None:
        self._batches.put(None)
        self._thread.join()
        os.close(self._file)
        if not self._owed:
            self._path.unlink(missing_ok=True)

    def write(self, record: Record) -> asyncio.Future[None]:
        """Append a record; the future is done when it is durable, or raises OSError."""
        future = self._last = self._loop.create_future()
        self._pending.append((record, future))
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._start_batch)
        return future

    async def flush(self) -> None:
        """Send what is owed; return when the custodian has what was written before the call."""
        async with self._sending:
            if self._last:
                await asyncio.wait([self._last])
            left = len(self._owed)
            while left > 0:
                batch = self._next_batch(left)
                await self._deliver(batch)
                for _ in batch:
                    self._owed.popleft()
                left -= len(batch)

    def _next_batch(self, most: int) -> list[Record]:
        """Return the oldest records, as many as fit into one call; at least one."""
        batch, size = [self._owed[0]], len(json.dumps(self._owed[0]))
        for record in itertools.islice(self._owed, 1, min(BATCH, most)):
            size += len(json.dumps(record))
            if size > BATCH_SIZE:
                break
            batch.append(record)
        return batch

    async def _deliver(self, batch: list[Record]) -> None:
        """Send a batch; one record that the custodian refuses must not hold up the others."""
        try:
            await self._send_records(batch)
        except BadInput as error:
            if len(batch) > 1:
                for record in batch:
                    await self._deliver([record])
            else:
                self._set_aside(batch[0], error)

    def _set_aside(self, record: Record, error: BadInput) -> None:
        """Keep, where people look, a record that the custodian will never take."""
        self.refused += 1
        aside = self._path.with_suffix(".refused")
        log.error("a record was refused (%s); it is kept in %s", error.detail, aside)
        with aside.open("ab") as file:
            file.write(_lines([record]))
            file.flush()
            os.fsync(file.fileno())

    def _start_batch(self) -> None:
        """Hand on what has come; what comes meanwhile is the next batch."""
        batch, self._pending = self._pending, []
        if self._sync:
            self._batches.put(batch)
        else:
            self._finish_batch(batch, self._append(batch))

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._loop.call_soon_threadsafe(self._finish_batch, batch, self._append(batch))

    def _finish_batch(self, batch: Batch, error: OSError | None) -> None:
        if error is None:
            self._owed.extend(record for record, _ in batch)
        for _, future in batch:
            if not future.done():
                future.set_exception(error) if error else future.set_result(None)
        self._writing = bool(self._pending)
        if self._pending:
            self._start_batch()

    def _append(self, batch: Batch) -> OSError | None:
        data = _lines(record for record, _ in batch)
        try:
            if self._end + len(data) > FILE_SIZE:
                full = self._file
                self._file, self._end = self._make_file()
                os.close(full)
            self._end += _write(self._file, data, self._end)
            if self._sync:
                os.fdatasync(self._file)
        except OSError as error:
            return error
        return None

    def _make_file(self) -> tuple[int, int]:
        """Make the file anew with what is owed; return it and where the next record goes."""
        fresh, data = self._path.with_suffix(".new"), _lines(tuple(self._owed))
        file = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.posix_fallocate(file, 0, FILE_SIZE + len(data))
        _write(file, data, 0)
        os.fsync(file)
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)  # or the file from before could come back, without what is written from now on
        os.close(directory)
        return file, len(data)


def _lines(records: Iterable[Record]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _write(file: int, data: bytes, position: int) -> int:
    """Write all of `data` at `position`; return how much that is."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], position + done)
    return done


def _read(path: Path) -> list[Record]:
    """Return the records of an earlier run; a last line cut short was never acknowledged to anyone.

    Raises:
        BadInput: the file was damaged.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().partition(b"\0")[0].split(b"\n")
    try:
        return [json.loads(line) for line in lines[:-1]]
    except ValueError:
        raise BadInput(str(path), "holds a line that is no record; move the file away and keep it") from None
