"""The outbox: what is to be told outside is written with the change it tells of, and delivered after.

So nothing is told that did not happen, nothing that happened is forgotten by a crash, and no receiver is
waited for. Who the receivers are stands in the database from the daemon's start on, so that a change needs
to know nothing of the configuration.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from custodian.encoding import canonical_json, format_instant
from custodian.store import Transaction
from custodian.terms import Constraints

Kind = Literal["made", "reminder", "ended"]


@dataclass(frozen=True, slots=True)
class About:
    """What may be said of a request outside. `owners` are those who could still answer it."""

    request: str
    key: str
    signer: str
    asker: str
    on_behalf: str
    reason: str
    uses: int
    seconds: int
    constraints: Constraints
    expires: datetime
    owners: tuple[str, ...]
    outcome: str = ""  # once it has ended


def set_receivers(tx: Transaction, receivers: Mapping[str, str]) -> None:
    """Say who is told from now on: name -> the person it reaches, '' where it reaches everybody.

    What was waiting for others is dropped.
    """
    tx.write("INSERT OR REPLACE INTO meta VALUES ('receivers', ?)", json.dumps(dict(receivers)))
    for row in tx.rows("SELECT DISTINCT receiver FROM notice"):
        if row["receiver"] not in receivers:
            tx.write("DELETE FROM notice WHERE receiver = ?", row["receiver"])


def tell(tx: Transaction, kind: Kind, about: About) -> None:
    """Leave a notice for every receiver it concerns.

    A person is told as an owner who could answer, and as the asker of how it ended.
    """
    concerned = {about.asker} if kind == "ended" else {*about.owners} - {about.asker}
    row = tx.row("SELECT value FROM meta WHERE name = 'receivers'")
    receivers: dict[str, str] = json.loads(row["value"]) if row else {}
    body = _body(tx, kind, about)
    for receiver, person in receivers.items():
        if not person or person in concerned:
            tx.write(
                "INSERT INTO notice (receiver, body, made, due) VALUES (?, ?, ?, ?)",
                receiver,
                body,
                tx.seconds,
                tx.seconds,
            )


def _body(tx: Transaction, kind: Kind, about: About) -> str:
    """Return the notice as JSON; `id` is the same for every receiver and every try."""
    return canonical_json(
        {
            "id": f"n-{tx.random(12).hex()}",
            "type": f"request.{kind}",
            "timestamp": format_instant(tx.now),
            "request": about.request,
            "key": about.key,
            "signer": about.signer,
            "asker": about.asker,
            "on_behalf": about.on_behalf,
            "reason": about.reason,
            "uses": about.uses,
            "seconds": about.seconds,
            "names": list(about.constraints.names),
            "profiles": list(about.constraints.profiles),
            "expires": format_instant(about.expires),
            "outcome": about.outcome,
        }
    ).decode()
