"""Who is calling, and that it is they who call and not a page of somebody else.

    Basic NAME:PASSWORD        a person; the password is at hand for what only it opens
    Bearer TOKEN               a signer
    Bearer s-TOKEN             a person's session, at a terminal
    Cookie __Host-custodian    a person's session, in a browser

A browser adds a cookie to what other pages send, so what comes from a page must come from ours. The
headers it says that in are not a page's to write (Fetch Metadata; Fetch, section 4.6 "forbidden").
"""

from typing import Any

from aiohttp import BasicAuth, hdrs, web

from custodian import sessions
from custodian.errors import Forbidden, Unauthenticated
from custodian.service import Caller, Custody
from custodian.signers import signer_by_token
from custodian.site import Site

COOKIE = "__Host-custodian"


async def authenticate(custody: Custody, request: web.Request, *, revoking: str = "") -> Caller:
    """Prove who is calling. `revoking` is a delegation whose owner must get through."""
    scheme, _, credentials = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and not credentials.startswith(sessions.PREFIX):
        signer = await custody.look(signer_by_token, credentials)
        return Caller("signer", signer.name, signer)
    if scheme.lower() == "basic":
        return await _by_password(custody, request, revoking)
    token = credentials if scheme.lower() == "bearer" else session_cookie(request)
    if not token:
        raise Unauthenticated("say who you are: sign in, or curl -u NAME, or a bearer token")
    return await session_caller(custody, token)


def session_cookie(request: web.Request) -> str:
    """Return the token in our cookie, "" if there is none.

    Hosts beside ours may set cookies for us too, but none that a browser calls as ours is called. So it is
    read as browsers write it (RFC 6265bis, section 5.8.3): Python's readers also find it in the value of
    another, `x=1 __Host-custodian=…`, and whoever set that would have us take their session for another's.
    """
    cookies = "; ".join(request.headers.getall(hdrs.COOKIE, ())).split("; ")
    found = [each.removeprefix(f"{COOKIE}=") for each in cookies if each.startswith(f"{COOKIE}=")]
    return found[0] if len(found) == 1 else ""


async def session_caller(custody: Custody, token: str) -> Caller:
    """Return whose session `token` is. Raises Unauthenticated if it is over."""
    session = await custody.look(sessions.find, token[:64])
    role: Any = session.role
    return Caller(role, session.name, session=session.id)


async def _by_password(custody: Custody, request: web.Request, revoking: str) -> Caller:
    try:
        basic = BasicAuth.decode(request.headers[hdrs.AUTHORIZATION], encoding="utf-8")
    except ValueError:
        raise Unauthenticated("the Authorization header is not HTTP Basic") from None
    name, password, address = basic.login[:64], basic.password[:1024], request.remote or ""
    return await custody.login(name, password, address, revoking=revoking)


def check_page(request: web.Request, site: Site) -> None:
    """Raise Forbidden if a page that is not ours makes this call, with whatever credentials."""
    reads = request.method == hdrs.METH_GET
    place = request.headers.get("Sec-Fetch-Site", "")
    if place not in ("", "same-origin") and not (reads and place == "none"):
        raise Forbidden(f"this call is not for pages of others; open {site.origin}")
    if not reads and request.headers.get(hdrs.ORIGIN, site.origin) != site.origin:
        raise Forbidden(f"pages make changes from {site.origin} only; open it there")


def check_type(request: web.Request) -> None:
    """Raise 415 unless a call by cookie says that it is JSON: what a plain form can send is not."""
    if hdrs.AUTHORIZATION in request.headers or not session_cookie(request):
        return
    bare = request.method == hdrs.METH_DELETE and not request.body_exists
    if request.method != hdrs.METH_GET and not bare and request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="With a cookie, say Content-Type: application/json")
