"""Signing in and out, and who one is."""

from aiohttp import web

from custodian import proofs, sessions, wire_slots
from custodian.calls import NOBODY, PEOPLE, Call, Request
from custodian.encoding import format_instant
from custodian.errors import BadInput
from custodian.events import Evidence
from custodian.sessions import Session


async def make_statement(call: Request) -> wire_slots.Statement:
    """Make a statement that is signed to sign in."""
    custody = call.custody
    said = await custody.look(
        lambda tx: custody.statements.make(custody.site.origin, tx.now, tx.random(16)),
    )
    return wire_slots.Statement(statement=said)


async def sign_in(call: Request) -> wire_slots.Session:
    """Sign in, by password or by evidence over a statement."""
    token, session = await start(call, call.body)
    return wire_slots.Session(
        token=token, name=session.name, role=session.role, expires=format_instant(session.expires)
    )


async def start(call: Request, body: wire_slots.SignIn) -> tuple[str, Session]:
    """Start the session that `body` asks for. Raises Unauthenticated, TooMany."""
    custody = call.custody
    if body.password is not None and body.statement is None and body.evidence is None:
        password, address = body.password.get_secret_value(), call.http.remote or ""
        caller = await custody.login(body.name, password, address)
        return await custody.change_as(caller, sessions.start, caller.name)
    if body.password is not None or body.statement is None or body.evidence is None:
        raise BadInput("password", "sign in by a password, or by a statement and evidence")
    evidence = Evidence(**body.evidence.model_dump())
    return await custody.change(
        proofs.sign_in,
        body.name,
        body.statement,
        evidence,
        site=custody.site,
        statements=custody.statements,
    )


async def sign_out(call: Request) -> web.Response:
    """End this session; with a password, all of yours."""
    caller = call.caller
    if caller.session:
        await call.custody.change(sessions.end, caller.session)
    else:
        await call.custody.change(sessions.end_all, caller.name)
    return web.Response(status=204)


CALLS = (
    Call("GET /sessions/statement", NOBODY, make_statement, gives=wire_slots.Statement),
    Call("POST /sessions", NOBODY, sign_in, wire_slots.SignIn, wire_slots.Session, 201),
    Call("DELETE /sessions", PEOPLE, sign_out, status=204, session=True),
)
