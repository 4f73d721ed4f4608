"""HTTP around the calls: who may, how a body is read, how an error is told, what OpenAPI says.

A `Call` is one row of the API: verb, path, the roles it is for, its models and its handler. Errors are
RFC 9457 problems with the stable code of their class as `type`; `STATUS` is the only map to HTTP.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Any

from aiohttp import hdrs, web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from custodian.callers import authenticate, check_page, check_type
from custodian.config import Bodies
from custodian.encoding import canonical_json
from custodian.errors import (
    BadInput,
    CannotOpen,
    Conflict,
    CustodianError,
    Forbidden,
    FormatError,
    NotFound,
    QuorumMissing,
    TooMany,
    Unauthenticated,
    Unavailable,
    Untrusted,
)
from custodian.metrics import count_request
from custodian.service import Caller, Custody
from custodian.wire import Problem, parse_request

STATUS: dict[type[CustodianError], int] = {
    BadInput: 400,
    FormatError: 400,
    CannotOpen: 409,
    QuorumMissing: 409,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Untrusted: 409,
    TooMany: 429,
    Unavailable: 503,
}
TITLES: dict[type[CustodianError], str] = {
    BadInput: "What was sent is not right",
    FormatError: "What was sent is not in its format",
    CannotOpen: "A share or seal does not open",
    QuorumMissing: "Too few owners have delegated",
    Unauthenticated: "Who is calling?",
    Forbidden: "Not for this caller",
    NotFound: "There is no such thing",
    Conflict: "It cannot be done as things stand",
    Untrusted: "The history is not to be trusted",
    TooMany: "Too much or too often",
    Unavailable: "A part does not answer",
}
ROOT = "/api/v1"
ADMIN, OWNER, AUDITOR, SIGNER = (frozenset({role}) for role in ("admin", "owner", "auditor", "signer"))
PEOPLE, NOBODY = ADMIN | OWNER | AUDITOR, frozenset[str]()
ANYONE = PEOPLE | SIGNER
CUSTODY = web.AppKey("custody", Custody)
BODIES = web.AppKey("bodies", Bodies)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A call as its handler sees it: the proven caller, the parsed body, path and query."""

    custody: Custody
    caller: Caller
    body: Any
    path: dict[str, str]
    query: dict[str, str]
    http: web.Request

    def number(self, name: str, default: int, most: int) -> int:
        """Return a query parameter that is a number from 0 to `most`."""
        text = self.query.get(name, str(default))
        if not text.isascii() or not text.isdecimal() or len(text) > 15 or int(text) > most:
            raise BadInput(name, f"must be a number from 0 to {most}")
        return int(text)


Handler = Callable[[Request], Awaitable[BaseModel | list[Any] | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Call:
    """`route` is verb and path below /api/v1; the handler's docstring is the summary."""

    route: str
    roles: frozenset[str]  # empty: anyone, without credentials
    handler: Handler
    takes: type[BaseModel] | None = None
    gives: Any = None  # a model, or a list of one
    status: int = 200
    query: tuple[str, ...] = ()
    max_body: int = 0  # bytes, where it is not that of the configuration
    revokes: bool = False  # the delegation `id`: its owner must get through
    session: bool = False  # a session may make this change; GETs are open to it

    @property
    def verb(self) -> str:
        return self.route.partition(" ")[0]

    @property
    def path(self) -> str:
        return ROOT + self.route.partition(" ")[2]


def add_calls(app: web.Application, calls: Sequence[Call]) -> None:
    for call in calls:
        app.router.add_route(call.verb, call.path, _handler(call))


def _handler(call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        custody = request.app[CUSTODY]
        check_page(request, custody.site)
        caller = await _caller(custody, request, call)
        unknown = set(request.query) - set(call.query)
        if unknown:
            raise BadInput(min(unknown)[:64], "is not a parameter of this call")
        limits = request.app[BODIES]
        most = call.max_body or limits.max_bytes
        body = await read_body(request, most, limits.seconds) if call.takes else b""
        parsed = parse_request(call.takes, body) if call.takes else None
        path = dict(request.match_info)
        answer = await call.handler(Request(custody, caller, parsed, path, dict(request.query), request))
        return answer if isinstance(answer, web.StreamResponse) else _json(answer, call.status)

    return handle


def _json(answer: BaseModel | list[Any], status: int) -> web.Response:
    value = [each.model_dump() for each in answer] if isinstance(answer, list) else answer.model_dump()
    return web.Response(body=canonical_json(value) + b"\n", status=status, content_type="application/json")


async def _caller(custody: Custody, request: web.Request, call: Call) -> Caller:
    """Prove who calls, and that they may: their role, and a session only where a session is enough."""
    check_type(request)
    if not call.roles:
        return Caller("unknown", "")
    revoking = request.match_info["id"] if call.revokes else ""
    caller = await authenticate(custody, request, revoking=revoking)
    if caller.role not in call.roles:
        raise Forbidden(f"this call is for {_either(call.roles)}, not for {caller.role}s")
    if caller.session and call.verb != "GET" and not call.session:
        raise Forbidden("a session only reads; send your password with this very call (HTTP Basic)")
    return caller


async def read_body(request: web.Request, most: int, seconds: int) -> bytes:
    """Read a body of at most `most` bytes that arrives in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise TooMany(f"the body is larger than {most} bytes")
    except TimeoutError:
        raise BadInput("body", f"did not arrive within {seconds} s") from None
    except web.RequestPayloadError:
        raise BadInput("body", "does not arrive as its headers say") from None
    return bytes(body)


@web.middleware
async def tell_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every error with a problem; what we did not expect says nothing of itself."""
    answer = await _answer(request, handler)
    route = request.match_info.route.resource
    count_request(request.method, route.canonical if route else "", answer.status)
    return answer


async def _answer(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except CustodianError as error:
        answer = problem(error)
        if "Sec-Fetch-Mode" in request.headers:  # a browser would ask for a password, and keep it
            answer.headers.pop(hdrs.WWW_AUTHENTICATE, None)
        return answer
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {str(hdrs.ALLOW): error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
        code = {404: "not-found", 405: "wrong-method", 413: "too-many"}.get(error.status, "bad-input")
        return _problem(code, error.reason, error.status, error.reason.lower(), headers)
    except Exception:
        log.exception("a call failed: %s %s", request.method, request.path)
        return _problem("error", "Something failed here", 500, "the custodian's log tells more", {})


def problem(error: CustodianError) -> web.Response:
    """Return the RFC 9457 problem of an error."""
    kind = next(each for each in type(error).__mro__ if each in STATUS)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="custodian", charset="UTF-8"'
    if "retry_after" in error.members:
        headers[hdrs.RETRY_AFTER] = str(error.members["retry_after"])
    status = 413 if isinstance(error, TooMany) and not headers else STATUS[kind]
    return _problem(error.code, TITLES[kind], status, error.detail, headers, **error.members)


def _problem(
    code: str, title: str, status: int, detail: str, headers: dict[str, str], **members: Any
) -> web.Response:
    body = canonical_json(members | {"type": code, "title": title, "status": status, "detail": detail})
    return web.Response(
        body=body + b"\n", status=status, headers=headers, content_type="application/problem+json"
    )


def openapi(calls: Sequence[Call], plain: Sequence[tuple[str, Any]], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `calls` and of `plain` paths, which anyone may GET."""
    used = {model for call in calls for model in (call.takes, _one(call.gives), Problem) if model}
    models = sorted(used, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.verb.lower()] = _operation(call)
    for path, handler in plain:
        done = {"responses": {"200": {"description": "done"}}, "security": []}
        paths[path] = {"get": {"summary": _summary(handler)} | done}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Custodian", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "person": {"type": "http", "scheme": "basic"},
                "signer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": _summary(call.handler),
        "description": f"For {_either(call.roles)}." if call.roles else "For anyone, without credentials.",
        "responses": {
            str(call.status): {"description": "done"} | _content(call.gives),
            "default": {"description": "a problem"} | _content(Problem, kind="application/problem+json"),
        },
        "security": [{"signer" if role == "signer" else "person": []} for role in sorted(call.roles)],
    }
    names = [part[1:-1] for part in call.path.split("/") if part.startswith("{")]
    operation["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ] + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in call.query]
    if call.takes:
        operation["requestBody"] = {"required": True} | _content(call.takes)
    return operation


def _summary(handler: Callable[..., Any]) -> str:
    return (handler.__doc__ or "").partition("\n")[0].rstrip(".")


def _content(gives: Any, *, kind: str = "application/json") -> dict[str, Any]:
    if gives is None:
        return {}
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{_one(gives).__name__}"}
    whole = schema if _one(gives) is gives else {"type": "array", "items": schema}
    return {"content": {kind: {"schema": whole}}}


def _one(gives: Any) -> Any:
    """Return the model of `list[model]`, or the model itself."""
    return gives.__args__[0] if isinstance(gives, GenericAlias) else gives


def _either(roles: frozenset[str]) -> str:
    return " or ".join(f"{role}s" for role in sorted(roles))
