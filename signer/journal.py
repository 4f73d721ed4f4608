"""Records of intent: durable here before a signature leaves, then written to the custodian's history.

One line of JSON a record, appended and synced by a thread; records that arrive meanwhile share the
next sync. The file holds what the custodian has not acknowledged; sending a record twice is harmless,
since the custodian keeps one for each lease and number.
"""

import asyncio
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Send = Callable[[list[Record]], Awaitable[None]]
BATCH = 100  # records in one call to the custodian; stays below its limit for bodies
MAX_FILE = 8_388_608  # bytes; beyond, the file is written anew with what is still owed


class Journal:
    def __init__(self, path: Path, send: Send) -> None:
        self._path, self._send_records = path, send
        self._owed = deque(_read(path))
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._size = os.fstat(self._file).st_size
        self._thread = ThreadPoolExecutor(1, "journal")
        self._pending: list[tuple[Record, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()

    @property
    def owed(self) -> int:
        """How many records the custodian has not acknowledged."""
        return len(self._owed) + len(self._pending)

    def close(self) -> None:
        self._thread.shutdown()
        os.close(self._file)

    def write(self, record: Record) -> asyncio.Future[None]:
        """Append a record; the future is done when it is durable, or raises OSError."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((record, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_pending())
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
            if self._writing is None and (not self._owed or self._size > MAX_FILE):
                self._rewrite()

    async def _write_pending(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            data = b"".join(json.dumps(record).encode() + b"\n" for record, _ in batch)
            try:
                await loop.run_in_executor(self._thread, self._append, data)
            except OSError as error:
                for _, future in batch:
                    future.set_exception(error)
                continue
            self._owed.extend(record for record, _ in batch)
            for _, future in batch:
                if not future.done():
                    future.set_result(None)
        self._writing = None

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fdatasync(self._file)
        self._size += len(data)

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
