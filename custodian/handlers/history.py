"""The history and its proofs."""

import json

from aiohttp import web

from custodian import wire
from custodian.calls import ANYONE, PEOPLE, Call, Request
from custodian.encoding import (
    encode_base64,
)
from custodian.errors import NotFound
from custodian.store import Transaction

MAX_PAGE = 1_000


async def history(call: Request) -> wire.HistoryPage:
    """Read the history."""
    start = call.number("start", 0, 2**53)
    limit = call.number("limit", 100, MAX_PAGE)

    def page(tx: Transaction) -> wire.HistoryPage:
        rows = tx.rows("SELECT body FROM entry WHERE seq >= ? ORDER BY seq LIMIT ?", start, limit)
        return wire.HistoryPage(
            size=tx.first,
            checkpoint=call.custody.store.checkpoint().decode(),
            entries=[json.loads(row["body"]) for row in rows],
        )

    return await call.custody.look(page)


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
    Call("GET /history", PEOPLE, history, gives=wire.HistoryPage, query=("start", "limit")),
    Call("GET /history/checkpoint", ANYONE, checkpoint),
    Call("GET /history/consistency", ANYONE, consistency, gives=wire.Consistency, query=("from",)),
    Call("GET /history/{index}/receipt", PEOPLE, receipt),
)
