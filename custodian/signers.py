"""Signers: enrolled by invitation, known by an identity and a token, reached by a recipient."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from custodian.accounts import hash_secret, look_at_invitation
from custodian.encoding import encode_base64, format_instant, parse_instant
from custodian.ending import Ended, end_leases
from custodian.errors import BadInput, Conflict, NotFound, Unauthenticated
from custodian.events import Actor, SignerAnnounced, SignerDisabled, SignerEnrolled
from custodian.identity import Identity, parse_identity
from custodian.lending import Announcement
from custodian.sealing import PublicKey, parse_public_key
from custodian.store import Transaction

CLOCKS_APART = timedelta(minutes=5)  # a signer's may be so far ahead


@dataclass(frozen=True, slots=True)
class Signer:
    name: str
    identity: Identity
    recipient: PublicKey | None
    announced: datetime | None  # when the recipient was
    announcement: bytes
    disabled: bool

    @property
    def actor(self) -> Actor:
        return Actor(role="signer", name=self.name)

    @property
    def announces(self) -> Announcement | None:
        if self.recipient is None or self.announced is None:
            return None
        return Announcement(self.recipient, self.announced, self.announcement)


def enrol_signer(tx: Transaction, code: str, identity: str) -> tuple[str, str]:
    """Use a signer's invitation; return its name and the bearer token it authenticates with."""
    role, name = look_at_invitation(tx, code)
    if role != "signer":
        raise Conflict("the invitation is not for a signer")
    parsed = parse_identity(identity, "identity")
    tx.write("DELETE FROM invitation WHERE code_hash = ?", hash_secret(code))
    token = encode_base64(tx.random(33))
    tx.write(
        "INSERT INTO signer (name, identity, token_hash) VALUES (?, ?, ?)",
        name,
        str(parsed),
        hash_secret(token),
    )
    tx.append(SignerEnrolled(signer=name, identity=str(parsed)), Actor(role="signer", name=name))
    return name, token


def signer_by_token(tx: Transaction, token: str) -> Signer:
    row = tx.row("SELECT * FROM signer WHERE token_hash = ?", hash_secret(token))
    if not row or row["disabled"]:
        raise Unauthenticated("this token is not that of an enrolled signer")
    return _signer(row)


def find_signer(tx: Transaction, name: str) -> Signer:
    row = tx.row("SELECT * FROM signer WHERE name = ?", name)
    if not row:
        raise NotFound(f"there is no signer {name}; `custodian signer list` shows them")
    return _signer(row)


def disable_signer(tx: Transaction, name: str, by: Actor) -> list[Ended]:
    """Shut a signer out: its token is no longer its own; return its leases, which end with it."""
    if find_signer(tx, name).disabled:
        return []
    tx.write("UPDATE signer SET disabled = 1 WHERE name = ?", name)
    tx.append(SignerDisabled(signer=name), by)
    return end_leases(tx, "signer = ?", name, reason="revoked")


def list_signers(tx: Transaction) -> list[Signer]:
    return [_signer(row) for row in tx.rows("SELECT * FROM signer ORDER BY name")]


def announce(
    tx: Transaction, name: str, recipient: PublicKey, *, announced: datetime, signature: bytes
) -> list[Ended]:
    """Take a signer's new recipient, signed by its identity; what was lent to the old one is dead.

    Raises:
        Forbidden: not signed so. Conflict: not later than the one before, which may be a replay.
        BadInput: from the future.
    """
    signer = find_signer(tx, name)
    signer.identity.check_announcement(name, recipient, announced, signature)
    if signer.recipient == recipient:
        return []
    if signer.announced and announced <= signer.announced:
        last = format_instant(signer.announced)
        raise Conflict(f"a recipient of {name} was announced at {last} already; announce later than that")
    if announced > tx.now + CLOCKS_APART:
        raise BadInput("announced", f"is in the future; it is {format_instant(tx.now)} here")
    tx.write(
        "UPDATE signer SET recipient = ?, announced = ?, announcement = ? WHERE name = ?",
        str(recipient),
        format_instant(announced),
        signature,
        name,
    )
    tx.append(SignerAnnounced(signer=signer.name, recipient=str(recipient)), signer.actor)
    return end_leases(tx, "signer = ?", signer.name, reason="replaced")


def _signer(row: Mapping[str, Any]) -> Signer:
    recipient, announced = str(row["recipient"]), str(row["announced"])
    return Signer(
        name=str(row["name"]),
        identity=parse_identity(str(row["identity"]), "identity"),
        recipient=parse_public_key(recipient, "recipient") if recipient else None,
        announced=parse_instant(announced, "announced") if announced else None,
        announcement=bytes(row["announcement"]),
        disabled=bool(row["disabled"]),
    )
