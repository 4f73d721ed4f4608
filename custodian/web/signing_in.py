"""Signing in and out: two forms that work without scripts.

What is typed wrong is told in the form, which keeps the name and never the password. The session's token
goes into a cookie that no script can read and no other site can use.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from aiohttp import web

from custodian import proofs, sessions
from custodian.callers import COOKIE, check_page, session_caller, session_cookie
from custodian.calls import BODIES, CUSTODY, STATUS, read_body
from custodian.errors import BadInput, CustodianError, Unauthenticated
from custodian.events import Evidence
from custodian.site import Site
from custodian.web.page import NOBODY, RENDERER, error_page, own_path
from custodian.wire import parse_request
from custodian.wire_slots import WireEvidence

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 8


async def start(_: web.Request) -> web.Response:
    """Lead to the requests, which lead to signing in."""
    raise web.HTTPSeeOther("/requests")


async def show_sign_in(request: web.Request) -> web.Response:
    return _page(request, {"next": request.query.get("next", "/")})


async def sign_in(request: web.Request) -> web.Response:
    """Start a session for who proves to be somebody, and go where they wanted to."""
    custody = request.app[CUSTODY]
    try:
        check_form(request, custody.site)
        form = await _form(request)
    except CustodianError as error:
        return error_page(request, error)
    try:
        token = await _start(request, form)
    except CustodianError as error:
        return _page(request, form, problem=error.detail, status=STATUS[type(error)])
    answer = web.Response(status=303, headers={"Location": own_path(form.get("next", "/"))})
    answer.set_cookie(
        COOKIE, token, max_age=sessions.LIFE, path="/", secure=True, httponly=True, samesite="Strict"
    )
    return answer


async def _start(request: web.Request, form: Mapping[str, str]) -> str:
    """Start a session by a password, or by a passkey's signature of a statement; return its token."""
    custody, name = request.app[CUSTODY], form.get("name", "")[:64]
    if form.get("evidence"):
        evidence = Evidence(**parse_request(WireEvidence, form["evidence"].encode()).model_dump())
        said, site = form.get("statement", "")[:512], custody.site
        token, _ = await custody.change(
            proofs.sign_in, name, said, evidence, site=site, statements=custody.statements
        )
        return token
    caller = await custody.login(name, form.get("password", "")[:1024], request.remote or "")
    token, _ = await custody.change_as(caller, sessions.start, caller.name)
    return token


async def sign_out(request: web.Request) -> web.Response:
    """End the session, here and in the browser."""
    custody = request.app[CUSTODY]
    try:
        check_form(request, custody.site)
        caller = await session_caller(custody, session_cookie(request))
        await custody.change(sessions.end, caller.session)
    except Unauthenticated:
        pass  # it is over already
    except CustodianError as error:
        return error_page(request, error)
    answer = _page(request, {"next": "/"}, done="You are signed out.")
    answer.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
    return answer


def check_form(request: web.Request, site: Site) -> None:
    """Raise Forbidden if a form that is not ours was sent.

    Our forms are sent with `Origin: null`, since our pages send no referrer (Fetch, "append a request
    Origin header"); what tells where they come from is Sec-Fetch-Site.
    """
    if request.headers.get("Sec-Fetch-Site") != "same-origin":
        check_page(request, site)


async def _form(request: web.Request) -> Mapping[str, str]:
    if request.content_type != FORM:
        raise BadInput("body", f"must be {FORM}")
    limits = request.app[BODIES]
    body = await read_body(request, limits.max_bytes, limits.seconds)
    try:
        return dict(
            parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        )
    except ValueError:
        raise BadInput("body", "is not what the form sends") from None


def _page(
    request: web.Request, form: Mapping[str, str], *, problem: str = "", done: str = "", status: int = 200
) -> web.Response:
    """Show the form, with the name that was typed and what is wrong; and where else to sign in."""
    origin = request.app[CUSTODY].site.origin
    values = {
        "target": own_path(form.get("next", "/")),
        "name": form.get("name", "")[:63],
        "problem": problem,
        "done": done,
        "elsewhere": "" if origin.endswith(f"//{request.host}") else origin,
    }
    return request.app[RENDERER].page("sign_in.html", datetime.now(UTC), NOBODY | values, status=status)
