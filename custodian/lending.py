"""Keys, delegations and leases: each function is one change or one look, inside a transaction.

`quorum.py` decides; this file only carries out what it decided. What is stored of a delegation is
ciphertext: the owner's share sealed to a signer's recipient, bound to the terms.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from custodian.encoding import canonical_json, format_instant
from custodian.envelope import Envelope, parse_envelope
from custodian.errors import BadInput, Conflict, Forbidden, NotFound
from custodian.events import (
    Actor,
    DelegationGranted,
    DelegationRevoked,
    KeySealed,
    LeaseEnded,
    LeaseGranted,
    LeaseRefused,
    Limits,
    SignatureRecorded,
    Spent,
    Wanted,
)
from custodian.quorum import Ask, Delegation, Grant, Missing, judge, spend
from custodian.sealing import PublicKey
from custodian.store import Transaction
from custodian.terms import MAX_LIFE, Constraints, Purpose, Terms, check_limits, parse_terms

MAX_LEASE = timedelta(hours=24)
REFUSALS_FOLDED = 60  # seconds; a signer that asks in a loop fills no history
SLACK = 60  # seconds a signer has to close a lease after its end


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    envelope: Envelope
    certificate: str

    @property
    def id(self) -> str:
        return self.envelope.facts.id


@dataclass(frozen=True, slots=True)
class Lent:
    """A delegation as it stands."""

    delegation: Delegation
    sealed: Mapping[str, str]

    def state(self, now: datetime) -> str:
        terms = self.delegation.terms
        if self.delegation.revoked:
            return "revoked"
        if now >= terms.end:
            return "ended"
        if self.delegation.left < 1:
            return "used up"
        return "live" if now >= terms.start else "pending"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an owner wants to lend, before it is made into exact terms."""

    signer: str
    recipient: PublicKey
    uses: int
    start: datetime | None  # None: now
    duration: timedelta
    constraints: Constraints
    request: str


@dataclass(frozen=True, slots=True)
class Lease:
    id: str
    key: Key
    signer: str
    uses: int
    end: datetime
    entry: int
    ended: str
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


@dataclass(frozen=True, slots=True)
class Signature:
    """A signer's record of one signature, made before the signature left it."""

    lease: str
    number: int
    tbs_sha256: str
    serial: str
    profile: str
    names: tuple[str, ...]
    not_after: datetime


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


def draft(tx: Transaction, owner: str, key: Key, wish: Wish) -> Terms:
    """Return the exact terms for what `owner` wants to lend. Nothing is stored.

    Raises:
        BadInput: the wish is outside the limits. Forbidden: owner or signer has no part in the key.
    """
    if owner not in key.envelope.holdings:
        raise Forbidden(f"{owner} holds no share of {key.name}")
    if wish.signer not in key.envelope.facts.signers:
        raise Forbidden(f"{key.name} is not sealed for the signer {wish.signer}")
    start = (wish.start or tx.now).replace(microsecond=0)
    if start > tx.now + MAX_LIFE:
        raise BadInput("start", f"must be within {MAX_LIFE.days} days from now")
    if wish.duration > MAX_LIFE:
        raise BadInput("duration", f"must be at most {MAX_LIFE.days} days")
    end = start + wish.duration
    if end <= tx.now:
        raise BadInput("start", "the delegation would have ended already")
    return check_limits(
        Terms(
            key=key.name,
            key_id=key.id,
            owner=owner,
            signer=wish.signer,
            recipients=(wish.recipient,),
            uses=wish.uses,
            start=start,
            end=end,
            constraints=wish.constraints,
            request=wish.request,
            nonce=tx.random(16).hex(),
        )
    )


def grant(tx: Transaction, owner: str, terms: Terms, sealed: Mapping[str, str]) -> str:
    """Store a delegation: `owner`'s share, sealed to each recipient under `terms`. Return its id."""
    key = find_key(tx, terms.key_id)
    if terms.owner != owner or owner not in key.envelope.holdings:
        raise Forbidden(f"{owner} can lend only a share of their own")
    if terms.key != key.name or terms.signer not in key.envelope.facts.signers:
        raise Forbidden(f"{key.name} is not sealed for the signer {terms.signer}")
    if terms.end <= tx.now:
        raise BadInput("end", "the delegation would have ended already")
    row = tx.row("SELECT recipient FROM signer WHERE name = ?", terms.signer)
    if not row or [row["recipient"]] != [str(each) for each in terms.recipients]:
        raise Conflict(f"{terms.signer} has restarted since; ask for new terms and delegate again")
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
    tx.append(_granted_event(terms), Actor(role="owner", name=owner))
    return terms.id


def _granted_event(terms: Terms) -> DelegationGranted:
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
    )


def list_delegations(tx: Transaction, *, owner: str = "", key_id: str = "") -> list[Lent]:
    """Return delegations, newest first, of one owner or key or of all."""
    rows = tx.rows(
        "SELECT * FROM delegation WHERE (owner = ? OR ? = '') AND (key_id = ? OR ? = '')"
        " ORDER BY rowid DESC LIMIT 1000",
        owner,
        owner,
        key_id,
        key_id,
    )
    return [_lent(row) for row in rows]


def find_delegation(tx: Transaction, delegation: str) -> Lent:
    row = tx.row("SELECT * FROM delegation WHERE id = ?", delegation)
    if not row:
        raise NotFound(f"there is no delegation {delegation}")
    return _lent(row)


def revoke(tx: Transaction, owner: str, delegation: str) -> list[str]:
    """Revoke a delegation of `owner`; return the leases that end with it. Twice is not an error."""
    lent = find_delegation(tx, delegation)
    if lent.delegation.terms.owner != owner:
        raise Forbidden("only the owner who delegated can revoke")
    return _revoke(tx, lent, Actor(role="owner", name=owner))


def revoke_all(tx: Transaction, owner: str, by: Actor) -> list[str]:
    """Revoke whatever `owner` lent and is not over."""
    rows = tx.rows("SELECT * FROM delegation WHERE owner = ? AND ends > ?", owner, tx.seconds)
    return [lease for row in rows for lease in _revoke(tx, _lent(row), by)]


def _revoke(tx: Transaction, lent: Lent, by: Actor) -> list[str]:
    delegation = lent.delegation
    if delegation.revoked:
        return []
    tx.write("UPDATE delegation SET revoked = 1 WHERE id = ?", delegation.terms.id)
    tx.append(DelegationRevoked(id=delegation.terms.id, left=delegation.left), by)
    where = "id IN (SELECT lease FROM lease_delegation WHERE delegation = ?)"
    return end_leases(tx, where, delegation.terms.id, reason="revoked")


def lease(tx: Transaction, signer: str, request: LeaseRequest) -> str | Missing:
    """Grant a lease and return its id, or say who is missing.

    The same request id gives the same lease and spends nothing again; with another question under it
    the call is refused.
    """
    known = tx.row("SELECT id, asked FROM lease WHERE signer = ? AND request = ?", signer, request.id)
    if known:
        if bytes(known["asked"]) != request.digest:
            raise Conflict("this request id was used for another question; use a new one")
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
    candidates = tx.rows(
        "SELECT d.* FROM delegation d JOIN account a ON a.name = d.owner AND a.disabled = 0"
        " WHERE d.key_id = ? AND d.ends > ?",
        key.id,
        tx.seconds,
    )
    delegations = [_lent(row).delegation for row in candidates]
    verdict = judge(key.envelope.facts.policy, delegations, ask, tx.now)
    if isinstance(verdict, Missing):
        _refuse(tx, signer, key, verdict)
        return verdict
    return _grant_lease(tx, key, request, ask, verdict)


def _grant_lease(tx: Transaction, key: Key, request: LeaseRequest, ask: Ask, grant: Grant) -> str:
    lease_id = f"l-{tx.random(12).hex()}"
    after = spend(grant)
    for old, new in zip(grant.spent, after, strict=True):
        changed = tx.write(
            "UPDATE delegation SET left = ? WHERE id = ? AND left = ? AND revoked = 0",
            new.left,
            old.terms.id,
            old.left,
        )
        if changed != 1:
            raise RuntimeError("a delegation changed inside its own transaction")
    purpose = ask.purpose
    entry = tx.append(
        LeaseGranted(
            lease=lease_id,
            key=key.name,
            key_id=key.id,
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
                for old, new in zip(grant.spent, after, strict=True)
            ],
        ),
        Actor(role="signer", name=ask.signer),
    )
    tx.write(
        "INSERT INTO lease (id, signer, request, asked, key_id, uses, ends, entry)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        lease_id,
        ask.signer,
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
        "SELECT d.* FROM delegation d JOIN lease_delegation l ON l.delegation = d.id"
        " WHERE l.lease = ? ORDER BY d.owner",
        lease_id,
    )
    return Lease(
        id=lease_id,
        key=find_key(tx, row["key_id"]),
        signer=signer,
        uses=row["uses"],
        end=datetime.fromtimestamp(row["ends"], UTC),
        entry=row["entry"],
        ended=row["ended"],
        lent=tuple(map(_lent, lent)),
    )


def live_leases(tx: Transaction, signer: str) -> list[str]:
    rows = tx.rows("SELECT id FROM lease WHERE signer = ? AND ended = '' AND ends > ?", signer, tx.seconds)
    return [row["id"] for row in rows]


def close_lease(tx: Transaction, signer: str, lease_id: str, used: int) -> int:
    """End a lease cleanly; unused uses go back to each delegation. Return how many did."""
    row = tx.row("SELECT * FROM lease WHERE id = ? AND signer = ?", lease_id, signer)
    if not row:
        raise NotFound(f"{signer} has no lease {lease_id}")
    if not 0 <= used <= row["uses"]:
        raise BadInput("used", f"must be from 0 to {row['uses']}")
    recorded = tx.row("SELECT count(*) AS n FROM signature WHERE lease = ?", lease_id)
    if recorded and used < recorded["n"]:
        raise BadInput("used", f"{recorded['n']} signatures of this lease are recorded")
    tx.write("UPDATE lease SET used = ? WHERE id = ?", used, lease_id)
    if row["ended"]:
        return 0
    returned = int(row["uses"]) - used
    tx.write(
        "UPDATE delegation SET left = left + ? WHERE id IN"
        " (SELECT delegation FROM lease_delegation WHERE lease = ?)",
        returned,
        lease_id,
    )
    _end(tx, lease_id, "closed", returned)
    return returned


def end_leases(tx: Transaction, where: str, *values: object, reason: str) -> list[str]:
    """End the leases that `where` (a constant of ours) picks and are not over; nothing returns."""
    rows = tx.rows(f"SELECT id FROM lease WHERE ended = '' AND {where}", *values)  # noqa: S608
    for row in rows:
        _end(tx, row["id"], reason, 0)
    return [row["id"] for row in rows]


def end_expired_leases(tx: Transaction) -> list[str]:
    """End the leases that nobody closed although they are over."""
    return end_leases(tx, "ends < ?", tx.seconds - SLACK, reason="expired")


def _end(tx: Transaction, lease_id: str, reason: str, returned: int) -> None:
    tx.write("UPDATE lease SET ended = ? WHERE id = ?", reason, lease_id)
    tx.append(LeaseEnded.model_validate({"lease": lease_id, "reason": reason, "returned": returned}))


def record(tx: Transaction, signer: str, signatures: list[Signature]) -> int:
    """Write signatures into the history, each once; return how many were new."""
    new = 0
    for signature in signatures:
        row = tx.row("SELECT uses FROM lease WHERE id = ? AND signer = ?", signature.lease, signer)
        if not row or not 1 <= signature.number <= row["uses"]:
            raise BadInput("records", f"{signature.lease} has no signature {signature.number}")
        if tx.write("INSERT OR IGNORE INTO signature VALUES (?, ?)", signature.lease, signature.number):
            new += 1
            tx.append(_signature_event(signature), Actor(role="signer", name=signer))
    return new


def _signature_event(signature: Signature) -> SignatureRecorded:
    return SignatureRecorded(
        lease=signature.lease,
        number=signature.number,
        tbs_sha256=signature.tbs_sha256,
        serial=signature.serial,
        profile=signature.profile,
        names=list(signature.names),
        not_after=format_instant(signature.not_after),
    )


def records_owed(tx: Transaction, signer: str) -> int:
    """Return how many signatures of ended leases the signer said it made and has not recorded."""
    row = tx.row(
        "SELECT coalesce(sum(used - (SELECT count(*) FROM signature s WHERE s.lease = lease.id)), 0) AS n"
        " FROM lease WHERE signer = ? AND used IS NOT NULL",
        signer,
    )
    return int(row["n"]) if row else 0


def _key(row: Mapping[str, object]) -> Key:
    envelope = parse_envelope(bytes(row["envelope"]))  # type: ignore[arg-type]
    return Key(str(row["name"]), envelope, str(row["certificate"]))


def _lent(row: Mapping[str, object]) -> Lent:
    terms = parse_terms(bytes(row["terms"]))  # type: ignore[arg-type]
    delegation = Delegation(terms, int(str(row["left"])), bool(row["revoked"]))
    return Lent(delegation, json.loads(str(row["sealed"])))
