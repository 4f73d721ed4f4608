"""The page of the history: newest first, found by words and kinds, verified in the reader's browser."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from custodian import history
from custodian.errors import BadInput
from custodian.handlers.history import parse_filter
from custodian.web.page import Page, Visit
from custodian.web.timeline import days

ROWS = 40  # entries on a page
KINDS = {  # what a chip shows -> beginnings of types
    "all": "",
    "grants": "delegation,lease.granted,lease.ended",
    "signatures": "signature",
    "refusals": "lease.refused,request.declined,login.failed",
    "requests": "request",
    "changes": "account,signer,key,slot,credential",
}
WORDS = ("text", "kind", "owner", "key", "signer")  # what the address may say
MAX_DIGITS = 15


async def show_history(visit: Visit) -> dict[str, Any]:
    words = {name: visit.query.get(name, "") for name in WORDS}
    kind = words["kind"] or "all"
    if kind not in KINDS:
        raise BadInput("kind", f"must be one of {', '.join(KINDS)}")
    sought = parse_filter(words | {"type": KINDS[kind]})
    before, start = _number(visit.query, "before"), _number(visit.query, "start")
    found = await _find(visit, sought, before, start)
    now = await visit.custody.look(lambda tx: tx.now)
    newest = found.entries[0]["seq"] if found.entries else 0
    at_top = start is None and before is None
    return {
        "days": days(found.entries, now),
        "words": words,
        "kinds": [{"name": each, "here": each == kind, "url": _url(words, kind=each)} for each in KINDS],
        "narrowed": [
            {"field": name, "value": words[name], "url": _url(words, **{name: ""})}
            for name in ("owner", "key", "signer")
            if words[name]
        ],
        "older": _url(words, before=str(found.next)) if found.next is not None else "",
        "newer": "" if at_top else _url(words, start=str(newest + 1)),
        "newest": "" if at_top else _url(words),
        "entries": found.size,
        "vkey": visit.custody.vkey,
    }


async def _find(visit: Visit, sought: history.Filter, before: int | None, start: int | None) -> history.Found:
    """Find what the page shows, newest first, whichever way it was come from."""
    if start is None:
        end = before if before is not None else 10**MAX_DIGITS
        return await history.find(visit.custody, sought, limit=ROWS, before=end)
    found = await history.find(visit.custody, sought, limit=ROWS, start=start)
    if found.next is None:  # fewer than a page: rather the newest page whole
        return await history.find(visit.custody, sought, limit=ROWS, before=found.size)
    entries = found.entries[::-1]
    return history.Found(found.size, found.checkpoint, entries, entries[-1]["seq"] if entries else found.next)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_DIGITS:
        raise BadInput(name, "must be the number of an entry")
    return int(text)


def _url(words: Mapping[str, str], **changed: str) -> str:
    said = {name: word for name, word in {**words, **changed}.items() if word and word != "all"}
    return "/history" + (f"?{urlencode(said)}" if said else "")


HISTORY = Page("/history", "history.html", show_history, label="History")
