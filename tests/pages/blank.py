"""Pages with nothing on them, under the CSP of the real ones, to run our modules on."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from browser import Page
from devtools import BrowserError

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


async def run(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """Call `function` with a module of ours, as `m`, and arguments; bytes go as hexadecimal."""
    given = [each.hex() if isinstance(each, bytes) else each for each in arguments]
    return await page.js(
        f"""async (_, ...given) => {{
            const m = await import("/static/x/{module}.js");
            const b = await import("/static/x/bytes.js");
            const raw = (digits) => b.fromHex(digits, "hex");
            return ({function})(m, ...given);
        }}""",
        "",
        *given,
    )


async def outcome(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """Return what the call gives; None where it is refused with an error of ours."""
    try:
        return await run(page, module, function, *arguments)
    except BrowserError as error:
        return None if str(error).startswith("Error: ") else str(error)


def vector(path: Path) -> tuple[dict[str, str], bytes]:
    head, _, body = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().splitlines()), body
