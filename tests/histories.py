"""A small history that a test writes, truthfully or not."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from custodian.checkpoint import format_receipt, sign_checkpoint
from custodian.encoding import canonical_json, decode_base64, encode_base64, format_instant
from custodian.envelope import parse_envelope
from custodian.merkle import Frontier, Head, consistency_proof, inclusion_proof, leaf_hash, tile_reader
from custodian.note import SigningKey
from custodian.terms import parse_terms

KEY = SigningKey.from_seed("custodian.test/history", bytes(range(32)))


def head_of(entries: Sequence[bytes]) -> Head:
    frontier = Frontier()
    for entry in entries:
        frontier = frontier.append(leaf_hash(entry))
    return frontier.head


class History:
    """A small history, kept as its entries."""

    def __init__(self, *entries: bytes, key: SigningKey = KEY) -> None:
        self.entries, self.key = list(entries), key

    def leaves(self, level: int, first: int, count: int) -> list[bytes]:
        assert level == 0
        return [leaf_hash(each) for each in self.entries[first : first + count]]

    def head(self) -> bytes:
        return sign_checkpoint(head_of(self.entries), self.key)

    def receipt(self, index: int) -> bytes:
        return format_receipt(
            index, inclusion_proof(tile_reader(self.leaves), index, len(self.entries)), self.head()
        )

    def since(self, old: int) -> list[str]:
        return [
            encode_base64(each)
            for each in consistency_proof(tile_reader(self.leaves), old, len(self.entries))
        ]


def granted(lease: Mapping[str, Any], recipient: object, **changes: Any) -> bytes:
    """Return the entry a custodian writes when it grants `lease`, a broker's message."""
    terms = [parse_terms(decode_base64(each["terms"], "terms")) for each in lease["shares"]]
    told = {
        "type": "lease.granted",
        "lease": lease["id"],
        "key_id": parse_envelope(decode_base64(lease["envelope"], "envelope")).facts.id,
        "signer": terms[0].signer if terms else "",
        "recipient": str(recipient),
        "uses": lease["uses"],
        "end": format_instant(datetime.fromtimestamp(lease["end"], UTC)),
        "spent": [{"delegation": each.id} for each in terms],
    }
    return canonical_json(told | changes)
