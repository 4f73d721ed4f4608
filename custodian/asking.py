"""Asking for a key: by people, by signers, and by the custodian for a signer that found no quorum."""

from dataclasses import dataclass
from datetime import timedelta

from custodian.encoding import format_instant
from custodian.errors import BadInput, Conflict, Forbidden, TooMany
from custodian.events import Actor, Limits, RequestMade
from custodian.keys import Key, find_key
from custodian.leases import LeaseRequest
from custodian.petition import MAX_WAIT, Petition, parse_petition
from custodian.requests import (
    Request,
    asker_of,
    can_be_met,
    check_waiting,
    find_request,
    may_answer,
    recent_requests,
    tell,
)
from custodian.store import Transaction
from custodian.terms import MAX_LIFE, Constraints

MOST_WAITING = 32  # of one who asks
MOST_AN_HOUR = 96  # also of one who takes back what they asked: owners hear of each
MOST_AUTOMATIC = 8  # of one signer and key
AUTOMATIC = "a signing call found no quorum"  # the reason of those
AUTOMATIC_PATIENCE = timedelta(hours=1)
AUTOMATIC_LEAST = timedelta(hours=1)  # to lend for; owners are not asked again with every lease
NO_FOR = 600  # seconds for which nobody is asked again what was declined or vetoed
REMIND_AGAIN = 600  # seconds


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked for, before it is made into a petition."""

    key: str
    signer: str
    uses: int
    duration: timedelta
    constraints: Constraints
    reason: str
    on_behalf: str = ""
    patience: timedelta = timedelta(days=1)


def make(tx: Transaction, asker: Actor, need: Need) -> Request:
    """Ask for a key, in the name of `asker`.

    Raises:
        BadInput: outside the limits. Forbidden: not for this signer, or not for this asker to ask.
        Conflict: nobody could answer. TooMany: this asker has enough requests that wait.
    """
    key = find_key(tx, need.key)
    _check_signer(tx, key, asker, need.signer)
    if need.on_behalf and asker.role != "signer":
        raise BadInput("on_behalf", "is for signers to say; people ask in their own name")
    if need.duration > MAX_LIFE:
        raise BadInput("duration", f"must be at most {MAX_LIFE.days} days")
    if need.patience > MAX_WAIT:
        raise BadInput("expires_in", f"must be at most {MAX_WAIT.days} days")
    _check_count(tx, asker)
    petition = _petition(tx, key, asker, need)
    request = Request(petition, "", None, 0)
    barred = [each for each in key.envelope.holdings if not may_answer(request, key, each)]
    if not can_be_met(tx, key, barred):
        raise Conflict(f"the owners of {key.name} who could answer are too few to open it")
    _store(tx, petition)
    tell(tx, "made", request)
    return request


def _check_signer(tx: Transaction, key: Key, asker: Actor, signer: str) -> None:
    if signer not in key.envelope.facts.signers:
        raise Forbidden(f"{key.name} is not sealed for the signer {signer}")
    if asker.role == "signer" and asker.name != signer:
        raise Forbidden(f"a signer asks for itself, and {signer} is another")
    if tx.row("SELECT 1 FROM signer WHERE name = ? AND disabled", signer):
        raise Conflict(f"the signer {signer} is disabled; nothing can be lent to it")


def _check_count(tx: Transaction, asker: Actor) -> None:
    rows = tx.rows(
        "SELECT expires FROM request WHERE outcome = '' AND expires > ? AND role = ? AND asker = ?"
        " ORDER BY expires",
        tx.seconds,
        asker.role,
        asker.name,
    )
    if len(rows) >= MOST_WAITING:
        raise TooMany(
            f"{len(rows)} requests of {asker.name} wait already; withdraw some or wait for the answers",
            retry_after=rows[0]["expires"] - tx.seconds,
        )
    lately = tx.rows(
        "SELECT made FROM request WHERE made > ? AND role = ? AND asker = ? ORDER BY made",
        tx.seconds - 3600,
        asker.role,
        asker.name,
    )
    if len(lately) >= MOST_AN_HOUR:
        wait = lately[-MOST_AN_HOUR]["made"] + 3600 - tx.seconds
        asked = f"{asker.name} asked {len(lately)} times within an hour"
        raise TooMany(f"{asked}; try again in {wait} s", retry_after=wait)


def _petition(tx: Transaction, key: Key, asker: Actor, need: Need) -> Petition:
    made = tx.now.replace(microsecond=0)
    petition = Petition(
        key=key.name,
        key_id=key.id,
        signer=need.signer,
        role=asker.role,
        asker=asker.name,
        on_behalf=need.on_behalf,
        uses=need.uses,
        seconds=int(need.duration.total_seconds()),
        constraints=need.constraints,
        reason=need.reason,
        made=made,
        expires=made + need.patience,
        nonce=tx.random(16).hex(),
    )
    return parse_petition(bytes(petition))  # what the asker's own device would refuse is refused here


def _store(tx: Transaction, petition: Petition) -> None:
    tx.write(
        "INSERT INTO request (id, body, key_id, signer, role, asker, made, expires)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        petition.id,
        bytes(petition),
        petition.key_id,
        petition.signer,
        petition.role,
        petition.asker,
        int(petition.made.timestamp()),
        int(petition.expires.timestamp()),
    )
    event = RequestMade(
        request=petition.id,
        key=petition.key,
        key_id=petition.key_id,
        signer=petition.signer,
        on_behalf=petition.on_behalf,
        uses=petition.uses,
        seconds=petition.seconds,
        constraints=Limits(**petition.constraints.record()),
        reason=petition.reason,
        expires=format_instant(petition.expires),
    )
    tx.append(event, asker_of(petition))


def ask_for_quorum(tx: Transaction, signer: str, wanted: LeaseRequest) -> Request | None:
    """Ask in the name of `signer`, whose call for a lease just found no quorum, or find what asks already.

    None where nobody is asked: it was declined or vetoed a moment ago, cannot be said as constraints, or
    enough of these wait.
    """
    key, purpose = find_key(tx, wanted.key), wanted.purpose
    known = [
        each
        for each in recent_requests(tx, tx.seconds - NO_FOR, key_id=key.id, signer=signer)
        if each.petition.constraints.refusal(purpose) is None
    ]
    waiting = [each for each in known if each.state(tx.now) == "waiting"]
    if waiting:
        return waiting[0]
    if any(each.outcome in ("declined", "vetoed") for each in known):
        return None
    if _automatic_waiting(tx, signer, key) >= MOST_AUTOMATIC:
        return None
    profiles = (purpose.profile,) if purpose.profile else ()
    limits = Constraints(profiles, purpose.names, max(purpose.validity, 1), purpose.ca)
    need = Need(
        key=key.name,
        signer=signer,
        uses=wanted.uses,
        duration=max(wanted.duration, AUTOMATIC_LEAST),
        constraints=limits,
        reason=AUTOMATIC,
        patience=AUTOMATIC_PATIENCE,
    )
    try:
        return make(tx, Actor(role="signer", name=signer), need)
    except (BadInput, Conflict, TooMany):  # before anything was written
        return None


def _automatic_waiting(tx: Transaction, signer: str, key: Key) -> int:
    return sum(
        each.petition.reason == AUTOMATIC
        and each.petition.role == "signer"
        and each.state(tx.now) == "waiting"
        for each in recent_requests(tx, tx.seconds, key_id=key.id, signer=signer)
    )


def remind(tx: Transaction, request_id: str) -> Request:
    """Tell the owners once more of a request that waits.

    Raises:
        TooMany: they were reminded a moment ago.
    """
    request = find_request(tx, request_id)
    check_waiting(tx, request)
    wait = request.reminded + REMIND_AGAIN - tx.seconds
    if wait > 0:
        raise TooMany(f"the owners were reminded a moment ago; try again in {wait} s", retry_after=wait)
    tx.write("UPDATE request SET reminded = ? WHERE id = ?", tx.seconds, request.id)
    tell(tx, "reminder", request)
    return find_request(tx, request.id)
