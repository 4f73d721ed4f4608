"""CFSSL's HTTP surface, `/api/v1/cfssl/`, for one CA.

This is the hot path of the product, so a request passes through one function and no middleware.
Bodies are bounded in size and time: CFSSL reads 200 MB into memory and waits for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from custodian.errors import CustodianError
from signer.authority import Authority
from signer.cfssl import failure
from signer.errors import CfsslError, bad_request

PREFIX = "/api/v1/cfssl/"
_log = logging.getLogger("signer.api")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_REFUSED = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a request to take, in bytes, and how long to wait for it, in seconds."""

    body: int = 64 * 1024
    seconds: float = 5.0


def cfssl_routes(authority: Authority, limits: Limits | None = None) -> list[web.RouteDef]:
    """Return the routes below `/api/v1/cfssl/`; an endpoint that could only refuse is not there."""
    limits = limits or Limits()
    endpoints = {
        "info": ("POST", authority.info),
        "newkey": ("POST", authority.newkey),
        "newcert": ("POST", authority.newcert),
        "health": ("GET", authority.health),
    }
    if authority.signs_openly:
        endpoints["sign"] = ("POST", authority.sign)
    if authority.signs_authenticated:
        endpoints["authsign"] = ("POST", authority.authsign)
    routes = [
        web.route("*", PREFIX + name, _endpoint(verb, answer, limits))
        for name, (verb, answer) in endpoints.items()
    ]
    return [*routes, web.route("*", PREFIX + "{unknown:.*}", _page_not_found)]


def cfssl_app(authority: Authority, limits: Limits | None = None) -> web.Application:
    """Return an application with these routes and nothing else.

    Serve it with `auto_decompress=False`, since no body is unpacked, and a short `lingering_time`:
    it is how long aiohttp keeps the connection of a request that was too long or too slow.
    """
    app = web.Application()
    app.add_routes(cfssl_routes(authority, limits))
    app.router.add_route("*", "/{unknown:.*}", _page_not_found)
    return app


async def _page_not_found(_: web.Request) -> web.Response:
    return web.Response(status=404, body=b"404 page not found\n", headers=_REFUSED)


def _endpoint(verb: str, answer: Callable[[bytes], Awaitable[bytes]], limits: Limits) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            if request.method != verb:
                raise bad_request(f'Method is not allowed:"{request.method}"', 405)
            body = await _read(request, limits)
            return web.Response(body=await answer(body), content_type="application/json")
        except CustodianError as error:
            return _refusal(error)
        except Exception:
            _log.exception("%s failed", request.path)
            return _refusal(CustodianError("internal error"))

    return handle


def _refusal(error: CustodianError) -> web.Response:
    status, body = failure(error)
    response = web.Response(status=status, body=body, headers=_REFUSED)
    if isinstance(error, CfsslError) and status in {408, 413, 415}:
        response.force_close()  # the rest of the body is not wanted
    return response


async def _read(request: web.Request, limits: Limits) -> bytes:
    """Return the whole body.

    Raises CfsslError: 413 too long, 408 too slow, 415 packed (Go unpacks no body either), 400 broken.
    """
    if "Content-Encoding" in request.headers:
        raise bad_request("a packed body is not read; send it without Content-Encoding", 415)
    body = b""
    try:
        if request.content.is_eof():  # it came with the headers, as nearly always: no timer needed
            body = request.content.read_nowait()
        elif (request.content_length or 0) <= limits.body:
            async with asyncio.timeout(limits.seconds):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > limits.body:
                        break
    except TimeoutError:
        slow = f"the body took longer than {limits.seconds:g} seconds"
        raise bad_request(slow, 408) from None
    except web.RequestPayloadError:
        raise bad_request("the body is broken") from None
    if len(body) > limits.body or (request.content_length or 0) > limits.body:
        raise bad_request(f"the body is longer than {limits.body} bytes", 413)
    return body
