"""Delegations: what an owner lends, as exact terms and a share that only one recipient can open.

What is stored is ciphertext: the owner's share sealed to a signer's recipient, bound to the terms.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from custodian import lending
from custodian.encoding import format_instant
from custodian.errors import BadInput, Conflict, Forbidden, NotFound
from custodian.events import Actor, DelegationGranted, Evidence, Limits
from custodian.keys import Key, find_key
from custodian.lending import Wish
from custodian.quorum import Delegation
from custodian.sealing import PublicKey
from custodian.store import Transaction
from custodian.terms import Terms, parse_terms

LENT = (
    "SELECT d.*, iif(s.disabled, '', s.recipient) AS current"
    " FROM delegation d JOIN signer s ON s.name = d.signer"
)
BY_PASSWORD = Evidence(kind="password")


@dataclass(frozen=True, slots=True)
class Lent:
    """A delegation as it stands."""

    delegation: Delegation
    sealed: Mapping[str, str]
    current: str  # the signer's recipient today; '' if it is disabled

    def state(self, now: datetime) -> str:
        terms = self.delegation.terms
        if self.delegation.revoked:
            return "revoked"
        if now >= terms.end:
            return "ended"
        if self.delegation.left < 1:
            return "used up"
        if self.current not in self.sealed:
            return "void"  # the signer started anew, or is disabled; nobody can open what was sealed
        return "live" if now >= terms.start else "pending"


def draft(tx: Transaction, owner: str, key: Key, wish: Wish, recipient: PublicKey) -> Terms:
    """Return the exact terms for what `owner` wants to lend; see `lending.draft`. Nothing is stored."""
    return lending.draft(key.envelope, owner, wish, recipient, now=tx.now, nonce=tx.random(16))


def grant(
    tx: Transaction, owner: str, terms: Terms, sealed: Mapping[str, str], evidence: Evidence = BY_PASSWORD
) -> int:
    """Store a delegation: `owner`'s share, sealed to each recipient under `terms`. Return its entry.

    `evidence`, verified already, is how the owner agreed to the terms.
    """
    key = find_key(tx, terms.key_id)
    if terms.owner != owner or owner not in key.envelope.holdings:
        raise Forbidden(f"{owner} can lend only a share of their own")
    if not tx.row("SELECT 1 FROM account WHERE name = ? AND role = 'owner' AND NOT disabled", owner):
        raise Forbidden(f"{owner} is disabled")  # while the share was being sealed
    if terms.key != key.name or terms.signer not in key.envelope.facts.signers:
        raise Forbidden(f"{key.name} is not sealed for the signer {terms.signer}")
    if terms.end <= tx.now:
        raise BadInput("end", "the delegation would have ended already")
    row = tx.row("SELECT recipient FROM signer WHERE name = ? AND NOT disabled", terms.signer)
    if not row or [row["recipient"]] != [str(each) for each in terms.recipients]:
        raise Conflict(
            f"{terms.signer} has restarted since or is disabled; ask for new terms and delegate again"
        )
    if set(sealed) != {str(each) for each in terms.recipients}:
        raise BadInput("sealed", "must hold the share sealed to each recipient")
    if tx.row("SELECT 1 FROM delegation WHERE id = ?", terms.id):
        raise Conflict("these terms were granted already")
    tx.write(
        "INSERT INTO delegation VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
        terms.id,
        terms.key_id,
        owner,
        terms.signer,
        int(terms.end.timestamp()),
        bytes(terms),
        json.dumps(dict(sealed)),
        terms.uses,
    )
    return tx.append(_granted_event(terms, evidence), Actor(role="owner", name=owner))


def _granted_event(terms: Terms, evidence: Evidence) -> DelegationGranted:
    return DelegationGranted(
        id=terms.id,
        owner=terms.owner,
        key=terms.key,
        key_id=terms.key_id,
        signer=terms.signer,
        uses=terms.uses,
        start=format_instant(terms.start),
        end=format_instant(terms.end),
        constraints=Limits(
            profiles=list(terms.constraints.profiles),
            names=list(terms.constraints.names),
            max_validity=terms.constraints.max_validity,
            ca=int(terms.constraints.ca),
        ),
        request=terms.request,
        terms_sha256=terms.digest.hex(),
        evidence=evidence,
    )


def list_delegations(tx: Transaction, *, owner: str = "", key_id: str = "") -> list[Lent]:
    """Return delegations, newest first, of one owner or key or of all."""
    rows = tx.rows(
        f"{LENT} WHERE (owner = ? OR ? = '') AND (key_id = ? OR ? = '') ORDER BY d.rowid DESC LIMIT 1000",
        owner,
        owner,
        key_id,
        key_id,
    )
    return [parse_lent(row) for row in rows]


def unended_delegations(tx: Transaction, key_id: str) -> list[Lent]:
    """Return what owners who are not shut out lent of a key and has not ended, newest first."""
    rows = tx.rows(
        f"{LENT} JOIN account a ON a.name = d.owner AND a.disabled = 0"
        " WHERE d.key_id = ? AND d.ends > ? ORDER BY d.rowid DESC",
        key_id,
        tx.seconds,
    )
    return [parse_lent(row) for row in rows]


def find_delegation(tx: Transaction, delegation: str) -> Lent:
    row = tx.row(f"{LENT} WHERE d.id = ?", delegation)
    if not row:
        raise NotFound(f"there is no delegation {delegation}")
    return parse_lent(row)


def was_lent_by(tx: Transaction, delegation: str, owner: str) -> bool:
    return bool(tx.row("SELECT 1 FROM delegation WHERE id = ? AND owner = ?", delegation, owner))


def parse_lent(row: Mapping[str, Any]) -> Lent:
    terms = parse_terms(bytes(row["terms"]))
    delegation = Delegation(terms, int(row["left"]), bool(row["revoked"]))
    return Lent(delegation, json.loads(str(row["sealed"])), row["current"])


def not_shut_out(tx: Transaction, owners: Iterable[str]) -> list[str]:
    """Return those of `owners` whose accounts are not disabled."""
    disabled = {row["name"] for row in tx.rows("SELECT name FROM account WHERE disabled = 1")}
    return [owner for owner in owners if owner not in disabled]
