"""Write the vectors of the history formats, from fixed seeds: tests/vectors/history-v1.

A vector is header lines `name: value`, a blank line and the bytes to read, exactly as they are. Each
negative differs from its positive by one defect; `expect` is `success`, `malformed` or
`history-mismatch`. docs/format-history.md lists the subjects and their headers.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from custodian.checkpoint import format_receipt, sign_checkpoint  # noqa: E402
from custodian.encoding import encode_base64  # noqa: E402
from custodian.merkle import (  # noqa: E402
    EMPTY_ROOT,
    Frontier,
    Head,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tile_reader,
)
from custodian.note import SigningKey, sign_note  # noqa: E402

TARGET = ROOT / "tests" / "vectors" / "history-v1"

LOG = SigningKey.from_seed("custodian.example/history", bytes(range(32)))
WITNESS = SigningKey.from_seed("signer.example/witness", bytes(range(32, 64)))
NAMESAKE = SigningKey.from_seed(LOG.name, bytes(range(64, 96)))

SIZE, EARLIER, INDEX = 12, 7, 5
ENTRIES = [b'{"seq":%d,"type":"example"}' % index for index in range(SIZE)]
FORKED = [*ENTRIES[:3], b'{"seq":3,"type":"forgery"}', *ENTRIES[4:]]


def read_from(entries: list[bytes]):
    leaves = [leaf_hash(entry) for entry in entries]
    return tile_reader(lambda _level, first, count: leaves[first : first + count])


def head_of(entries: list[bytes]) -> Head:
    return Frontier.restore(len(entries), read_from(entries)).head


READ = read_from(ENTRIES)
HEAD, OLD_HEAD = head_of(ENTRIES), head_of(ENTRIES[:EARLIER])
CHECKPOINT = sign_checkpoint(HEAD, LOG)
INCLUSION = inclusion_proof(READ, INDEX, SIZE)
CONSISTENCY = consistency_proof(READ, EARLIER, SIZE)


def vector(expect: str, body: bytes, **header: str) -> bytes:
    lines = {"expect": expect, **header}
    return "".join(f"{name}: {value}\n" for name, value in lines.items()).encode() + b"\n" + body


def swap(body: bytes, old: str, new: str) -> bytes:
    """Replace the one place where `old` stands."""
    if body.count(old.encode()) != 1:
        raise ValueError(f"{old!r} is not in the body exactly once")
    return body.replace(old.encode(), new.encode())


def loose_bits(encoded: str) -> str:
    """Spell the last base64 character before one `=` with a bit that decoders drop."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(encoded[-2]) ^ 1]
    return encoded[:-2] + last + "="


def verify_keys():
    good = str(LOG.verify_key)
    name, key_id, key = good.split("+", 2)
    yield "verify-key", "success", good
    yield "verify-key_wrong-key-id", "malformed", f"{name}+{int(key_id, 16) ^ 1:08x}+{key}"
    yield "verify-key_upper-case-key-id", "malformed", f"{name}+{key_id.upper()}+{key}"
    yield "verify-key_ecdsa", "malformed", f"{name}+{key_id}+Ag{key[2:]}"
    yield "verify-key_short-key", "malformed", f"{name}+{key_id}+{key[:-4]}"
    yield "verify-key_space-in-name", "malformed", f"{name} +{key_id}+{key}"
    yield "verify-key_newline-at-end", "malformed", f"{good}\n"


def signing_keys():
    good = LOG.format_private()
    first, second, name, key_id, key = good.split("+", 4)
    start = f"{first}+{second}+{name}"
    yield "signing-key", "success", good
    yield "signing-key_wrong-key-id", "malformed", f"{start}+{int(key_id, 16) ^ 1:08x}+{key}"
    yield "signing-key_of-verify-key", "malformed", str(LOG.verify_key)
    yield "signing-key_no-mark", "malformed", f"{name}+{key_id}+{key}"
    yield "signing-key_other-name", "malformed", swap(good.encode(), name, name + "x").decode()
    yield "signing-key_ecdsa", "malformed", f"{start}+{key_id}+Ag{key[2:]}"


def notes():
    text = "Two of three owners lent `ca`.\n\nThe text may have blank lines; ASCII or not: é.\n"
    good = sign_note(text, LOG)
    dash, name, signature = good.decode().splitlines()[-1].split(" ")
    failing = sign_note(text.upper(), LOG).splitlines(keepends=True)[-1]
    witness = sign_note(text, WITNESS).splitlines(keepends=True)[-1]
    yield "note", "success", good
    yield "note_cosigned", "success", sign_note(text, LOG, WITNESS)
    yield "note_unknown-key-of-same-name", "success", sign_note(text, NAMESAKE, LOG)
    yield "note_other-text", "history-mismatch", swap(good, "three", "threE")
    yield "note_unknown-key", "history-mismatch", swap(good, name, WITNESS.name)
    yield "note_second-line-fails", "history-mismatch", good + failing
    yield "note_loose-bits", "malformed", swap(good, signature, loose_bits(signature))
    yield "note_no-blank-line", "malformed", good.replace(b"\n\n", b"\n")
    yield "note_no-last-newline", "malformed", good[:-1]
    yield "note_crlf", "malformed", good.replace(b"\n", b"\r\n")
    yield "note_hyphen", "malformed", swap(good, f"{dash} ", "- ")
    yield "note_no-dash", "malformed", swap(good, f"{dash} ", "")
    yield "note_empty-signature", "malformed", good + f"{dash} {WITNESS.name} AAAAAA==\n".encode()
    yield "note_signatures-only", "malformed", sign_note("\n", LOG).removeprefix(b"\n\n")
    yield "note_not-utf-8", "malformed", good.replace("é".encode(), "é".encode("latin-1"))
    yield "note_no-signatures", "malformed", text.replace("\n\n", "\n").encode() + b"\n"
    yield "note_space-after-signature", "malformed", good[:-1] + b" \n"
    yield "note_65-signatures", "malformed", good + witness * 64


def checkpoints():
    root = encode_base64(HEAD.root)

    def signed(*lines: str) -> bytes:
        return sign_note("".join(line + "\n" for line in lines), LOG)

    yield "checkpoint", "success", CHECKPOINT
    yield "checkpoint_empty", "success", sign_checkpoint(Head(0, EMPTY_ROOT), LOG)
    yield "checkpoint_other-size", "history-mismatch", swap(CHECKPOINT, "\n12\n", "\n13\n")
    yield "checkpoint_other-origin", "history-mismatch", signed("other.example", "12", root)
    yield "checkpoint_leading-zero", "malformed", signed(LOG.name, "012", root)
    yield "checkpoint_negative-size", "malformed", signed(LOG.name, "-1", root)
    yield "checkpoint_size-beyond-2-53", "malformed", signed(LOG.name, str(2**53), root)
    yield "checkpoint_extension-line", "malformed", signed(LOG.name, "12", root, "more")
    yield "checkpoint_no-root", "malformed", signed(LOG.name, "12")
    yield "checkpoint_short-root", "malformed", signed(LOG.name, "12", encode_base64(bytes(31)))
    yield "checkpoint_loose-bits", "malformed", signed(LOG.name, "12", loose_bits(root))


def receipts():
    good = format_receipt(INDEX, INCLUSION, CHECKPOINT)
    first = encode_base64(INCLUSION[0])
    reordered = [*INCLUSION[1::-1], *INCLUSION[2:]]
    forked = sign_checkpoint(head_of(FORKED), LOG)
    yield "receipt", "success", good
    yield "receipt_other-index", "history-mismatch", swap(good, "index 5", "index 4")
    yield "receipt_index-beyond-size", "history-mismatch", swap(good, "index 5", "index 12")
    yield "receipt_hash-missing", "history-mismatch", swap(good, f"{first}\n", "")
    yield "receipt_hash-too-many", "history-mismatch", swap(good, first, f"{first}\n{first}")
    yield "receipt_hashes-reordered", "history-mismatch", format_receipt(5, reordered, CHECKPOINT)
    yield "receipt_other-tree", "history-mismatch", format_receipt(INDEX, INCLUSION, forked)
    yield "receipt_version-2", "malformed", swap(good, "@v1", "@v2")
    yield "receipt_leading-zero", "malformed", swap(good, "index 5", "index 05")
    yield "receipt_no-index-word", "malformed", swap(good, "index 5", "5")
    yield "receipt_extra-line", "malformed", swap(good, "index", "extra AAAA\nindex")
    yield "receipt_short-hash", "malformed", swap(good, first, first[:-4])
    yield "receipt_no-blank-line", "malformed", swap(good, f"\n\n{LOG.name}\n", f"\n{LOG.name}\n")
    yield "receipt_64-hashes", "malformed", format_receipt(5, [bytes(32)] * 64, CHECKPOINT)


def consistencies():
    def body(proof: list[bytes], checkpoint: bytes) -> bytes:
        hashes = "".join(encode_base64(each) + "\n" for each in proof)
        return hashes.encode() + b"\n" + checkpoint

    old = sign_checkpoint(OLD_HEAD, LOG)
    forked = sign_checkpoint(head_of(FORKED), LOG)
    fork_proof = consistency_proof(read_from(FORKED), EARLIER, SIZE)
    grown = {"old": HEAD}
    yield "consistency", "success", body(CONSISTENCY, CHECKPOINT), {}
    yield "consistency_from-empty", "success", body([], CHECKPOINT), {"old": Head(0, EMPTY_ROOT)}
    yield "consistency_same", "success", body([], CHECKPOINT), grown
    yield "consistency_rollback", "history-mismatch", body(CONSISTENCY, old), grown
    yield "consistency_fork", "history-mismatch", body(fork_proof, forked), {}
    yield "consistency_fork-of-same-size", "history-mismatch", body([], forked), grown
    yield "consistency_no-proof", "history-mismatch", body([], CHECKPOINT), {}
    yield "consistency_hash-missing", "history-mismatch", body(CONSISTENCY[1:], CHECKPOINT), {}
    padded = [*CONSISTENCY, CONSISTENCY[-1]]
    yield "consistency_hash-too-many", "history-mismatch", body(padded, CHECKPOINT), {}
    reordered = [*CONSISTENCY[1::-1], *CONSISTENCY[2:]]
    yield "consistency_hashes-reordered", "history-mismatch", body(reordered, CHECKPOINT), {}
    good = body(CONSISTENCY, CHECKPOINT)
    foreign = body(CONSISTENCY, sign_checkpoint(HEAD, NAMESAKE))
    smaller, other_root = Head(EARLIER - 1, OLD_HEAD.root), Head(EARLIER, HEAD.root)
    yield "consistency_unknown-key", "history-mismatch", foreign, {}
    yield "consistency_other-old-size", "history-mismatch", good, {"old": smaller}
    yield "consistency_other-old-root", "history-mismatch", good, {"old": other_root}
    not_empty = {"old": Head(0, HEAD.root)}
    yield "consistency_empty-with-a-root", "history-mismatch", body([], CHECKPOINT), not_empty
    needless = body([HEAD.root], CHECKPOINT)
    yield "consistency_proof-not-needed", "history-mismatch", needless, grown


def vectors() -> dict[str, bytes]:
    """Return every vector by its file name."""
    log = str(LOG.verify_key)
    entry = encode_base64(ENTRIES[INDEX])
    found = {}
    for name, expect, text in (*verify_keys(), *signing_keys()):
        found[name] = vector(expect, text.encode())
    for name, expect, body in (*notes(), *checkpoints()):
        found[name] = vector(expect, body, log=log)
    for name, expect, body in receipts():
        found[name] = vector(expect, body, log=log, entry=entry)
    other = encode_base64(ENTRIES[INDEX] + b" ")
    good = format_receipt(INDEX, INCLUSION, CHECKPOINT)
    found["receipt_other-entry"] = vector("history-mismatch", good, log=log, entry=other)
    for name, expect, body, given in consistencies():
        old = given.get("old", OLD_HEAD)
        known = f"{old.size} {encode_base64(old.root)}"
        found[name] = vector(expect, body, log=log, old=known)
    return found


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, content in vectors().items():
        (TARGET / name).write_bytes(content)


if __name__ == "__main__":
    main()
