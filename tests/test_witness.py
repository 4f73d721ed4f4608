"""The signer lets only successors of the history in that it saw."""

from pathlib import Path

import pytest

from custodian.checkpoint import format_receipt, open_checkpoint, sign_checkpoint
from custodian.encoding import encode_base64
from custodian.errors import FormatError, Untrusted
from custodian.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash, tile_reader
from custodian.note import SigningKey
from signer.witness import Witness

KEY = SigningKey.from_seed("custodian.test/history", bytes(range(32)))


class History:
    """A small history, kept as its entries."""

    def __init__(self, *entries: bytes, key: SigningKey = KEY) -> None:
        self.entries, self.key = list(entries), key

    def leaves(self, level: int, first: int, count: int) -> list[bytes]:
        assert level == 0
        return [leaf_hash(each) for each in self.entries[first : first + count]]

    def head(self) -> bytes:
        frontier = Frontier()
        for entry in self.entries:
            frontier = frontier.append(leaf_hash(entry))
        return sign_checkpoint(frontier.head, self.key)

    def receipt(self, index: int) -> bytes:
        return format_receipt(
            index, inclusion_proof(tile_reader(self.leaves), index, len(self.entries)), self.head()
        )

    def since(self, old: int) -> list[str]:
        return [
            encode_base64(each)
            for each in consistency_proof(tile_reader(self.leaves), old, len(self.entries))
        ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


def numbered(count: int) -> list[bytes]:
    return [f"entry {number}".encode() for number in range(count)]


def show(witness: Witness, history: History, index: int) -> None:
    witness.accept(history.entries[index], history.receipt(index), history.since(witness.size))


def test_it_follows_a_history_that_grows(path: Path) -> None:
    witness = Witness(path, KEY.verify_key)
    assert witness.size == 0
    for size in (1, 2, 5, 9):
        show(witness, History(*numbered(size)), size - 1)
        assert witness.size == size


def test_what_it_saw_outlives_it(path: Path) -> None:
    show(Witness(path, KEY.verify_key), History(*numbered(5)), 4)
    again = Witness(path, KEY.verify_key)
    assert again.size == 5
    show(again, History(*numbered(7)), 6)
    with pytest.raises(Untrusted):
        show(Witness(path, KEY.verify_key), History(*numbered(4), b"another", *numbered(4)), 8)


def refuses(path: Path, history: History, index: int) -> None:
    """The history is refused, and what was seen before is kept."""
    witness = Witness(path, KEY.verify_key)
    before = path.read_bytes()
    with pytest.raises((Untrusted, FormatError)):
        show(witness, history, index)
    assert path.read_bytes() == before


@pytest.fixture
def seen(path: Path) -> Path:
    show(Witness(path, KEY.verify_key), History(*numbered(6)), 5)
    return path


def test_a_changed_entry_is_seen(seen: Path) -> None:
    refuses(seen, History(b"changed", *numbered(9)[1:]), 8)


def test_a_dropped_entry_is_seen(seen: Path) -> None:
    refuses(seen, History(*numbered(9)[1:]), 7)


def test_a_history_that_went_back_is_seen(seen: Path) -> None:
    witness = Witness(seen, KEY.verify_key)
    shorter = History(*numbered(4))
    with pytest.raises(Untrusted):
        witness.accept(shorter.entries[3], shorter.receipt(3), [])
    assert witness.size == 6


def test_a_history_signed_by_another_key_is_refused(seen: Path) -> None:
    other = SigningKey.from_seed("custodian.test/history", bytes(32))
    refuses(seen, History(*numbered(9), key=other), 8)


def test_an_entry_that_is_not_in_the_history_is_refused(seen: Path) -> None:
    history = History(*numbered(9))
    witness = Witness(seen, KEY.verify_key)
    with pytest.raises(Untrusted):
        witness.accept(b"never written", history.receipt(8), history.since(6))
    assert witness.size == 6


def test_a_proof_that_is_no_base64_is_refused(seen: Path) -> None:
    history = History(*numbered(9))
    with pytest.raises(FormatError):
        Witness(seen, KEY.verify_key).accept(history.entries[8], history.receipt(8), ["?"])


def test_an_older_lease_of_the_same_history_does_not_set_it_back(seen: Path) -> None:
    """The same answer, asked for again, may carry the checkpoint seen already."""
    witness = Witness(seen, KEY.verify_key)
    same = History(*numbered(6))
    witness.accept(same.entries[2], same.receipt(2), same.since(6))
    assert witness.size == 6


def test_a_file_that_was_tampered_with_is_refused(seen: Path) -> None:
    seen.write_bytes(seen.read_bytes().replace(b"\n6\n", b"\n5\n"))
    with pytest.raises((Untrusted, FormatError)):
        Witness(seen, KEY.verify_key)


def test_the_file_holds_a_checkpoint_that_anyone_can_verify(seen: Path) -> None:
    assert open_checkpoint(seen.read_bytes(), KEY.verify_key).head.size == 6
