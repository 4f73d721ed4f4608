"""The database: SQLite, one writer, and a history that grows in the same transaction as the change.

Every change goes through `transaction`. It begins IMMEDIATE, moves the clock's high-water mark, and
on leaving signs a checkpoint over the entries appended and commits with `synchronous=FULL`. An answer
may leave only after that. A commit that fails ends the process: the state is then unknown, and
a restart reads what the disk really holds.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from custodian.checkpoint import format_receipt, sign_checkpoint
from custodian.encoding import format_instant
from custodian.errors import Unavailable
from custodian.events import CUSTODIAN, Actor, ClockStepped, Event, encode_entry
from custodian.merkle import (
    TILE_HEIGHT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tile_reader,
)
from custodian.note import SigningKey

SCHEMA = Path(__file__).with_name("schema.sql")
SCHEMA_VERSION = 2  # as schema.sql sets it
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "wal_autocheckpoint=0",
)
COMMITS_PER_CHECKPOINT = 200  # bounds the write-ahead log to a few megabytes
Row = dict[str, Any]
log = logging.getLogger(__name__)


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def create_database(path: Path) -> None:
    """Make an empty database, whole or not at all. Raises FileExistsError."""
    unfinished = path.with_suffix(".new")
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(unfinished, isolation_level=None)
    connection.executescript(f"BEGIN; {SCHEMA.read_text()} COMMIT;")
    connection.close()
    os.link(unfinished, path)  # unlike rename, refuses to replace
    unfinished.unlink()


def _lock(path: Path) -> TextIO:
    """Keep other daemons out, for as long as the file that is returned is open."""
    lock = path.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Unavailable(f"another custodian serves {path}; one daemon per database") from None
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = _row
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    version = connection.execute("PRAGMA user_version").fetchone()["user_version"]
    if version != SCHEMA_VERSION:
        connection.close()
        said = f"is not a custodian's database of format {SCHEMA_VERSION}, but of {version}"
        raise Unavailable(f"{path} {said}; use the custodian that made it")
    if connection.execute("PRAGMA synchronous").fetchone() != {"synchronous": 2}:
        raise Unavailable("this SQLite does not accept synchronous=FULL")
    return connection


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a change may do: read and write rows, know the time, append to the history."""

    connection: sqlite3.Connection
    now: datetime
    random: Callable[[int], bytes]
    first: int  # index of the first entry this change appends
    appended: list[bytes]

    @property
    def seconds(self) -> int:
        """The time as Unix seconds, rounded down."""
        return int(self.now.timestamp())

    def rows(self, sql: str, *values: Any) -> list[Row]:
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Row | None:
        row: Row | None = self.connection.execute(sql, values).fetchone()
        return row

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement and return how many rows it changed."""
        return self.connection.execute(sql, values).rowcount

    def append(self, event: Event, actor: Actor = CUSTODIAN) -> int:
        """Append an entry to the history and return its index."""
        seq = self.first + len(self.appended)
        self.appended.append(encode_entry(event, seq=seq, time=format_instant(self.now), actor=actor))
        return seq


class Store:
    """The open database. Not for several threads at once: whoever owns it runs it in one."""

    def __init__(
        self,
        path: Path,
        *,
        key: SigningKey,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes],
        fail: Callable[[], Any] = lambda: os._exit(70),
    ) -> None:
        self._key, self._clock, self._random, self._fail = key, clock, random, fail
        self._commits = 0
        self._lock = _lock(path)
        try:
            self._connection = _connect(path)
            self._frontier = Frontier.restore(self._stored_size(), tile_reader(self._hashes))
        except Unavailable:
            self._lock.close()
            raise
        except sqlite3.DatabaseError:
            self._lock.close()
            raise Unavailable(f"{path} is not a custodian's database") from None

    def close(self) -> None:
        self._connection.close()
        self._lock.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run one change: all of it, with its history, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            change = self._start()
            yield change
            frontier = self._write_history(change)
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._commit()
        self._frontier = frontier

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read one consistent state; nothing may be written."""
        self._connection.execute("BEGIN")
        try:
            yield Transaction(self._connection, self._now()[0], self._random, self._frontier.size, [])
        finally:
            self._connection.execute("ROLLBACK")

    def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint."""
        row = self._connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        return bytes(row["note"])

    def receipt(self, index: int) -> bytes:
        """Return the proof that entry `index` is in the history (c2sp.org/tlog-proof)."""
        proof = inclusion_proof(tile_reader(self._hashes), index, self._frontier.size)
        return format_receipt(index, proof, self.checkpoint())

    def consistency(self, old: int) -> list[bytes]:
        """Return the proof that today's history only adds to its first `old` entries."""
        return consistency_proof(tile_reader(self._hashes), old, self._frontier.size)

    def _stored_size(self) -> int:
        row = self._connection.execute("SELECT coalesce(max(seq) + 1, 0) AS size FROM entry").fetchone()
        return int(row["size"])

    def _start(self) -> Transaction:
        now, wall = self._now()
        change = Transaction(self._connection, now, self._random, self._frontier.size, [])
        change.write("INSERT OR REPLACE INTO meta VALUES ('time', ?)", str(now.timestamp()))
        if (now - wall).total_seconds() >= 1:
            self._tell_of_step(change, wall)
        return change

    def _tell_of_step(self, change: Transaction, wall: datetime) -> None:
        """Write into the history, once for each time the clock stands still at, that it went back."""
        told = change.row("SELECT value FROM meta WHERE name = 'stepped'")
        if told is None or told["value"] != str(change.now.timestamp()):
            change.write("INSERT OR REPLACE INTO meta VALUES ('stepped', ?)", str(change.now.timestamp()))
            change.append(ClockStepped(back_to=format_instant(wall)))

    def _now(self) -> tuple[datetime, datetime]:
        """Return the time, which never goes back, and what the wall clock says."""
        wall = self._clock()
        row = self._connection.execute("SELECT value FROM meta WHERE name = 'time'").fetchone()
        high = datetime.fromtimestamp(float(row["value"]), UTC) if row else wall
        return max(wall, high), wall

    def _write_history(self, change: Transaction) -> Frontier:
        frontier = self._frontier
        for seq, body in enumerate(change.appended, start=change.first):
            leaf = leaf_hash(body)
            change.write("INSERT INTO entry VALUES (?, ?)", seq, body)
            for node in frontier.completes(leaf):
                if node.level % TILE_HEIGHT == 0:
                    change.write("INSERT INTO hash VALUES (?, ?, ?)", node.level, node.index, node.hash)
            frontier = frontier.append(leaf)
        if change.appended:
            note = sign_checkpoint(frontier.head, self._key)
            change.write("INSERT INTO checkpoint VALUES (?, ?)", frontier.size, note)
        return frontier

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            log.critical("a commit failed: the state is unknown, stopping")
            self._fail()
            raise
        self._commits += 1
        if self._commits % COMMITS_PER_CHECKPOINT == 0:  # by hand, since SQLite hides its errors in its own
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _hashes(self, level: int, first: int, count: int) -> list[bytes]:
        rows = self._connection.execute(
            "SELECT hash FROM hash WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx",
            (level, first, first + count),
        )
        return [bytes(row["hash"]) for row in rows]
