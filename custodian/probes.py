"""What machines ask about the daemon itself, without credentials: does it run, is it ready, its figures."""

from aiohttp import web

from custodian.calls import CUSTODY
from custodian.errors import Forbidden
from custodian.metrics import CONTENT_TYPE, render
from custodian.outlook import outlook


async def healthz(_: web.Request) -> web.Response:
    """Say that the daemon runs."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Say whether the database answers. A key that nobody lent is no reason not to be ready."""
    await request.app[CUSTODY].look(lambda tx: tx.row("SELECT 1"))
    return web.json_response({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """Give Prometheus its figures, on this host only: they name keys and signers."""
    if request.remote not in ("127.0.0.1", "::1"):
        raise Forbidden("metrics are for this host only")
    body = render(await request.app[CUSTODY].look(outlook))
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


PROBES = (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics))
