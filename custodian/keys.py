"""The keys in custody: envelopes as they came, never changed, never opened here."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custodian.envelope import Envelope, parse_envelope
from custodian.errors import BadInput, Conflict, Forbidden, NotFound
from custodian.events import Actor, KeySealed
from custodian.store import Transaction


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    envelope: Envelope
    certificate: str

    @property
    def id(self) -> str:
        return self.envelope.facts.id


def seal_key(tx: Transaction, signer: str, data: bytes, certificate: str) -> Key:
    """Take the envelope of a key that `signer` made, for the owners enrolled here."""
    envelope = parse_envelope(data)
    facts = envelope.facts
    if tx.row("SELECT 1 FROM key WHERE name = ? OR id = ?", facts.name, facts.id):
        raise Conflict(f"there is a key {facts.name} already")
    if signer not in facts.signers:
        raise Forbidden(f"a signer seals keys for itself; this one does not name {signer}")
    for name, identity in facts.signers.items():
        row = tx.row("SELECT identity FROM signer WHERE name = ?", name)
        if not row or row["identity"] != str(identity):
            raise BadInput("envelope.signer", f"{name} is not enrolled here with that identity")
    for owner, holding in envelope.holdings.items():
        row = tx.row("SELECT public FROM account WHERE name = ? AND role = 'owner' AND disabled = 0", owner)
        if not row or row["public"] != str(holding.public):
            raise BadInput("envelope.owner", f"{owner} is not an owner enrolled here with that key")
    tx.write("INSERT INTO key VALUES (?, ?, ?, ?)", facts.id, facts.name, data, certificate)
    tx.append(
        KeySealed(
            key=facts.name,
            key_id=facts.id,
            algorithm=facts.algorithm,
            public=facts.public.hex(),
            policy=str(facts.policy),
            veto=list(facts.veto),
            no_self_approval=int(facts.no_self_approval),
            owners={owner: str(held.public) for owner, held in envelope.holdings.items()},
            signers={name: str(identity) for name, identity in facts.signers.items()},
            envelope_sha256=hashlib.sha256(data).hexdigest(),
        ),
        Actor(role="signer", name=signer),
    )
    return Key(facts.name, envelope, certificate)


def list_keys(tx: Transaction) -> list[Key]:
    return [_key(row) for row in tx.rows("SELECT * FROM key ORDER BY name")]


def find_key(tx: Transaction, name: str) -> Key:
    row = tx.row("SELECT * FROM key WHERE name = ? OR id = ?", name, name)
    if not row:
        raise NotFound(f"there is no key {name}; `custodian key list` shows them")
    return _key(row)


def _key(row: Mapping[str, Any]) -> Key:
    envelope = parse_envelope(bytes(row["envelope"]))
    return Key(str(row["name"]), envelope, str(row["certificate"]))
