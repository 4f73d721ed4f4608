"""Finding entries of the history: by whom and what they are about, a page at a time.

There is no index. An entry is canonical JSON, so that `"owner":"alice"` is in its bytes exactly when it
has that field: what a string holds is escaped. Looking costs one to seven microseconds an entry, is done
in slices, so that no lease waits for it, and stops after `MOST_LOOKED_AT`; the answer says where to go on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from custodian.service import Custody
from custodian.store import Transaction

SLICE = 1_000  # entries the writer thread looks at before others have their turn
MOST_LOOKED_AT = 100_000  # entries for one answer
SLICE_OF_ENTRIES = "SELECT seq, CAST(body AS TEXT) AS text FROM entry WHERE seq >= ? AND seq < ?"
# What an entry is about by what it names: the condition takes the name asked for.
LEASE = "instr(text, '\"lease\":\"') AND EXISTS (SELECT 1 FROM {} WHERE {} = text ->> 'lease' AND {} = ?)"
LENT = "instr(text, '\"id\":\"d-') AND EXISTS (SELECT 1 FROM {} WHERE {} = text ->> 'id' AND {} = ?)"
ASKED = (
    "instr(text, '\"request\":\"r-') AND EXISTS (SELECT 1 FROM {} WHERE {} = text ->> 'request' AND {} = ?)"
)
OF_LENT = "lease_delegation JOIN delegation ON id = delegation"
WITH_KEY = "{0} JOIN key ON key.id = {0}.key_id"
RELATED = {
    "owner": (
        LEASE.format(OF_LENT, "lease", "owner"),
        LENT.format("delegation", "id", "owner"),
    ),
    "key": (
        LEASE.format(WITH_KEY.format("lease"), "lease.id", "name"),
        LENT.format(WITH_KEY.format("delegation"), "delegation.id", "name"),
        ASKED.format(WITH_KEY.format("request"), "request.id", "name"),
    ),
    "signer": (
        LEASE.format("lease", "id", "signer"),
        LENT.format("delegation", "id", "signer"),
        ASKED.format("request", "id", "signer"),
    ),
}
NAMED = {
    "owner": ('"owner":"{}"', '"account":"{}"', '"actor":{{"name":"{}","role":"owner"}}'),
    "key": ('"key":"{}"',),
    "signer": ('"signer":"{}"', '"actor":{{"name":"{}","role":"signer"}}'),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What to find; an empty one finds everything, several conditions must all hold."""

    owner: str = ""  # what they did, and what was done with what they lent
    key: str = ""
    signer: str = ""
    types: tuple[str, ...] = ()  # beginnings of types; one of them
    text: str = ""  # is in a value, in whatever case

    def conditions(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield SQL over `text`, the entry, and its values."""
        for field, named in NAMED.items():
            if name := getattr(self, field):
                inside = ["instr(text, ?)"] * len(named)
                related = RELATED[field]
                values = (*(each.format(name) for each in named), *(name for _ in related))
                yield " OR ".join((*inside, *(f"({each})" for each in related))), values
        if self.types:
            yield (
                " OR ".join(["instr(text, ?)"] * len(self.types)),
                tuple(f'"type":"{each}' for each in self.types),
            )
        if self.text:
            yield "instr(lower(text), ?)", (json.dumps(_lower(self.text), ensure_ascii=False)[1:-1],)

    def fits(self, entry: Any) -> bool:
        """Say whether the text is in a value, which the database cannot tell from the name of a field."""
        return not self.text or _has(entry, _lower(self.text))


def _lower(text: str) -> str:
    """Return `text` as SQLite's lower() does: ASCII only."""
    return "".join(each.lower() if each.isascii() else each for each in text)


def _has(value: Any, text: str) -> bool:
    if isinstance(value, dict):
        return any(_has(each, text) for each in value.values())
    if isinstance(value, list):
        return any(_has(each, text) for each in value)
    return text in _lower(value) if isinstance(value, str) else text == str(value)


@dataclass(frozen=True, slots=True)
class Found:
    """A page; `next` is where the one after it begins, None at the end."""

    size: int
    checkpoint: str
    entries: list[dict[str, Any]]
    next: int | None


async def find(
    custody: Custody, sought: Filter, *, limit: int, start: int = 0, before: int | None = None
) -> Found:
    """Find entries from `start` on; with `before` those in front of it, newest first."""
    size, checkpoint = await custody.look(lambda tx: (tx.first, custody.store.checkpoint().decode()))
    at, end = (min(start, size), size) if before is None else (min(before, size), 0)
    furthest = _towards(at, end, MOST_LOOKED_AT)
    entries: list[dict[str, Any]] = []
    while at != furthest and len(entries) < limit:
        some, at = await custody.look(_slice, sought, at, furthest, limit - len(entries))
        entries += some
    return Found(size, checkpoint, entries, at if at != end else None)


def _towards(at: int, end: int, steps: int) -> int:
    return min(at + steps, end) if at < end else max(at - steps, end)


def _slice(tx: Transaction, sought: Filter, at: int, end: int, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return up to `most` fitting entries from `at` towards `end`, and where to go on."""
    conditions = list(sought.conditions())
    to = _towards(at, end, SLICE if conditions else most)
    where = " AND ".join(f"({sql})" for sql, _ in conditions) or "true"
    rows = tx.rows(
        f"SELECT seq, text FROM ({SLICE_OF_ENTRIES}) WHERE {where}"  # noqa: S608 - of constants
        f" ORDER BY seq {'' if at < end else 'DESC'}",
        min(at, to),
        max(at, to),
        *(value for _, values in conditions for value in values),
    )
    found = []
    for row in rows:
        entry = json.loads(row["text"])
        if sought.fits(entry):
            found.append(entry)
        if len(found) == most:
            return found, row["seq"] + (1 if at < end else 0)
    return found, to


def bodies(tx: Transaction, first: int, end: int) -> list[bytes]:
    """Return the exact bytes of the entries from `first` to before `end`."""
    return [
        bytes(row["body"])
        for row in tx.rows("SELECT body FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq", first, end)
    ]
