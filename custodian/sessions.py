"""Sessions: a token with which a person reads for a working day.

A session lends nothing and changes no slot, account, signer or key: such a change carries its own proof.
So a stolen token tells what its owner may read, and can take back what was lent; no more.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

from custodian.accounts import hash_secret
from custodian.errors import Unauthenticated
from custodian.store import Transaction

PREFIX = "s-"
LIFE = 8 * 3600
MOST = 32  # of one person; the one that ends first makes place


@dataclass(frozen=True, slots=True)
class Session:
    """`id` is the SHA-256 of its token, which only its holder knows."""

    id: bytes
    name: str
    role: str
    expires: datetime


def start(tx: Transaction, name: str) -> tuple[str, Session]:
    """Start a session of a person who has just proven to be `name`; return its token and itself."""
    token = PREFIX + base64.urlsafe_b64encode(tx.random(33)).decode()
    digest = hash_secret(token)
    tx.write("INSERT INTO session VALUES (?, ?, ?)", digest, name, tx.seconds + LIFE)
    tx.write(
        "DELETE FROM session WHERE token_hash IN"
        " (SELECT token_hash FROM session WHERE name = ?"
        " ORDER BY expires DESC, rowid DESC LIMIT -1 OFFSET ?)",
        name,
        MOST,
    )
    return token, _find(tx, digest)


def find(tx: Transaction, token: str) -> Session:
    """Return the session of `token`. Raises Unauthenticated if it is over, or its account is shut out."""
    return _find(tx, hash_secret(token))


def _find(tx: Transaction, digest: bytes) -> Session:
    row = tx.row(
        "SELECT s.*, a.role FROM session s JOIN account a ON a.name = s.name"
        " WHERE token_hash = ? AND expires > ? AND NOT disabled",
        digest,
        tx.seconds,
    )
    if not row:
        raise Unauthenticated("this session is over; sign in again")
    return Session(digest, row["name"], row["role"], datetime.fromtimestamp(row["expires"], UTC))


def end(tx: Transaction, session: bytes) -> None:
    tx.write("DELETE FROM session WHERE token_hash = ?", session)


def end_all(tx: Transaction, name: str, but: bytes = b"") -> None:
    tx.write("DELETE FROM session WHERE name = ? AND token_hash <> ?", name, but)


def has_expired(tx: Transaction) -> bool:
    return bool(tx.row("SELECT 1 FROM session WHERE expires <= ?", tx.seconds))


def purge(tx: Transaction) -> None:
    tx.write("DELETE FROM session WHERE expires <= ?", tx.seconds)
