"""Checkpoints and receipts: what the history gives out, and how others hold it to that.

A checkpoint (c2sp.org/tlog-checkpoint) is the signed tree head. A receipt (c2sp.org/tlog-proof)
shows offline that one entry is in the history. Whoever keeps the last checkpoint it saw, and lets
only one that `follows` take its place, is a witness: the history cannot be cut or rewritten behind
its back, not even by the holder of the log key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from custodian.encoding import decode_base64, encode_base64, parse_count
from custodian.errors import FormatError, Untrusted
from custodian.merkle import (
    HASH_BYTES,
    Head,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from custodian.note import SigningKey, VerifyKey, open_note, sign_note

RECEIPT_MARK = "c2sp.org/tlog-proof@v1"
MAX_PROOF_HASHES = 63  # as c2sp.org/tlog-witness; a tree of 2^53 entries needs 53


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head that the key of the log `origin` signed."""

    origin: str
    head: Head


@dataclass(frozen=True, slots=True)
class Receipt:
    """An entry was found at `index` (from 0) in the history that `checkpoint` signs."""

    index: int
    checkpoint: Checkpoint


def sign_checkpoint(head: Head, log: SigningKey) -> bytes:
    """Return the checkpoint as a note; the origin is the name of the log's key."""
    return sign_note(f"{log.name}\n{head.size}\n{encode_base64(head.root)}\n", log)


def open_checkpoint(note: bytes, log: VerifyKey) -> Checkpoint:
    """Verify and parse a checkpoint of `log`. Raises FormatError, Untrusted."""
    lines = open_note(note, [log]).text.removesuffix("\n").split("\n")
    if len(lines) != 3:
        raise FormatError("checkpoint", "is not the three lines origin, size and root")
    origin, size, root = lines
    if origin != log.name:
        raise Untrusted(f"the checkpoint is of another log than {log.name}")
    return Checkpoint(origin, Head(parse_count(size, "size"), _decode_hash(root, "root")))


def follows(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    """Raise Untrusted unless `new` holds every entry of `old` unchanged, as `proof` shows."""
    if old.origin != new.origin:
        raise Untrusted(f"the checkpoint is of another log than {old.origin}")
    verify_consistency(old.head, new.head, proof)


def format_receipt(index: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """Return the receipt for entry `index` of the signed `checkpoint`."""
    hashes = "".join(encode_base64(each) + "\n" for each in proof)
    return f"{RECEIPT_MARK}\nindex {index}\n{hashes}\n".encode() + checkpoint


def open_receipt(receipt: bytes, *, entry: bytes, log: VerifyKey) -> Receipt:
    """Verify that `entry`, its exact bytes, is in the history of `log`.

    Raises FormatError for what is not a receipt, Untrusted for one that proves something else.
    """
    index, proof, note = _parse_receipt(receipt)
    checkpoint = open_checkpoint(note, log)
    verify_inclusion(checkpoint.head, index, leaf_hash(entry), proof)
    return Receipt(index, checkpoint)


def _parse_receipt(receipt: bytes) -> tuple[int, list[bytes], bytes]:
    top, _, note = receipt.partition(b"\n\n")
    try:
        mark, index, *hashes = top.decode("ascii").split("\n")
    except ValueError:  # also of UnicodeDecodeError
        raise FormatError("receipt", "is not ASCII lines and a checkpoint") from None
    if mark != RECEIPT_MARK:
        raise FormatError("receipt", f"is not a {RECEIPT_MARK}")
    if not index.startswith("index "):
        raise FormatError("receipt", "does not give the index of the entry in its second line")
    if len(hashes) > MAX_PROOF_HASHES:
        raise FormatError("receipt", f"has more than {MAX_PROOF_HASHES} hashes")
    return (
        parse_count(index.removeprefix("index "), "index"),
        [_decode_hash(each, "proof") for each in hashes],
        note,
    )


def _decode_hash(text: str, field: str) -> bytes:
    data = decode_base64(text, field)
    if len(data) != HASH_BYTES:
        raise FormatError(field, f"is not a hash of {HASH_BYTES} bytes")
    return data
