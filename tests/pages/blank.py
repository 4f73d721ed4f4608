"""Pages with nothing on them: our static files beside a blank page, under the CSP of the real ones."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parents[2] / "custodian" / "web" / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
BLANK = (
    "<!doctype html><html lang=en><meta name=viewport content=width=device-width>"
    "<link rel=icon href=/static/x/seal.svg><title>blank</title><body>"
)
SCRIPTED = "<h1>still</h1><script src=/moves.js></script>"
MOVES = "document.querySelector('h1').textContent = 'moved';"


async def blank(_: web.Request) -> web.Response:
    return web.Response(text=BLANK, content_type="text/html", headers={"Content-Security-Policy": CSP})


async def scripted(_: web.Request) -> web.Response:
    return web.Response(text=BLANK + SCRIPTED, content_type="text/html")


async def moves(_: web.Request) -> web.Response:
    return web.Response(text=MOVES, content_type="text/javascript")


async def static(request: web.Request) -> web.Response:
    path = STATIC / request.match_info["file"]
    kind = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}.get(path.suffix, "")
    body = path.read_bytes() if path.is_file() else b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    return web.Response(body=body, content_type=kind or "application/octet-stream")


@contextlib.asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[str]:
    """Serve blank pages, and `routes`, at http://localhost, where scripts may do what needs TLS elsewhere."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/", blank),
            web.get("/scripted", scripted),
            web.get("/moves.js", moves),
            web.get("/static/{version}/{file}", static),
            *routes,
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
