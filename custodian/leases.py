"""Leases: one release of a key to a signer, for n uses, until t.

`quorum.py` decides; this file carries out what it decided, in the order that makes it safe: the uses
are taken and the history written in the transaction whose commit precedes every answer.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from custodian.delegations import LENT, Lent, not_shut_out, parse_lent, unended_delegations
from custodian.encoding import canonical_json, format_instant
from custodian.ending import end_lease
from custodian.errors import BadInput, Conflict, Forbidden, NotFound
from custodian.events import Actor, LeaseGranted, LeaseRefused, Spent, Wanted
from custodian.keys import Key, find_key
from custodian.quorum import Ask, Grant, Missing, judge, spend
from custodian.records import records_owed
from custodian.sealing import PublicKey
from custodian.store import Transaction
from custodian.terms import Purpose

MAX_LEASE = timedelta(hours=24)
REFUSALS_FOLDED = 60  # seconds; a signer that asks in a loop fills no history


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease with what opens it: the envelope and the shares that were lent for it."""

    id: str
    key: Key
    signer: str
    uses: int
    end: datetime
    entry: int
    recipient: str
    lent: tuple[Lent, ...]


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a signer asks, under its idempotency key."""

    id: str
    key: str
    recipient: PublicKey
    purpose: Purpose
    uses: int
    duration: timedelta

    @property
    def digest(self) -> bytes:
        purpose = self.purpose
        asked = [self.key, str(self.recipient), self.uses, int(self.duration.total_seconds())]
        wanted = [purpose.profile, list(purpose.names), purpose.validity, int(purpose.ca)]
        return hashlib.sha256(canonical_json([asked, wanted])).digest()


def lease(tx: Transaction, signer: str, request: LeaseRequest) -> str | Missing:
    """Grant a lease and return its id, or say who is missing.

    The same request id gives the same lease and spends nothing again; with another question under it
    the call is refused.
    """
    known = tx.row(
        "SELECT id, asked, ends, ended FROM lease WHERE signer = ? AND request = ?", signer, request.id
    )
    if known:
        if bytes(known["asked"]) != request.digest:
            raise Conflict("this request id was used for another question; use a new one")
        if known["ended"] or known["ends"] <= tx.seconds:
            raise Conflict(f"the lease of this request has ended: {known['ended'] or 'expired'}")
        return str(known["id"])
    key = find_key(tx, request.key)
    if signer not in key.envelope.facts.signers:
        raise Forbidden(f"{key.name} is not sealed for the signer {signer}")
    if owed := records_owed(tx, signer):
        raise Conflict(f"records of {owed} signatures are owed; send them before asking again")
    ask = Ask(
        key_id=key.id,
        signer=signer,
        recipient=request.recipient,
        purpose=request.purpose,
        uses=request.uses,
        until=(tx.now + min(request.duration, MAX_LEASE)).replace(microsecond=0),
    )
    delegations = [lent.delegation for lent in unended_delegations(tx, key.id)]
    verdict = judge(key.envelope.facts.policy, delegations, ask, tx.now)
    if isinstance(verdict, Missing):
        missing = replace(verdict, any_of=tuple(not_shut_out(tx, verdict.any_of)))
        _refuse(tx, signer, key, missing)
        return missing
    return _grant_lease(tx, key, request, ask, verdict)


def _grant_lease(tx: Transaction, key: Key, request: LeaseRequest, ask: Ask, grant: Grant) -> str:
    lease_id = f"l-{tx.random(12).hex()}"
    _take_uses(tx, grant)
    event = _granted_event(lease_id, key.name, ask, grant)
    entry = tx.append(event, Actor(role="signer", name=ask.signer))
    tx.write(
        "INSERT INTO lease (id, signer, recipient, request, asked, key_id, uses, ends, entry)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        lease_id,
        ask.signer,
        str(ask.recipient),
        request.id,
        request.digest,
        key.id,
        grant.uses,
        int(grant.end.timestamp()),
        entry,
    )
    for each in grant.spent:
        tx.write("INSERT INTO lease_delegation VALUES (?, ?)", lease_id, each.terms.id)
    return lease_id


def _take_uses(tx: Transaction, grant: Grant) -> None:
    for old, new in zip(grant.spent, spend(grant), strict=True):
        changed = tx.write(
            "UPDATE delegation SET left = ? WHERE id = ? AND left = ? AND revoked = 0",
            new.left,
            old.terms.id,
            old.left,
        )
        if changed != 1:
            raise RuntimeError("a delegation changed inside its own transaction")


def _granted_event(lease_id: str, key: str, ask: Ask, grant: Grant) -> LeaseGranted:
    purpose = ask.purpose
    return LeaseGranted(
        lease=lease_id,
        key=key,
        key_id=ask.key_id,
        signer=ask.signer,
        recipient=str(ask.recipient),
        uses=grant.uses,
        end=format_instant(grant.end),
        purpose=Wanted(
            profile=purpose.profile,
            names=list(purpose.names),
            validity=purpose.validity,
            ca=int(purpose.ca),
        ),
        spent=[
            Spent(delegation=old.terms.id, owner=old.terms.owner, before=old.left, after=new.left)
            for old, new in zip(grant.spent, spend(grant), strict=True)
        ],
    )


def _refuse(tx: Transaction, signer: str, key: Key, missing: Missing) -> None:
    told = f"refused:{signer}:{key.name}"
    row = tx.row("SELECT value FROM meta WHERE name = ?", told)
    if row and int(row["value"]) + REFUSALS_FOLDED > tx.seconds:
        return
    tx.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", told, str(tx.seconds))
    tx.append(
        LeaseRefused(key=key.name, signer=signer, needed=missing.count, any_of=list(missing.any_of)),
        Actor(role="signer", name=signer),
    )


def find_lease(tx: Transaction, signer: str, lease_id: str) -> Lease:
    row = tx.row("SELECT * FROM lease WHERE id = ? AND signer = ?", lease_id, signer)
    if not row:
        raise NotFound(f"{signer} has no lease {lease_id}")
    lent = tx.rows(
        f"{LENT} JOIN lease_delegation l ON l.delegation = d.id WHERE l.lease = ? ORDER BY d.owner",
        lease_id,
    )
    return Lease(
        id=lease_id,
        key=find_key(tx, row["key_id"]),
        signer=signer,
        uses=row["uses"],
        end=datetime.fromtimestamp(row["ends"], UTC),
        entry=row["entry"],
        recipient=row["recipient"],
        lent=tuple(map(parse_lent, lent)),
    )


@dataclass(frozen=True, slots=True)
class LeaseSummary:
    """What people may know of a lease: everything but what opens it."""

    id: str
    key: str
    signer: str
    uses: int
    end: datetime
    ended: str
    delegations: tuple[str, ...]

    def state(self, now: datetime) -> str:
        return self.ended or ("live" if now < self.end else "expired")


def list_leases(tx: Transaction, signer: str = "") -> list[LeaseSummary]:
    """Return leases, newest first, of one signer or of all."""
    rows = tx.rows(
        "SELECT lease.*, key.name AS key, (SELECT group_concat(delegation) FROM lease_delegation"
        " WHERE lease = lease.id) AS delegations FROM lease JOIN key ON key.id = key_id"
        " WHERE signer = ? OR ? = '' ORDER BY lease.rowid DESC LIMIT 1000",
        signer,
        signer,
    )
    return [
        LeaseSummary(
            id=row["id"],
            key=row["key"],
            signer=row["signer"],
            uses=row["uses"],
            end=datetime.fromtimestamp(row["ends"], UTC),
            ended=row["ended"],
            delegations=tuple(sorted(row["delegations"].split(","))),
        )
        for row in rows
    ]


def live_leases(tx: Transaction, signer: str, key_id: str = "") -> list[str]:
    rows = tx.rows(
        "SELECT id FROM lease WHERE signer = ? AND ended = '' AND ends > ? AND (key_id = ? OR ? = '')",
        signer,
        tx.seconds,
        key_id,
        key_id,
    )
    return [row["id"] for row in rows]


def close_lease(tx: Transaction, signer: str, lease_id: str, used: int) -> int:
    """End a lease cleanly; unused uses go back to each delegation. Return how many did.

    What was declared `used` first holds: there is no signature beyond it.
    """
    row = tx.row("SELECT * FROM lease WHERE id = ? AND signer = ?", lease_id, signer)
    if not row:
        raise NotFound(f"{signer} has no lease {lease_id}")
    if not 0 <= used <= row["uses"]:
        raise BadInput("used", f"must be from 0 to {row['uses']}")
    known = tx.rows("SELECT count(*) AS n, max(number) AS last FROM signature WHERE lease = ?", lease_id)[0]
    recorded = int(known["n"])
    if used < (known["last"] or 0):
        raise BadInput("used", f"{recorded} signatures of this lease are recorded")
    if row["used"] is not None:
        return 0
    tx.write("UPDATE lease SET used = ?, owed = ? WHERE id = ?", used, used - recorded, lease_id)
    if row["ended"]:
        return 0
    returned = int(row["uses"]) - used
    tx.write(
        "UPDATE delegation SET left = left + ? WHERE id IN"
        " (SELECT delegation FROM lease_delegation WHERE lease = ?)",
        returned,
        lease_id,
    )
    end_lease(tx, lease_id, "closed", returned)
    return returned
