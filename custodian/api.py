"""`/api/v1`: every call, in one table. docs/api.md shows each with curl."""

import functools
from importlib.metadata import version

from aiohttp import web

from custodian.calls import BODIES, CUSTODY, add_calls, openapi, tell_problems
from custodian.config import Bodies
from custodian.encoding import canonical_json
from custodian.handlers import (
    history,
    keys,
    leasing,
    lending,
    live,
    people,
    requests,
    sessions,
    signers,
    slots,
)
from custodian.probes import PROBES
from custodian.service import Custody

VERSION = version("custodian")
CALLS = (
    *people.CALLS,
    *signers.CALLS,
    *keys.CALLS,
    *lending.CALLS,
    *requests.CALLS,
    *leasing.CALLS,
    *history.CALLS,
    *live.CALLS,
    *sessions.CALLS,
    *slots.CALLS,
)


async def describe(_: web.Request) -> web.Response:
    """Return this document."""
    return web.json_response(body=_document())


@functools.cache
def _document() -> bytes:
    """The document, made once: anyone may ask for it."""
    return canonical_json(openapi(CALLS, PLAIN, VERSION))


PLAIN = (
    ("/api/v1/openapi.json", describe),
    *PROBES,
)


def make_app(custody: Custody, bodies: Bodies) -> web.Application:
    app = web.Application(middlewares=[tell_problems])
    app[CUSTODY], app[BODIES] = custody, bodies
    add_calls(app, CALLS)
    live.add_viewers(app, custody)
    for path, handler in PLAIN:
        app.router.add_get(path, handler, allow_head=False)
    return app
