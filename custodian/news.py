"""The stream a signer follows, so that a revocation reaches it at once.

Server-sent events: `live` with the leases that are live now, `ended` for each that ends, and a `ping`
each second; a signer that hears nothing for longer than its grace wipes.
"""

import asyncio
import json
from typing import Any

from aiohttp import web

from custodian.calls import CUSTODY, authenticate
from custodian.errors import Forbidden
from custodian.leases import live_leases

PING_SECONDS = 1


async def news(request: web.Request) -> web.StreamResponse:
    """Stream to a signer: the leases that are live now, then each that ends, and a ping each second."""
    custody = request.app[CUSTODY]
    caller = await authenticate(custody, request)
    if caller.role != "signer" or caller.name != request.match_info["name"]:
        raise Forbidden("a signer follows its own leases")
    queue = custody.follow(caller.name)
    try:
        live = await custody.look(live_leases, caller.name)
        return await _stream(request, queue, live)
    except (ConnectionError, asyncio.CancelledError):
        return web.Response()  # the signer is gone; it will follow anew
    finally:
        custody.unfollow(caller.name, queue)


async def _stream(
    request: web.Request, queue: asyncio.Queue[str | None], live: list[str]
) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await stream.prepare(request)
    await stream.write(_event("live", {"leases": live}))
    while True:
        try:
            ended = await asyncio.wait_for(queue.get(), PING_SECONDS)
        except TimeoutError:
            await stream.write(_event("ping", {}))
            continue
        if ended is None:
            return stream
        await stream.write(_event("ended", {"lease": ended}))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
