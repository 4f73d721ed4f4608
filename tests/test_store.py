"""The database: whole changes, a history that only grows, a clock that never goes back, no lost answers."""

import contextlib
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from bench import KEY, Bench, FakeClock, append, entry, open_store, size
from examples import NOW

from custodian.checkpoint import Checkpoint, follows, open_checkpoint, open_receipt
from custodian.errors import CustodianError, Unavailable
from custodian.events import AccountDisabled, DaemonStarted
from custodian.store import Store, create_database

LOG = KEY.verify_key


def fail_half_way(store: Store) -> None:
    with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
        tx.write("INSERT INTO meta VALUES ('half', 'done')")
        tx.append(DaemonStarted(version="1"))
        _ = 1 / 0


# -- whole or not at all


def test_a_change_that_fails_leaves_neither_rows_nor_entries(store: Store) -> None:
    append(store)
    before = store.checkpoint()
    fail_half_way(store)
    assert (size(store), store.checkpoint()) == (1, before)
    with store.reading() as tx:
        assert tx.row("SELECT 1 FROM meta WHERE name = 'half'") is None


def test_the_next_change_after_a_failed_one_takes_the_same_place(store: Store) -> None:
    append(store)
    fail_half_way(store)
    assert append(store) == 1
    assert open_receipt(store.receipt(1), entry=entry(store, 1), log=LOG).index == 1


def test_nothing_can_be_written_while_reading(store: Store) -> None:
    with store.reading() as tx:
        tx.write("INSERT INTO meta VALUES ('x', 'y')")
    with store.reading() as tx:
        assert tx.row("SELECT 1 FROM meta WHERE name = 'x'") is None


def test_it_is_durable_by_setting(store: Store) -> None:
    with store.reading() as tx:
        assert tx.row("PRAGMA synchronous") == {"synchronous": 2}
        assert tx.row("PRAGMA journal_mode") == {"journal_mode": "wal"}
        assert tx.row("PRAGMA foreign_keys") == {"foreign_keys": 1}


def test_a_database_is_never_made_over_another(tmp_path: Path) -> None:
    create_database(tmp_path / "custodian.db")
    before = (tmp_path / "custodian.db").read_bytes()
    with pytest.raises(FileExistsError):
        create_database(tmp_path / "custodian.db")
    assert (tmp_path / "custodian.db").read_bytes() == before


def test_only_its_owner_reads_the_database(store: Store, tmp_path: Path) -> None:
    append(store)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("custodian.db*")}
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET body = x'00' WHERE seq = 0",
        "DELETE FROM entry",
        "UPDATE hash SET hash = x'00'",
        "DELETE FROM hash WHERE idx = 0",
    ],
)
def test_the_history_cannot_be_changed_even_by_a_statement(store: Store, statement: str) -> None:
    append(store)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), store.transaction() as tx:
        tx.write(statement)


# -- the history


def test_every_entry_is_proven_by_its_receipt_also_beyond_a_tile(store: Store) -> None:
    for n in range(300):
        append(store, f"n{n}")
    for index in (0, 1, 127, 254, 255, 256, 257, 298, 299):
        receipt = open_receipt(store.receipt(index), entry=entry(store, index), log=LOG)
        assert (receipt.index, receipt.checkpoint.head.size) == (index, 300)


def test_every_checkpoint_is_consistent_with_every_earlier_one(store: Store) -> None:
    seen: list[Checkpoint] = []
    for n in range(20):
        append(store, f"n{n}")
        now = open_checkpoint(store.checkpoint(), LOG)
        for old in seen:
            follows(old, now, store.consistency(old.head.size))
        seen.append(now)


def test_several_entries_of_one_change_get_one_checkpoint(store: Store) -> None:
    with store.transaction() as tx:
        assert [tx.append(AccountDisabled(account=name)) for name in "abc"] == [0, 1, 2]
    with store.reading() as tx:
        assert [row["size"] for row in tx.rows("SELECT size FROM checkpoint")] == [3]


def test_a_store_opened_again_goes_on_where_it_was(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    for n in range(261):
        append(store, f"n{n}")
    old = open_checkpoint(store.checkpoint(), LOG)
    store.close()
    again = open_store(tmp_path / "custodian.db", clock)
    assert append(again) == 261
    follows(old, open_checkpoint(again.checkpoint(), LOG), again.consistency(old.head.size))
    again.close()


def test_the_log_ahead_of_the_database_stays_small(store: Store, tmp_path: Path) -> None:
    for n in range(650):
        append(store, f"n{n}")
    assert (tmp_path / "custodian.db-wal").stat().st_size < 8 * 2**20


# -- the clock


def test_time_never_goes_back(store: Store, clock: FakeClock) -> None:
    append(store)
    clock.advance(hours=-3)
    with store.transaction() as tx:
        assert tx.now == NOW
    with store.reading() as tx:
        assert tx.now == NOW
    clock.advance(hours=3, seconds=1)
    with store.reading() as tx:
        assert tx.now == NOW + timedelta(seconds=1)


def test_time_does_not_go_back_over_a_restart(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    append(store)
    store.close()
    clock.advance(days=-1)
    again = open_store(tmp_path / "custodian.db", clock)
    with again.reading() as tx:
        assert tx.now == NOW
    again.close()


def test_a_clock_that_went_back_is_told_once_for_each_time_it_did(store: Store, clock: FakeClock) -> None:
    append(store)
    clock.advance(hours=-1)
    for _ in range(3):
        append(store)
    clock.advance(hours=2)
    append(store)
    clock.advance(minutes=-5)
    append(store)
    told = [n for n in range(size(store)) if b'"clock.stepped"' in entry(store, n)]
    assert told == [1, 6]
    assert b'"back_to":"2026-11-23T11:00:00Z"' in entry(store, 1)


def test_a_step_of_less_than_a_second_is_no_news(store: Store, clock: FakeClock) -> None:
    append(store)
    clock.advance(milliseconds=-900)
    append(store)
    assert size(store) == 2


# -- one writer


def test_a_second_daemon_on_the_same_database_is_refused(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    append(store)
    with pytest.raises(Unavailable, match="one daemon per database"):
        open_store(tmp_path / "custodian.db", clock)
    assert append(store) == 1


def test_a_database_of_another_version_is_left_alone(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    """One of before has other tables: better a sentence at the start than errors in the middle."""
    path = tmp_path / "custodian.db"
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    for _ in range(2):  # and it is free again
        with pytest.raises(Unavailable, match="of format 2, but of 1; use the custodian"):
            open_store(path, clock)


def test_the_database_is_free_again_after_a_close(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    store.close()
    open_store(tmp_path / "custodian.db", clock).close()


def test_another_writer_is_waited_for(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "custodian.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, lambda: other.execute("ROLLBACK")).start()
    assert append(store) == 0
    other.close()


def test_an_error_names_no_class_of_python(tmp_path: Path, clock: FakeClock) -> None:
    create_database(tmp_path / "custodian.db")
    store = open_store(tmp_path / "custodian.db", clock)
    with pytest.raises(CustodianError) as refused:
        open_store(tmp_path / "custodian.db", clock)
    assert "Error" not in refused.value.detail
    store.close()


def test_a_bench_has_what_it_says(bench: Bench) -> None:
    assert bench.events()[-1] == "key.sealed"
