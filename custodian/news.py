"""The stream a signer follows, so that a revocation reaches it at once.

Server-sent events: `live` with the leases that are live now, `ended` for each that ends, and a `ping`
each second; a signer that hears nothing for longer than its grace wipes.
"""

import asyncio
import json
from typing import Any

from aiohttp import web

from custodian.calls import Request
from custodian.errors import Forbidden
from custodian.leases import live_leases

PING_SECONDS = 1


async def news(call: Request) -> web.StreamResponse:
    """Stream to a signer the leases that are live now, then each that ends, and a ping each second."""
    signer, custody = call.caller.name, call.custody
    if signer != call.path["name"]:
        raise Forbidden("a signer follows its own leases")
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    queue = custody.follow(signer)
    try:
        live = await custody.look(live_leases, signer)
        await stream.prepare(call.http)
        await stream.write(_event("live", {"leases": live}))
        await _follow(stream, queue)
    except ConnectionError:
        pass  # the signer is gone; it will follow anew
    finally:
        custody.unfollow(signer, queue)
    return stream


async def _follow(stream: web.StreamResponse, queue: asyncio.Queue[str | None]) -> None:
    while True:
        try:
            ended = await asyncio.wait_for(queue.get(), PING_SECONDS)
        except TimeoutError:
            await stream.write(_event("ping", {}))
            continue
        if ended is None:
            return
        await stream.write(_event("ended", {"lease": ended}))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
