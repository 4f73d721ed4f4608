"""Every page, in one table, and how they are hung into the daemon."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from custodian.service import Caller
from custodian.store import Transaction
from custodian.web.guard import add_guard
from custodian.web.page import RENDERER, Page, page_handler, problem_page, wants_page
from custodian.web.render import Renderer
from custodian.web.signing_in import show_sign_in, sign_in, sign_out, start
from custodian.web.statics import Statics

PAGES: tuple[Page, ...] = ()


def frame(tx: Transaction, me: Caller, path: str) -> dict[str, Any]:
    """Return what surrounds every page: who visits, where they may go."""
    nav = [
        {"path": each.path, "label": each.label, "here": path.startswith(each.path)}
        for each in PAGES
        if each.label and me.role in each.roles
    ]
    return {"me": me, "nav": nav, "size": tx.first}


def add_pages(app: web.Application) -> None:
    """Hang the pages, their files and their headers into the daemon."""
    statics = Statics()
    app[RENDERER] = Renderer(statics)
    add_guard(app)
    app.middlewares.append(tell_people)
    app.router.add_get("/static/{version}/{file:.+}", statics.serve, allow_head=False)
    app.router.add_get("/", start, allow_head=False)
    app.router.add_get("/sign-in", show_sign_in, allow_head=False)
    app.router.add_post("/sign-in", sign_in)
    app.router.add_post("/sign-out", sign_out)
    for page in PAGES:
        app.router.add_get(page.path, page_handler(page, frame), allow_head=False)


@web.middleware
async def tell_people(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tell a browser that an address leads nowhere in a page, where a program gets a problem."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        if not wants_page(request):
            raise
        return problem_page(
            request, 404, "There is no such page", "the address leads nowhere", now=datetime.now(UTC)
        )
