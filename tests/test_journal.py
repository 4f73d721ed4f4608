"""A record is durable before its signature leaves, and reaches the custodian once and for ever."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from custodian.errors import BadInput, Unavailable
from signer import journal as module
from signer.journal import BATCH, BATCH_SIZE, Journal, Record


class Custodian:
    """Takes records, or does not answer."""

    def __init__(self) -> None:
        self.got: list[Record] = []
        self.batches: list[int] = []
        self.silent = False

    async def send(self, records: list[Record]) -> None:
        await asyncio.sleep(0)
        if self.silent:
            raise Unavailable("no answer")
        self.batches.append(len(records))
        self.got += records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_SIZE", 4096)


def record(number: int) -> Record:
    return {"lease": "l-1", "number": number, "names": ["www.example.com"]}


def on_disk(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().partition(b"\0")[0].splitlines()]


async def test_a_record_is_in_the_file_when_its_write_is_done(path: Path) -> None:
    journal = Journal(path, Custodian().send)
    await journal.write(record(1))
    assert on_disk(path) == [record(1)]
    assert journal.owed == 1
    journal.close()


async def test_records_that_come_together_are_written_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.append(file), fdatasync(file)))
    journal = Journal(path, Custodian().send)
    await asyncio.gather(*(journal.write(record(number)) for number in range(20)))
    assert len(synced) == 1
    assert on_disk(path) == [record(number) for number in range(20)]
    journal.close()


async def test_flushing_sends_what_was_written_before_it(path: Path) -> None:
    custodian = Custodian()
    journal = Journal(path, custodian.send)
    journal.write(record(1))  # not awaited: it is still on its way to the disk
    await journal.flush()
    assert custodian.got == [record(1)]
    assert journal.owed == 0
    journal.close()


async def test_what_the_custodian_did_not_take_stays_owed_in_order(path: Path) -> None:
    custodian = Custodian()
    journal = Journal(path, custodian.send)
    custodian.silent = True
    await asyncio.gather(*(journal.write(record(number)) for number in range(5)))
    with pytest.raises(Unavailable):
        await journal.flush()
    assert journal.owed == 5
    custodian.silent = False
    await journal.flush()
    assert custodian.got == [record(number) for number in range(5)]
    journal.close()


async def test_many_records_go_in_batches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_SIZE", 1_000_000)
    custodian = Custodian()
    journal = Journal(path, custodian.send)
    await asyncio.gather(*(journal.write(record(number)) for number in range(BATCH + 1)))
    await journal.flush()
    assert custodian.batches == [BATCH, 1]
    journal.close()


async def test_records_owed_are_found_by_the_next_run(path: Path) -> None:
    journal = Journal(path, Custodian().send)
    await journal.write(record(1))
    await journal.write(record(2))
    journal.close()
    custodian = Custodian()
    again = Journal(path, custodian.send)
    assert again.owed == 2
    await again.write(record(3))
    await again.flush()
    assert custodian.got == [record(1), record(2), record(3)]
    again.close()
    assert not path.exists(), "nothing is owed"


async def test_a_line_that_was_cut_short_spoils_nothing_after_it(path: Path) -> None:
    path.write_bytes(json.dumps(record(1)).encode() + b'\n{"lease": "l-')
    journal = Journal(path, Custodian().send)
    assert journal.owed == 1
    await journal.write(record(2))
    journal.close()
    assert on_disk(path) == [record(1), record(2)]


@pytest.mark.parametrize("damage", [b"junk\n", b"\n", b"\xff\xff\n", b'{"a": 1}junk\n'])
async def test_damage_is_told_and_the_file_left_as_it_is(path: Path, damage: bytes) -> None:
    content = json.dumps(record(1)).encode() + b"\n" + damage
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"journal\.jsonl"):
        Journal(path, Custodian().send)
    assert path.read_bytes() == content


async def test_a_full_file_is_made_anew_with_what_is_owed(path: Path) -> None:
    custodian = Custodian()
    journal = Journal(path, custodian.send)
    for number in range(200):
        await journal.write(record(number))
        if number < 150:
            await journal.flush()
    assert journal.owed == 50
    kept = on_disk(path)
    assert kept[-50:] == [record(number) for number in range(150, 200)]
    assert len(kept) < 200
    assert path.stat().st_size < 3 * 4096
    journal.close()


async def test_a_disk_that_fails_is_told_to_who_waits_and_loses_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custodian = Custodian()
    journal = Journal(path, custodian.send)
    await journal.write(record(1))
    fdatasync = os.fdatasync

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="No space"):
        await journal.write(record(2))
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    await journal.write(record(3))
    await journal.flush()
    assert custodian.got == [record(1), record(3)]
    journal.close()


async def test_the_file_is_for_the_signer_only(path: Path) -> None:
    journal = Journal(path, Custodian().send)
    assert path.stat().st_mode & 0o777 == 0o600
    journal.close()


async def test_without_syncing_a_record_is_still_in_the_file(path: Path) -> None:
    journal = Journal(path, Custodian().send, sync=False)
    await journal.write(record(1))
    assert on_disk(path) == [record(1)]
    journal.close()


async def test_a_record_the_custodian_refuses_holds_up_no_other_and_is_kept(path: Path) -> None:
    """One certificate of 210 names kept every later signature out of the history."""
    custodian = Custodian()

    async def send(records: list[Record]) -> None:
        if any(each["number"] == 2 for each in records):
            raise BadInput("records.0.names", "has at most 200 items")
        await custodian.send(records)

    journal = Journal(path, send)
    await asyncio.gather(*(journal.write(record(number)) for number in (1, 2, 3)))
    await journal.flush()
    assert custodian.got == [record(1), record(3)]
    assert (journal.owed, journal.refused) == (0, 1)
    assert json.loads(path.with_suffix(".refused").read_bytes()) == record(2)
    journal.close()


async def test_large_records_travel_in_calls_that_are_not_too_large(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_SIZE", 1_000_000)
    custodian = Custodian()
    journal = Journal(path, custodian.send)
    large = [record(number) | {"names": ["x" * 20_000]} for number in range(5)]
    await asyncio.gather(*(journal.write(each) for each in large))
    await journal.flush()
    assert custodian.got == large
    assert max(custodian.batches) == BATCH_SIZE // 20_000
    journal.close()
