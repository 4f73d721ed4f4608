"""Requests as they stand: somebody needs a key, and its owners answer, or decline, or the time runs out.

A request **waits** until it ends, in one of five ways:

    answered    a quorum for what it asks is live; owners may still add to it until it expires
    declined    the owners who have not declined cannot satisfy the policy any more
    vetoed      one of those owners said no who may stop a request alone
    expired     its own clock ran out
    withdrawn   who asked took it back

What a request says never changes (petition.py); how it stands does (asking.py, answering.py). It opens
nothing: only quorum.py decides that, and asking it is how we know that a request is answered.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from custodian import notices
from custodian.delegations import LENT, Lent, not_shut_out, parse_lent, unended_delegations
from custodian.errors import Conflict, NotFound
from custodian.events import Actor
from custodian.keys import Key, find_key
from custodian.petition import Petition, parse_petition
from custodian.quorum import Ask, Delegation, Grant, Missing, judge
from custodian.sealing import parse_public_key
from custodian.store import Transaction

ID = re.compile("r-[0-9a-f]{12}")
STATES = ("waiting", "answered", "declined", "vetoed", "expired", "withdrawn")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands; `outcome` is '' while it waits."""

    petition: Petition
    outcome: str
    ended: datetime | None
    reminded: int

    @property
    def id(self) -> str:
        return self.petition.id

    def state(self, now: datetime) -> str:
        if self.outcome:
            return self.outcome
        return "waiting" if now < self.petition.expires else "expired"


def find_request(tx: Transaction, request: str) -> Request:
    row = tx.row("SELECT * FROM request WHERE id = ?", request)
    if not row:
        raise NotFound(f"there is no request {request[:64]}; `custodian request list` shows them")
    return _request(row)


def list_requests(tx: Transaction, *, state: str = "", key_id: str = "", signer: str = "") -> list[Request]:
    """Return requests, newest first, of one state, key or signer or of all."""
    rows = tx.rows(
        "SELECT * FROM request WHERE (key_id = ?1 OR ?1 = '') AND (signer = ?2 OR ?2 = '') AND (?3 = ''"
        " OR ?3 = iif(outcome <> '', outcome, iif(expires > ?4, 'waiting', 'expired')))"
        " ORDER BY rowid DESC LIMIT 1000",
        key_id,
        signer,
        state,
        tx.seconds,
    )
    return [_request(row) for row in rows]


def recent_requests(
    tx: Transaction, since: int, *, key_id: str = "", signer: str = "", most: int = -1
) -> list[Request]:
    """Return the requests that wait or ended after the Unix second `since`, newest first, `most` at most."""
    rows = tx.rows(
        "SELECT * FROM request WHERE (outcome = '' OR ended > ?1) AND (key_id = ?2 OR ?2 = '')"
        " AND (signer = ?3 OR ?3 = '') ORDER BY rowid DESC LIMIT ?4",
        since,
        key_id,
        signer,
        most,
    )
    return [_request(row) for row in rows]


def _request(row: Mapping[str, Any]) -> Request:
    ended = datetime.fromtimestamp(row["ended"], UTC) if row["ended"] else None
    return Request(parse_petition(bytes(row["body"])), row["outcome"], ended, row["reminded"])


# --- what its owners made of it


@dataclass(frozen=True, slots=True)
class Loans:
    """A key and what is lent of it today: read once, for many requests."""

    key: Key
    delegations: tuple[Delegation, ...]


def loans_of(tx: Transaction, key: Key) -> Loans:
    return Loans(key, tuple(lent.delegation for lent in unended_delegations(tx, key.id)))


def standing(tx: Transaction, petition: Petition, loans: Loans) -> Grant | Missing:
    """Ask the rule whether a quorum for what `petition` asks is live; of several purposes, for each."""
    policy = loans.key.envelope.facts.policy
    row = tx.row("SELECT recipient FROM signer WHERE name = ? AND NOT disabled", petition.signer)
    verdict: Grant | Missing = Missing(policy.still_needed(()), policy.could_help(()), (), {})
    if not row or not row["recipient"]:
        return verdict
    recipient, until = parse_public_key(row["recipient"], "recipient"), tx.now + timedelta(seconds=1)
    for purpose in petition.purposes:
        ask = Ask(petition.key_id, petition.signer, recipient, purpose, uses=1, until=until)
        verdict = judge(policy, loans.delegations, ask, tx.now)
        if isinstance(verdict, Missing):
            break
    return verdict


def answers(tx: Transaction, request: str) -> list[Lent]:
    """Return the delegations that name a request, newest first."""
    rows = tx.rows(f"{LENT} WHERE d.request <> '' AND d.request = ? ORDER BY d.rowid DESC", request)
    return [parse_lent(row) for row in rows]


def declined_by(tx: Transaction, request: str) -> set[str]:
    """Return who declined, and has no delegation out that answers nevertheless."""
    declined = {row["owner"] for row in tx.rows("SELECT owner FROM decline WHERE request = ?", request)}
    return declined - {
        each.delegation.terms.owner for each in answers(tx, request) if not each.delegation.revoked
    }


def can_be_met(tx: Transaction, key: Key, without: Collection[str] = ()) -> bool:
    """Say whether the owners who are not disabled could open `key` together `without` some of them."""
    policy = key.envelope.facts.policy
    return policy.met_by(set(not_shut_out(tx, policy.owners())).difference(without))


def could_answer(tx: Transaction, request: Request, key: Key, stands: Grant | Missing) -> list[str]:
    """Return the owners who have not answered, and could: those who are needed, with a quorum all."""
    no = declined_by(tx, request.id)
    no |= {each.delegation.terms.owner for each in answers(tx, request.id) if is_out(each, tx.now)}
    owners = stands.any_of if isinstance(stands, Missing) else key.envelope.facts.policy.owners()
    return [each for each in not_shut_out(tx, owners) if each not in no and may_answer(request, key, each)]


def is_out(lent: Lent, now: datetime) -> bool:
    """Say whether what was lent is of use, now or later."""
    return lent.state(now) in ("live", "pending")


def may_answer(request: Request, key: Key, owner: str) -> bool:
    """Say whether `key` lets `owner` answer what they may have asked for themselves."""
    return not (key.envelope.facts.no_self_approval and request.petition.is_by(owner))


# --- what is common to its changes


def check_waiting(tx: Transaction, request: Request) -> None:
    """Raise Conflict unless `request` waits."""
    state = request.state(tx.now)
    if state != "waiting":
        raise Conflict(f"request {request.id} has ended: {state}; ask anew if the key is still needed")


def asker_of(petition: Petition) -> Actor:
    return Actor.model_validate({"role": petition.role, "name": petition.asker})


def tell(tx: Transaction, kind: notices.Kind, request: Request) -> None:
    """Leave a notice for whoever is told outside."""
    asked, owners = request.petition, list[str]()
    if kind != "ended":
        key = find_key(tx, asked.key_id)
        owners = could_answer(tx, request, key, standing(tx, asked, loans_of(tx, key)))
    about = notices.About(
        request=request.id,
        key=asked.key,
        signer=asked.signer,
        asker=asked.asker,
        on_behalf=asked.on_behalf,
        reason=asked.reason,
        uses=asked.uses,
        seconds=asked.seconds,
        constraints=asked.constraints,
        expires=asked.expires,
        owners=tuple(owners),
        outcome=request.outcome,
    )
    notices.tell(tx, kind, about)
