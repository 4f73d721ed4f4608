"""Every page, in one table, and how they are hung into the daemon."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from custodian.service import Caller
from custodian.store import Transaction
from custodian.web import reading
from custodian.web.delegations import DELEGATIONS
from custodian.web.enrolling import show_enrol
from custodian.web.guard import add_guard
from custodian.web.history import HISTORY
from custodian.web.me import ME
from custodian.web.page import RENDERER, page_handler, problem_page, wants_page
from custodian.web.quorum import QUORUM
from custodian.web.render import Renderer
from custodian.web.requests import ASK, REQUEST, REQUESTS
from custodian.web.setup import SETUP
from custodian.web.signing_in import show_sign_in, sign_in, sign_out, start
from custodian.web.statics import Statics

PAGES = (REQUESTS, REQUEST, ASK, QUORUM, DELEGATIONS, HISTORY, SETUP, ME)

WRONG = {
    404: ("There is no such page", "the address leads nowhere; perhaps it was cut off in a mail"),
    405: ("That is not how this page is used", "open it by its address"),
}
log = logging.getLogger(__name__)


def frame(tx: Transaction, me: Caller, path: str) -> dict[str, Any]:
    """Return what surrounds every page: who visits, where they may go."""
    needs_me = sum(each.mine for each in reading.asked(reading.waiting(tx), me.name))
    nav = [
        {
            "path": each.path,
            "label": each.label,
            "here": path.startswith(each.path),
            "badge": needs_me if each is REQUESTS else 0,
        }
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
    app.router.add_get("/enrol", show_enrol, allow_head=False)
    app.router.add_get("/sign-in", show_sign_in, allow_head=False)
    app.router.add_post("/sign-in", sign_in)
    app.router.add_post("/sign-out", sign_out)
    for page in PAGES:
        app.router.add_get(page.path, page_handler(page, frame), allow_head=False)


@web.middleware
async def tell_people(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tell a browser what is wrong in a page, where a program gets a problem."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not wants_page(request):
            raise
        title, detail = WRONG.get(error.status, (error.reason, "go back and try again"))
        return problem_page(request, error.status, title, detail, now=datetime.now(UTC))
    except Exception:
        if not wants_page(request):
            raise
        log.exception("a page failed: %s %s", request.method, request.path)
        title, detail = "Something failed here", "the custodian's log tells more"
        return problem_page(request, 500, title, detail, now=datetime.now(UTC))
