"""Checkpoints, receipts and witnesses; and the vectors of every format of the history."""

import base64
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from custodian.checkpoint import (
    MAX_PROOF_HASHES,
    Checkpoint,
    follows,
    format_receipt,
    open_checkpoint,
    open_receipt,
    sign_checkpoint,
)
from custodian.errors import CustodianError, FormatError, Untrusted
from custodian.merkle import (
    EMPTY_ROOT,
    Frontier,
    Head,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tile_reader,
)
from custodian.note import SigningKey, open_note, parse_signing_key, parse_verify_key

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "tests" / "vectors" / "history-v1"
MAKER = ROOT / "scripts" / "make_vectors_history.py"

KEY = SigningKey.from_seed("custodian.example/history", bytes(range(32)))
LOG = KEY.verify_key
ENTRIES = [b"entry %d" % index for index in range(9)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
READ = tile_reader(lambda _level, first, count: LEAVES[first : first + count])


def head(size: int) -> Head:
    return Frontier.restore(size, READ).head


def checkpoint(size: int) -> Checkpoint:
    return open_checkpoint(sign_checkpoint(head(size), KEY), LOG)


def receipt(index: int, size: int) -> bytes:
    proof = inclusion_proof(READ, index, size)
    return format_receipt(index, proof, sign_checkpoint(head(size), KEY))


def refused(function: Callable[..., object], *given: object, **named: object) -> bool:
    try:
        function(*given, **named)
    except CustodianError:
        return True
    return False


def bit_flips(data: bytes) -> Iterator[bytes]:
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


def test_a_checkpoint_is_origin_size_and_root_under_the_key_of_the_log():
    note = sign_checkpoint(head(5), KEY)
    root = base64.b64encode(head(5).root).decode()
    assert open_note(note, [LOG]).text == f"custodian.example/history\n5\n{root}\n"
    assert open_checkpoint(note, LOG) == Checkpoint(KEY.name, head(5))


def test_an_empty_history_has_a_checkpoint():
    assert checkpoint(0).head == Head(0, EMPTY_ROOT)


def test_every_bit_and_byte_of_a_checkpoint_counts():
    note = sign_checkpoint(head(5), KEY)
    assert all(refused(open_checkpoint, changed, LOG) for changed in bit_flips(note))
    assert all(refused(open_checkpoint, note[:length], LOG) for length in range(len(note)))


def test_a_checkpoint_of_another_log_is_refused():
    other = SigningKey.from_seed("other.example/history", bytes(range(32)))
    with pytest.raises(Untrusted, match="not signed"):
        open_checkpoint(sign_checkpoint(head(5), other), LOG)


def test_a_receipt_proves_an_entry_and_its_place():
    for size in range(1, 10):
        for index in range(size):
            found = open_receipt(receipt(index, size), entry=ENTRIES[index], log=LOG)
            assert found.index == index
            assert found.checkpoint == checkpoint(size)


def test_a_receipt_proves_no_other_entry():
    for other in (ENTRIES[4], b"", ENTRIES[5] + b"\n", READ(1, 2)):
        with pytest.raises(Untrusted):
            open_receipt(receipt(5, 9), entry=other, log=LOG)


def test_every_bit_and_byte_of_a_receipt_counts():
    data = receipt(5, 9)
    named = {"entry": ENTRIES[5], "log": LOG}
    assert all(refused(open_receipt, changed, **named) for changed in bit_flips(data))
    assert all(refused(open_receipt, data[:length], **named) for length in range(len(data)))
    assert all(refused(open_receipt, data[length:], **named) for length in range(1, len(data)))


def test_every_bit_of_the_entry_counts():
    for changed in bit_flips(ENTRIES[5]):
        assert refused(open_receipt, receipt(5, 9), entry=changed, log=LOG)


def test_a_receipt_has_no_more_hashes_than_a_tree_can_be_high():
    note = sign_checkpoint(head(9), KEY)
    for count, error in ((MAX_PROOF_HASHES, Untrusted), (MAX_PROOF_HASHES + 1, FormatError)):
        with pytest.raises(error):
            open_receipt(format_receipt(5, [bytes(32)] * count, note), entry=ENTRIES[5], log=LOG)


def test_a_witness_sees_every_later_checkpoint_follow_every_earlier_one():
    for new in range(10):
        for old in range(new + 1):
            follows(checkpoint(old), checkpoint(new), consistency_proof(READ, old, new))


def test_a_witness_refuses_a_history_that_lost_its_last_entry():
    with pytest.raises(Untrusted, match="had 9 before"):
        follows(checkpoint(9), checkpoint(8), [])


def test_a_witness_refuses_a_history_rewritten_by_the_holder_of_the_log_key():
    leaves = [*LEAVES[:4], leaf_hash(b"forgery"), *LEAVES[5:]]
    read = tile_reader(lambda _level, first, count: leaves[first : first + count])
    for size in (7, 8, 9):
        forged = sign_checkpoint(Frontier.restore(size, read).head, KEY)
        with pytest.raises(Untrusted, match="rewritten within its first 7"):
            follows(checkpoint(7), open_checkpoint(forged, LOG), consistency_proof(read, 7, size))


def test_a_witness_refuses_the_checkpoint_of_another_log():
    moved = Checkpoint("other.example/history", head(9))
    with pytest.raises(Untrusted, match="another log"):
        follows(checkpoint(9), moved, [])


def test_a_broken_history_has_one_code():
    assert Untrusted.code == "history-mismatch"


# Vectors


def read_vector(data: bytes) -> tuple[dict[str, str], bytes]:
    top, _, body = data.partition(b"\n\n")
    return dict(line.split(": ", 1) for line in top.decode().split("\n")), body


def read_hashes(text: bytes) -> list[bytes]:
    return [base64.b64decode(line, validate=True) for line in text.split()]


def open_consistency(body: bytes, *, old: str, log: str) -> None:
    size, root = old.split(" ")
    hashes, _, note = (b"\n" + body).partition(b"\n\n")
    key = parse_verify_key(log)
    before = Checkpoint(key.name, Head(int(size), base64.b64decode(root)))
    follows(before, open_checkpoint(note, key), read_hashes(hashes))


def verdict(subject: str, header: dict[str, str], body: bytes) -> str:
    header = {name: value for name, value in header.items() if name != "expect"}
    readers: dict[str, Callable[..., object]] = {
        "verify-key": lambda: parse_verify_key(body.decode()),
        "signing-key": lambda: parse_signing_key(body.decode()),
        "note": lambda log: open_note(body, [parse_verify_key(log)]),
        "checkpoint": lambda log: open_checkpoint(body, parse_verify_key(log)),
        "receipt": lambda log, entry: open_receipt(
            body, entry=base64.b64decode(entry), log=parse_verify_key(log)
        ),
        "consistency": lambda log, old: open_consistency(body, old=old, log=log),
    }
    try:
        readers[subject](**header)
    except CustodianError as error:
        return error.code
    return "success"


@pytest.mark.parametrize("path", sorted(VECTORS.iterdir()), ids=lambda path: path.name)
def test_a_vector_is_read_as_it_says(path):
    header, body = read_vector(path.read_bytes())
    assert verdict(path.name.partition("_")[0], header, body) == header["expect"]


def test_each_subject_has_four_negatives_for_each_positive():
    outcomes: dict[str, list[bool]] = {}
    for path in VECTORS.iterdir():
        header, _ = read_vector(path.read_bytes())
        outcomes.setdefault(path.name.partition("_")[0], []).append(header["expect"] == "success")
    for subject, positive in outcomes.items():
        assert positive.count(False) >= 4 * positive.count(True) > 0, subject


def test_the_example_in_the_documents_is_the_receipt_among_the_vectors():
    header, body = read_vector((VECTORS / "receipt").read_bytes())
    documents = "".join(path.read_text() for path in (ROOT / "docs").glob("format*.md"))
    assert f"```\n{body.decode()}```" in documents
    assert f"```\n{header['log']}\n```" in documents


def test_the_vectors_are_what_the_script_writes():
    made = runpy.run_path(str(MAKER))["vectors"]()
    assert made == {path.name: path.read_bytes() for path in VECTORS.iterdir()}
