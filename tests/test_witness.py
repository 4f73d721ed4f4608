"""The signer lets only successors of the history in that it saw, and each lease's entry once."""

from pathlib import Path

import pytest
from histories import KEY, History

from custodian.checkpoint import open_checkpoint
from custodian.errors import FormatError, Untrusted
from custodian.note import SigningKey
from signer.witness import CheckpointFile, Witness


def numbered(count: int) -> list[bytes]:
    return [f"entry {number}".encode() for number in range(count)]


def show(witness: Witness, history: History, index: int) -> None:
    witness.accept(history.entries[index], history.receipt(index), history.since(witness.size))


@pytest.fixture
def witness() -> Witness:
    """One that saw six entries, the last of them a lease's."""
    seen = Witness(KEY.verify_key, None)
    show(seen, History(*numbered(6)), 5)
    return seen


def refuses(witness: Witness, history: History, index: int) -> None:
    """The history is refused, and what was seen before is kept."""
    with pytest.raises((Untrusted, FormatError)):
        show(witness, history, index)
    assert witness.size == 6


def test_it_follows_a_history_that_grows() -> None:
    witness = Witness(KEY.verify_key, None)
    assert witness.size == 0
    for size in (1, 2, 5, 9):
        show(witness, History(*numbered(size)), size - 1)
        assert witness.size == size


def test_a_changed_entry_is_seen(witness: Witness) -> None:
    refuses(witness, History(b"changed", *numbered(9)[1:]), 8)


def test_a_dropped_entry_is_seen(witness: Witness) -> None:
    refuses(witness, History(*numbered(9)[1:]), 7)


def test_a_history_that_went_back_is_seen(witness: Witness) -> None:
    shorter = History(*numbered(4))
    with pytest.raises(Untrusted):
        witness.accept(shorter.entries[3], shorter.receipt(3), [])
    assert witness.size == 6


def test_a_history_signed_by_another_key_is_refused(witness: Witness) -> None:
    other = SigningKey.from_seed("custodian.test/history", bytes(32))
    refuses(witness, History(*numbered(9), key=other), 8)


def test_an_entry_that_is_not_in_the_history_is_refused(witness: Witness) -> None:
    history = History(*numbered(9))
    with pytest.raises(Untrusted):
        witness.accept(b"never written", history.receipt(8), history.since(6))
    assert witness.size == 6


def test_a_proof_that_is_no_base64_is_refused(witness: Witness) -> None:
    history = History(*numbered(9))
    with pytest.raises(FormatError):
        witness.accept(history.entries[8], history.receipt(8), ["?"])


@pytest.mark.parametrize("index", [5, 4, 0])
def test_an_entry_counts_once_and_none_before_it_after_it(witness: Witness, index: int) -> None:
    refuses(witness, History(*numbered(6)), index)


def test_what_was_seen_outlives_it_in_a_file(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "checkpoint", KEY.verify_key)
    assert (file.note, file.size) == (b"", 0)
    file.keep(History(*numbered(5)).receipt(4), 5)
    again = CheckpointFile(tmp_path / "checkpoint", KEY.verify_key)
    assert again.size == 5
    witness = Witness(KEY.verify_key, open_checkpoint(again.note, KEY.verify_key))
    with pytest.raises(Untrusted):
        show(witness, History(*numbered(4), b"another", *numbered(4)), 8)
    show(witness, History(*numbered(7)), 6)


def test_the_file_never_goes_back(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "checkpoint", KEY.verify_key)
    file.keep(History(*numbered(5)).receipt(4), 5)
    file.keep(History(*numbered(3)).receipt(2), 3)
    assert CheckpointFile(tmp_path / "checkpoint", KEY.verify_key).size == 5


def test_a_file_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    CheckpointFile(path, KEY.verify_key).keep(History(*numbered(6)).receipt(5), 6)
    path.write_bytes(path.read_bytes().replace(b"\n6\n", b"\n5\n"))
    with pytest.raises((Untrusted, FormatError)):
        CheckpointFile(path, KEY.verify_key)
