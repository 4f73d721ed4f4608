"""Records of intent: durable here before a signature leaves, then written to the custodian's history.

One line of JSON a record, appended and synced by a thread; records that arrive meanwhile share the
next sync. The file holds what the custodian has not acknowledged; sending a record twice is harmless,
since the custodian keeps one for each lease and number.

With `sync` off a record is written but not synced: it survives the end of this process, not of the
machine. Syncing costs what the disk takes, which a single client waits for.
"""

import asyncio
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

Record = dict[str, Any]
Send = Callable[[list[Record]], Awaitable[None]]
BATCH = 100  # records in one call to the custodian; stays below its limit for bodies
Batch = list[tuple[Record, asyncio.Future[None]]]
MAX_FILE = 8_388_608  # bytes; beyond, the file is written anew with what is still owed


class Journal:
    def __init__(self, path: Path, send: Send, *, sync: bool = True) -> None:
        self._path, self._send_records, self._sync = path, send, sync
        self._owed = deque(_read(path))
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._size = os.fstat(self._file).st_size
        self._loop = asyncio.get_running_loop()
        self._pending: Batch = []
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

    def write(self, record: Record) -> asyncio.Future[None]:
        """Append a record; the future is done when it is durable, or raises OSError."""
        future = self._loop.create_future()
        self._pending.append((record, future))
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._start_batch)
        return future

    async def flush(self) -> None:
        """Send what is owed; return when the custodian has what was owed at the call."""
        async with self._sending:
            left = len(self._owed)
            while left > 0:
                batch = [self._owed[i] for i in range(min(BATCH, left))]
                await self._send_records(batch)
                for _ in batch:
                    self._owed.popleft()
                left -= len(batch)
            if not self._writing and (not self._owed or self._size > MAX_FILE):
                self._rewrite()

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
        data = b"".join(json.dumps(record).encode() + b"\n" for record, _ in batch)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
            if self._sync:
                os.fdatasync(self._file)
        except OSError as error:
            return error
        self._size += len(data)
        return None

    def _rewrite(self) -> None:
        """Drop from the file what was acknowledged. No record is being written meanwhile."""
        if not self._owed:
            os.ftruncate(self._file, 0)
            self._size = 0
            return
        fresh = self._path.with_suffix(".new")
        data = b"".join(json.dumps(record).encode() + b"\n" for record in self._owed)
        file = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY, 0o600)
        os.write(file, data)
        os.fsync(file)
        fresh.replace(self._path)
        os.close(self._file)
        self._file, self._size = file, len(data)


def _read(path: Path) -> list[Record]:
    """Return the records of an earlier run; a last line cut short was never acknowledged to anyone."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1] if line]
