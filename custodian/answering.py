"""How requests end: answered by delegations, declined or vetoed by owners, withdrawn, or by time."""

from custodian.delegations import Lent
from custodian.ending import Ended, revoke_lent
from custodian.errors import Conflict, Forbidden
from custodian.events import CUSTODIAN, Actor, RequestDeclined, RequestEnded
from custodian.keys import Key, find_key
from custodian.quorum import Grant
from custodian.requests import (
    Request,
    answers,
    asker_of,
    can_be_met,
    check_waiting,
    declined_by,
    find_request,
    list_requests,
    loans_of,
    may_answer,
    recent_requests,
    standing,
    tell,
)
from custodian.store import Transaction


def end(tx: Transaction, request: Request, outcome: str, by: Actor = CUSTODIAN) -> Request:
    """End a request, in the history too, and tell who asked."""
    tx.write("UPDATE request SET outcome = ?, ended = ? WHERE id = ?", outcome, tx.seconds, request.id)
    tx.append(RequestEnded.model_validate({"request": request.id, "outcome": outcome}), by)
    ended = find_request(tx, request.id)
    tell(tx, "ended", ended)
    return ended


def end_answered(tx: Transaction, key: Key, signer: str, by: Actor) -> None:
    """End the requests for `key` through `signer` that a quorum now answers."""
    loans = loans_of(tx, key)
    for request in list_requests(tx, state="waiting", key_id=key.id, signer=signer):
        if isinstance(standing(tx, request.petition, loans), Grant):
            end(tx, request, "answered", by)


def decline(tx: Transaction, owner: str, request_id: str, reason: str) -> Request:
    """Say that `owner` will not lend for a request; twice is not an error.

    It ends when those who did not decline cannot satisfy the policy any more.
    """
    request, key = _find_for(tx, owner, request_id)
    check_waiting(tx, request)
    for lent in _unended_answers(tx, request):
        if lent.delegation.terms.owner == owner:
            given = lent.delegation.terms.id
            raise Conflict(
                f"you answered {request.id} with {given}; take that back first: custodian revoke {given}"
            )
    if owner in declined_by(tx, request.id):
        return request
    _store(tx, owner, request, reason, veto=0)
    cannot = declined_by(tx, request.id)
    cannot |= {each for each in key.envelope.holdings if not may_answer(request, key, each)}
    if can_be_met(tx, key, cannot):
        return request
    return end(tx, request, "declined", Actor(role="owner", name=owner))


def veto(tx: Transaction, owner: str, request_id: str, reason: str) -> tuple[Request, list[Ended]]:
    """Stop a request for good, and take back what answers it; return the leases that end with that.

    It can be stopped while it waits, and while a delegation that answers it is not over.

    Raises:
        Forbidden: `owner` alone cannot. Conflict: there is nothing left to stop.
    """
    request, key = _find_for(tx, owner, request_id)
    if owner not in key.envelope.facts.veto:
        raise Forbidden(
            f"{owner} alone cannot stop a request for {key.name}; "
            f"they may decline it: custodian request decline {request.id}"
        )
    if request.outcome == "vetoed":
        return request, []
    lent = _unended_answers(tx, request)
    if not lent:
        check_waiting(tx, request)
    by = Actor(role="owner", name=owner)
    _store(tx, owner, request, reason, veto=1)
    ended = [lease for each in lent for lease in revoke_lent(tx, each, by)]
    return end(tx, request, "vetoed", by), ended


def withdraw(tx: Transaction, asker: Actor, request_id: str) -> Request:
    """Take a request back; what was lent for it already stays lent."""
    request = find_request(tx, request_id)
    if asker_of(request.petition) != asker:
        raise Forbidden(f"only {request.petition.asker}, who asked, can withdraw {request.id}")
    check_waiting(tx, request)
    return end(tx, request, "withdrawn", asker)


def overdue(tx: Transaction) -> list[tuple[Request, str]]:
    """Return the requests that time has ended, each with its outcome: a delegation may begin later."""
    found = []
    for request in recent_requests(tx, tx.seconds):
        if request.state(tx.now) == "expired":
            found.append((request, "expired"))
        elif request.outcome == "" and _is_answered(tx, request):
            found.append((request, "answered"))
    return found


def _is_answered(tx: Transaction, request: Request) -> bool:
    """Say whether a delegation names a request, and a quorum answers it."""
    if not answers(tx, request.id):
        return False
    loans = loans_of(tx, find_key(tx, request.petition.key_id))
    return isinstance(standing(tx, request.petition, loans), Grant)


def end_overdue(tx: Transaction) -> None:
    """End the requests that time has ended."""
    for request, outcome in overdue(tx):
        end(tx, request, outcome)


def _find_for(tx: Transaction, owner: str, request_id: str) -> tuple[Request, Key]:
    request = find_request(tx, request_id)
    key = find_key(tx, request.petition.key_id)
    if owner not in key.envelope.holdings:
        raise Forbidden(f"{owner} holds no share of {key.name}")
    return request, key


def _unended_answers(tx: Transaction, request: Request) -> list[Lent]:
    return [each for each in answers(tx, request.id) if each.state(tx.now) not in ("revoked", "ended")]


def _store(tx: Transaction, owner: str, request: Request, reason: str, *, veto: int) -> None:
    tx.write(
        "INSERT OR REPLACE INTO decline VALUES (?, ?, ?, ?, ?)", request.id, owner, reason, veto, tx.seconds
    )
    event = RequestDeclined(request=request.id, reason=reason, veto=veto)
    tx.append(event, Actor(role="owner", name=owner))
