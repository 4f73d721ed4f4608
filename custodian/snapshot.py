"""What the live view shows: how far each key is from opening, what is lent, what is asked for.

Over is not gone: what ended within the last hour is still in it, so that a page can show how.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from custodian import request_views, views
from custodian.delegations import LENT, Lent, parse_lent
from custodian.encoding import canonical_json, format_instant
from custodian.outlook import outlook
from custodian.requests import Request, recent_requests
from custodian.store import Transaction

RECENT = timedelta(hours=1)
MOST = 500  # delegations, the newest
MOST_ENDED = 40  # requests that wait no more, the newest
FOR_EVER = 3_600.0  # seconds; nothing is due sooner


@dataclass(frozen=True)
class Snapshot:
    """One consistent state at `time`, with `size` entries in the history."""

    size: int
    time: datetime
    state: dict[str, list[dict[str, Any]]]
    lasts: float  # seconds until time alone changes the state
    shut_out: frozenset[str]  # accounts
    proofs: frozenset[bytes]  # sessions that are not over, and verifiers of passwords that are not removed

    @functools.cached_property
    def event(self) -> bytes:
        """The server-sent event, encoded once for all who get it."""
        data = canonical_json({"size": self.size, "time": format_instant(self.time), **self.state})
        return b"id: %d\nevent: state\ndata: %b\n\n" % (self.size, data)

    def may(self, name: str, proof: bytes) -> bool:
        """Say whether a person may still look, by the session or password that they came with."""
        return name not in self.shut_out and proof in self.proofs


def take(tx: Transaction) -> Snapshot:
    """Take a snapshot of what everybody may see."""
    rows = tx.rows(f"{LENT} WHERE d.ends > ? ORDER BY d.rowid DESC LIMIT {MOST}", _recently(tx))
    lent = [parse_lent(row) for row in rows]
    asked = _asked(tx)
    shut_out = tx.rows("SELECT name FROM account WHERE disabled")
    proofs = tx.rows(
        "SELECT token_hash AS proof FROM session WHERE expires > ? UNION ALL SELECT verifier FROM account",
        tx.seconds,
    )
    return Snapshot(
        size=tx.first,
        time=tx.now,
        state={
            "keys": [each.model_dump() for each in outlook(tx)],
            "delegations": [_delegation(each, tx.now) for each in lent],
            "requests": [each.model_dump() for each in request_views.requests(tx, asked)],
        },
        lasts=_lasts(tx, lent, asked),
        shut_out=frozenset(row["name"] for row in shut_out),
        proofs=frozenset(bytes(row["proof"]) for row in proofs),
    )


def _recently(tx: Transaction) -> int:
    return int((tx.now - RECENT).timestamp())


def _asked(tx: Transaction) -> list[Request]:
    """Return the requests that wait, and some that ended: how many there are is up to who asks."""
    found = recent_requests(tx, _recently(tx))
    ended = [each.id for each in found if each.state(tx.now) != "waiting"]
    dropped = {*ended[MOST_ENDED:]}
    return [each for each in found if each.id not in dropped]


def _delegation(lent: Lent, now: datetime) -> dict[str, Any]:
    return views.delegation(lent, now).model_dump(exclude={"terms"})


def _lasts(tx: Transaction, lent: Iterable[Lent], asked: Iterable[Request]) -> float:
    """Return the seconds until a delegation begins or ends, or a lease or request ends."""
    lease = tx.rows("SELECT min(ends) AS ends FROM lease WHERE ended = '' AND ends > ?", tx.seconds)
    instants = [row["ends"] for row in lease if row["ends"]]
    for each in lent:
        instants += [each.delegation.terms.start.timestamp(), each.delegation.terms.end.timestamp()]
    instants += [each.petition.expires.timestamp() for each in asked]
    now = tx.now.timestamp()
    return min((each - now for each in instants if each > now), default=FOR_EVER)
