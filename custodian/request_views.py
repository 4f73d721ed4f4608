"""Requests as the models of the wire: what was asked, how it stands, what is known of earlier ones."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime

from custodian import views
from custodian.encoding import encode_base64, format_instant
from custodian.keys import find_key
from custodian.quorum import Missing
from custodian.requests import Loans, Request, answers, could_answer, loans_of, standing
from custodian.store import Transaction
from custodian.wire_requests import RequestAnswer, RequestDecline, RequestView


def requests(tx: Transaction, found: Iterable[Request]) -> list[RequestView]:
    """Return the views of requests; each key is read once."""
    loans = functools.cache(lambda key_id: loans_of(tx, find_key(tx, key_id)))
    return [_view(tx, each, loans(each.petition.key_id)) for each in found]


def request(tx: Transaction, each: Request) -> RequestView:
    """Return the view of one request."""
    return requests(tx, [each])[0]


def _view(tx: Transaction, each: Request, loans: Loans) -> RequestView:
    asked, facts, state = each.petition, loans.key.envelope.facts, each.state(tx.now)
    verdict = standing(tx, asked, loans) if state == "waiting" else None
    before, last_before = _before(tx, each)
    return RequestView(
        id=each.id,
        key=asked.key,
        signer=asked.signer,
        asker=asked.asker,
        asker_role=asked.role,
        on_behalf=asked.on_behalf,
        uses=asked.uses,
        seconds=asked.seconds,
        constraints=views.constraints(asked.constraints),
        reason=asked.reason,
        made=format_instant(asked.made),
        expires=format_instant(asked.expires),
        state=state,
        ended=format_instant(_ended(each)) if state != "waiting" else None,
        words=list(asked.words),
        policy=str(facts.policy),
        needed=verdict.count if isinstance(verdict, Missing) else 0,
        any_of=could_answer(tx, each, loans.key, verdict) if verdict else [],
        vetoers=list(facts.veto),
        self_approval=not facts.no_self_approval,
        answers=_answers(tx, each),
        declines=_declines(tx, each),
        before=before,
        last_before=last_before,
        body=encode_base64(bytes(asked)),
    )


def _ended(each: Request) -> datetime:
    return each.ended or each.petition.expires  # it has expired, and nobody has looked after it yet


def _answers(tx: Transaction, each: Request) -> list[RequestAnswer]:
    return [
        RequestAnswer(
            owner=lent.delegation.terms.owner,
            delegation=lent.delegation.terms.id,
            uses=lent.delegation.terms.uses,
            left=lent.delegation.left,
            end=format_instant(lent.delegation.terms.end),
            state=lent.state(tx.now),
        )
        for lent in answers(tx, each.id)
    ]


def _declines(tx: Transaction, each: Request) -> list[RequestDecline]:
    return [
        RequestDecline(
            owner=row["owner"],
            reason=row["reason"],
            veto=bool(row["veto"]),
            at=format_instant(datetime.fromtimestamp(row["at"], UTC)),
        )
        for row in tx.rows("SELECT * FROM decline WHERE request = ? ORDER BY at, owner", each.id)
    ]


def _before(tx: Transaction, each: Request) -> tuple[dict[str, int], str | None]:
    """Return how earlier requests of this asker for this key ended, and when the last was made."""
    asked = each.petition
    rows = tx.rows(
        "SELECT iif(outcome <> '', outcome, iif(expires > ?, 'waiting', 'expired')) AS state,"
        " count(*) AS n, max(made) AS made FROM request WHERE key_id = ? AND role = ? AND asker = ?"
        " AND rowid < (SELECT rowid FROM request WHERE id = ?) GROUP BY 1",
        tx.seconds,
        asked.key_id,
        asked.role,
        asked.asker,
        each.id,
    )
    last = max((row["made"] for row in rows), default=None)
    made = format_instant(datetime.fromtimestamp(last, UTC)) if last is not None else None
    return {row["state"]: row["n"] for row in rows}, made
