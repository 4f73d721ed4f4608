"""The history and its proofs."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from custodian import history, spreadsheet, wire
from custodian.calls import ANYONE, PEOPLE, Call, Request
from custodian.encoding import encode_base64
from custodian.errors import BadInput, NotFound
from custodian.events import Actor, HistoryExported
from custodian.service import Custody
from custodian.store import Transaction

MAX_PAGE = 1_000  # entries
MAX_LINES = 5_000  # entries, of at most 64 KiB and mostly of half a KiB
EXPORTED_AT_ONCE = 1_000  # entries; between, others have their turn
PATIENCE = 60  # seconds that a reader of an export may leave a piece of it lying
FILTERS = ("owner", "key", "signer", "type", "text")
MAX_FILTER = 256
FAR = 10**15 - 1  # beyond every entry
JSON_LINES = "application/jsonl"


async def find(call: Request) -> wire.HistoryPage:
    """Read the history, or find entries in it."""
    sought, limit = parse_filter(call.query), call.number("limit", 100, MAX_PAGE)
    start, before = call.number("start", 0, FAR), None
    if "before" in call.query:
        before = call.number("before", 0, FAR)
        if "start" in call.query:
            raise BadInput("before", "goes back from an entry, `start` forwards; give one of them")
    found = await history.find(call.custody, sought, limit=limit, start=start, before=before)
    return wire.HistoryPage(**asdict(found))


def parse_filter(query: Any) -> history.Filter:
    """Parse what of the history is sought."""
    words = {name: query.get(name, "") for name in FILTERS}
    for name, word in words.items():
        if len(word) > MAX_FILTER or not word.isprintable():
            raise BadInput(name, f"must be at most {MAX_FILTER} printable characters")
    types = tuple(each for each in words.pop("type").split(",") if each)
    return history.Filter(**words, types=types)


async def lines(call: Request) -> web.Response:
    """Return the exact bytes of entries, one a line."""
    start, limit = call.number("start", 0, FAR), call.number("limit", 1_000, MAX_LINES)
    bodies = await call.custody.look(history.bodies, start, start + limit)
    return web.Response(body=b"".join(each + b"\n" for each in bodies), content_type=JSON_LINES)


async def export(call: Request) -> web.StreamResponse:
    """Take a copy of the whole history; that is an entry of it."""
    form = call.query.get("format", "jsonl")
    if form not in ("jsonl", "csv"):
        raise BadInput("format", "must be jsonl or csv")
    size = await call.custody.change(_tell_of_copy, call.caller.actor)
    stream = web.StreamResponse(
        headers={
            "Content-Type": JSON_LINES if form == "jsonl" else "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="history-{size}.{form}"',
            "Cache-Control": "no-store",
        }
    )
    await stream.prepare(call.http)
    try:
        await _copy(stream, call.custody, size, form)
    except (ConnectionError, TimeoutError):
        if call.http.transport:
            call.http.transport.abort()  # so that nobody takes a part for the whole
    return stream


def _tell_of_copy(tx: Transaction, actor: Actor) -> int:
    """Tell the history that `actor` takes a copy, and return of how many entries.

    Once, for as long as nothing but exports happens, or whoever only reads could make it grow without end.
    """
    for seq in range(tx.first - 1, -1, -1):
        entry = json.loads(tx.rows("SELECT body FROM entry WHERE seq = ?", seq)[0]["body"])
        if entry["type"] != "history.exported":
            break
        if entry["actor"] == actor.model_dump():
            return int(entry["size"])
    tx.append(HistoryExported(size=tx.first), actor)
    return tx.first


async def _copy(stream: web.StreamResponse, custody: Custody, size: int, form: str) -> None:
    """Write entries 0 to `size` - 1. Nothing is held between the pieces: a slow reader delays nobody."""
    if form == "csv":
        await stream.write(spreadsheet.head())
    for first in range(0, size, EXPORTED_AT_ONCE):
        some = await custody.look(history.bodies, first, min(first + EXPORTED_AT_ONCE, size))
        text = (
            b"".join(each + b"\n" for each in some)
            if form == "jsonl"
            else await asyncio.to_thread(spreadsheet.lines, some)
        )
        async with asyncio.timeout(PATIENCE):
            await stream.write(text)


async def checkpoint(call: Request) -> web.Response:
    """Return the newest signed checkpoint."""
    note = await call.custody.run(call.custody.store.checkpoint)
    return web.Response(body=note, content_type="text/plain", charset="utf-8")


async def receipt(call: Request) -> web.Response:
    """Return the proof that an entry is in the history."""
    index = call.path["index"]
    size = await call.custody.look(lambda tx: tx.first)
    if not index.isascii() or not index.isdecimal() or len(index) > 15 or int(index) >= size:
        raise NotFound(f"the history has the entries 0 to {size - 1}")
    proof = await call.custody.run(lambda: call.custody.store.receipt(int(index)))
    return web.Response(body=proof, content_type="text/plain", charset="utf-8")


async def consistency(call: Request) -> wire.Consistency:
    """Prove that the history only grew."""
    old = call.number("from", 0, await call.custody.look(lambda tx: tx.first))
    proof = await call.custody.run(
        lambda: (call.custody.store.checkpoint(), call.custody.store.consistency(old))
    )
    return wire.Consistency(checkpoint=proof[0].decode(), proof=[encode_base64(each) for each in proof[1]])


CALLS = (
    Call("GET /history", PEOPLE, find, gives=wire.HistoryPage, query=("start", "before", "limit", *FILTERS)),
    Call("GET /history/lines", PEOPLE, lines, query=("start", "limit")),
    Call("GET /history/export", PEOPLE, export, query=("format",)),
    Call("GET /history/checkpoint", ANYONE, checkpoint),
    Call("GET /history/consistency", ANYONE, consistency, gives=wire.Consistency, query=("from",)),
    Call("GET /history/{index}/receipt", PEOPLE, receipt),
)
