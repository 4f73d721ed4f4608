"""What a page is: where it is, whom it is for, what it shows. `pages.py` puts them in one table.

A page only reads. Whoever is not signed in is sent to do so and comes back; every error is told in a page
of the same style, with the same words as the API has.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import hdrs, web

from custodian.callers import authenticate
from custodian.calls import CUSTODY, PEOPLE, STATUS, TITLES
from custodian.errors import CustodianError, Forbidden, Unauthenticated
from custodian.service import Caller, Custody
from custodian.store import Transaction
from custodian.web.render import Renderer

RENDERER = web.AppKey("renderer", Renderer)
PART = "[A-Za-z0-9._~-]+"
# `//host` is another's. No text fits in two ways, or a long one that fits in none would take for ever.
OWN_PATH = re.compile(rf"/(?:{PART}(?:/{PART})*/?)?(?:\?[A-Za-z0-9._~=&%+-]*)?")
Frame = Callable[[Transaction, Caller, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Visit:
    """A page as its `show` sees it: the proven visitor and what the address says."""

    custody: Custody
    me: Caller
    http: web.Request

    @property
    def path(self) -> dict[str, str]:
        return dict(self.http.match_info)

    @property
    def query(self) -> Mapping[str, str]:
        return self.http.query


@dataclass(frozen=True, slots=True)
class Page:
    """`show` returns what `template` needs beside the frame."""

    path: str
    template: str
    show: Callable[[Visit], Awaitable[dict[str, Any]]]
    label: str = ""  # in the navigation; empty: not there
    roles: frozenset[str] = PEOPLE  # whom it is for


NOBODY: dict[str, Any] = {"me": None, "nav": (), "size": 0}  # what surrounds a page of nobody


def page_handler(page: Page, frame: Frame) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler of a page; `frame` gives what surrounds every page."""

    async def handle(request: web.Request) -> web.StreamResponse:
        custody = request.app[CUSTODY]
        now, around = datetime.now(UTC), NOBODY
        try:
            me = await authenticate(custody, request)
            now, around = await custody.look(lambda tx: (tx.now, frame(tx, me, page.path)))
            if me.role not in page.roles:
                raise Forbidden(f"this page is for {' and '.join(sorted(page.roles))}s; you are {me.role}")
            values = await page.show(Visit(custody, me, request))
        except Unauthenticated:
            return to_sign_in(request)
        except CustodianError as error:
            return error_page(request, error, now=now, around=around)
        return request.app[RENDERER].page(page.template, now, around | values)

    return handle


def to_sign_in(request: web.Request) -> web.Response:
    """Send somebody to sign in, and back to where they wanted to go.

    Who follows a link in a mail comes without the cookie, which no other site may bring about. One look
    at a page of ours that asks for the same address again brings it.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return request.app[RENDERER].page("again.html", datetime.now(UTC), {})
    target = own_path(request.path_qs)
    raise web.HTTPSeeOther("/sign-in" + (f"?next={quote(target, safe='')}" if target != "/" else ""))


def own_path(text: str) -> str:
    """Return `text` if it is a path of ours, else the start."""
    return text if OWN_PATH.fullmatch(text) else "/"


def error_page(
    request: web.Request,
    error: CustodianError,
    *,
    now: datetime | None = None,
    around: Mapping[str, Any] = NOBODY,
) -> web.Response:
    """Tell an error as a page."""
    kind = next(each for each in type(error).__mro__ if each in STATUS)
    return problem_page(
        request, STATUS[kind], TITLES[kind], error.detail, now=now or datetime.now(UTC), around=around
    )


def problem_page(
    request: web.Request,
    status: int,
    title: str,
    detail: str,
    *,
    now: datetime,
    around: Mapping[str, Any] = NOBODY,
) -> web.Response:
    """Tell what went wrong as a page."""
    values = {**around, "status": status, "heading": title, "detail": detail}
    return request.app[RENDERER].page("error.html", now, values, status=status)


def wants_page(request: web.Request) -> bool:
    """Return whether a person's browser asks, not a program."""
    return "text/html" in request.headers.get(hdrs.ACCEPT, "") and not request.path.startswith("/api/")
