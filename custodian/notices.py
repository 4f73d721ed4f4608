"""The outbox: what is to be told outside is written with the change it tells of, and delivered after.

So nothing is told that did not happen, nothing that happened is forgotten by a crash, and no receiver is
waited for. Who the receivers are stands in the database from the daemon's start on, so that a change needs
to know nothing of the configuration.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from custodian.encoding import canonical_json, format_instant
from custodian.store import Transaction
from custodian.terms import Constraints

Kind = Literal["made", "reminder", "ended"]
KEPT = 24 * 3600  # seconds a notice is tried for; who hears of a request later than that does not need to
FIRST_PAUSE, LONGEST_PAUSE = 5, 900  # seconds between tries


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


# --- delivery


@dataclass(frozen=True, slots=True)
class Waiting:
    """The oldest notice of a receiver: it comes before all later ones, or there would be no order."""

    seq: int
    receiver: str
    body: Mapping[str, Any]
    tries: int


def waiting(tx: Transaction) -> list[Waiting]:
    """Return what is due: the oldest notice of each receiver, unless it is paused."""
    rows = tx.rows(
        "SELECT * FROM notice WHERE seq IN (SELECT min(seq) FROM notice GROUP BY receiver) AND due <= ?",
        tx.seconds,
    )
    return [Waiting(row["seq"], row["receiver"], json.loads(row["body"]), row["tries"]) for row in rows]


def done(tx: Transaction, seq: int) -> None:
    tx.write("DELETE FROM notice WHERE seq = ?", seq)


def try_again(tx: Transaction, seq: int) -> int:
    """Put a try off and return for how many seconds; 0: it was tried for long enough, and is dropped."""
    row = tx.row("SELECT tries, made FROM notice WHERE seq = ?", seq)
    if not row or row["made"] + KEPT <= tx.seconds:
        done(tx, seq)
        return 0
    seconds = pause(row["tries"], tx.random(1)[0] / 255)
    tx.write("UPDATE notice SET tries = tries + 1, due = ? WHERE seq = ?", tx.seconds + seconds, seq)
    return seconds


def pause(tries: int, chance: float) -> int:
    """Return how many seconds to wait: longer each time, and not all receivers at once (0 <= chance <= 1)."""
    longest = min(FIRST_PAUSE * 2 ** min(tries, 20), LONGEST_PAUSE)
    return round(longest * (0.5 + chance / 2)) or 1
