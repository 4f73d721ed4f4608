"""Delegations: what an owner lends, as exact terms and a share that only one recipient can open.

What is stored is ciphertext: the owner's share sealed to a signer's recipient, bound to the terms.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from custodian import lending
from custodian.errors import NotFound
from custodian.keys import Key
from custodian.lending import Wish
from custodian.quorum import Delegation
from custodian.sealing import PublicKey
from custodian.store import Transaction
from custodian.terms import Terms, parse_terms

LENT = (
    "SELECT d.*, iif(s.disabled, '', s.recipient) AS current"
    " FROM delegation d JOIN signer s ON s.name = d.signer"
)


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


@functools.lru_cache(maxsize=1024)
def known_terms(data: bytes) -> Terms:
    """Parse terms that were taken once; to do so for each look would cost more than all else in it."""
    return parse_terms(data)


def parse_lent(row: Mapping[str, Any]) -> Lent:
    terms = known_terms(bytes(row["terms"]))
    delegation = Delegation(terms, int(row["left"]), bool(row["revoked"]))
    return Lent(delegation, json.loads(str(row["sealed"])), row["current"])


def not_shut_out(tx: Transaction, owners: Iterable[str]) -> list[str]:
    """Return those of `owners` whose accounts are not disabled."""
    disabled = {row["name"] for row in tx.rows("SELECT name FROM account WHERE disabled = 1")}
    return [owner for owner in owners if owner not in disabled]
