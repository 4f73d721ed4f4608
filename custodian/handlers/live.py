"""The live view: server-sent events for people, `state` when something changed and a `ping` in between."""

import asyncio

from aiohttp import web

from custodian import snapshot
from custodian.calls import PEOPLE, Call, Request
from custodian.connections import stop_counting
from custodian.service import Custody
from custodian.viewers import Viewer, Viewers

VIEWERS = web.AppKey("viewers", Viewers)
RETRY = b"retry: 2000\n\n"  # ms a browser waits before it comes again
WRITE_SECONDS = 20  # for whoever reads nothing at all: nobody waits for them, but their place is needed


def add_viewers(app: web.Application, custody: Custody) -> None:
    """Have `app` show what `custody` commits, until it shuts down."""

    async def look() -> snapshot.Snapshot:
        return await custody.look(snapshot.take)

    viewers = app[VIEWERS] = Viewers(look)

    async def listen(_: web.Application) -> None:
        custody.listeners.append(viewers.changed)

    async def close(_: web.Application) -> None:
        await viewers.close()

    app.on_startup.append(listen)
    app.on_shutdown.append(close)


async def live(call: Request) -> web.StreamResponse:
    """Follow keys, delegations and requests as they change."""
    viewers = call.http.app[VIEWERS]
    viewer = viewers.join(call.caller.name, call.caller.session or call.caller.verifier)
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    stream.force_close()  # nothing else is asked on this connection, which no longer counts for its address
    stop_counting(call.http)
    try:
        await stream.prepare(call.http)
        await stream.write(RETRY)
        await _follow(stream, viewer)
    except ConnectionError:
        pass  # the viewer is gone; it will come again
    except TimeoutError:
        if call.http.transport:
            call.http.transport.abort()
    finally:
        viewers.leave(viewer)
    return stream


async def _follow(stream: web.StreamResponse, viewer: Viewer) -> None:
    while event := await viewer.next():
        async with asyncio.timeout(WRITE_SECONDS) as viewer.patience:
            await stream.write(event)
        viewer.patience = None


CALLS = (Call("GET /live", PEOPLE, live),)
