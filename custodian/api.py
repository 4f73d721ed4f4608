"""`/api/v1`: every call, in one table. docs/api.md shows each with curl."""

import functools
import json
import re
from datetime import timedelta
from importlib.metadata import version

from aiohttp import web

from custodian import accounts, delegations, keys, leases, records, signers, views, wire
from custodian.calls import ANYONE, BODIES, CUSTODY, Call, Request, add_calls, openapi, tell_problems
from custodian.config import Bodies
from custodian.delegations import Wish
from custodian.encoding import (
    canonical_json,
    decode_base64,
    encode_base64,
    format_instant,
    parse_duration,
    parse_instant,
)
from custodian.errors import BadInput, Forbidden, NotFound
from custodian.identity import parse_identity
from custodian.news import news
from custodian.outlook import outlook
from custodian.probes import PROBES
from custodian.sealing import parse_public_key
from custodian.service import Custody
from custodian.store import Transaction

ADMIN, OWNER, AUDITOR, SIGNER = (frozenset({role}) for role in ("admin", "owner", "auditor", "signer"))
PEOPLE, NOBODY = ADMIN | OWNER | AUDITOR, frozenset[str]()
FILTERS = ("owner", "key")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n")
MAX_ENVELOPE = 2_097_152
MAX_RECORDS = 1_048_576  # one record of the most and longest names fits
MAX_PAGE = 1_000
VERSION = version("custodian")


async def invite(call: Request) -> wire.Invitation:
    """Invite a person or a signer; the code is shown once."""
    body: wire.Invite = call.body
    code = await call.custody.change(accounts.invite, body.role, body.name, call.caller.actor)
    expires = await call.custody.look(lambda tx: tx.now + timedelta(seconds=accounts.INVITATION_LIFE))
    return wire.Invitation(role=body.role, name=body.name, code=code, expires=format_instant(expires))


async def enrol(call: Request) -> wire.Enrolled:
    """Enrol with an invitation."""
    body: wire.Enrol = call.body
    code, vkey = body.invitation.get_secret_value(), call.custody.vkey
    if body.identity is not None and body.password is None:
        identity = str(parse_identity(body.identity, "identity"))
        name, token = await call.custody.change(signers.enrol_signer, code, identity)
        return wire.Enrolled(role="signer", name=name, token=token, vkey=vkey)
    if body.password is None or body.identity is not None:
        raise BadInput("password", "people enrol with a password, signers with an identity")
    account = await call.custody.enrol(code, body.password.get_secret_value())
    return wire.Enrolled(role=account.role, name=account.name, public=account.public, vkey=vkey)


async def list_accounts(call: Request) -> list[wire.Person]:
    """List every account."""
    found = await call.custody.look(accounts.list_accounts)
    return [views.person(each) for each in found]


async def list_owners(call: Request) -> list[wire.Person]:
    """List the owners."""
    return [each for each in await list_accounts(call) if each.role == "owner"]


async def disable(call: Request) -> wire.Revoked:
    """Disable an account and revoke what it lent."""
    ended = await call.custody.disable(call.path["name"], call.caller.actor)
    return wire.Revoked(id=call.path["name"], leases_ended=ended)


async def list_signers(call: Request) -> list[wire.SignerView]:
    """List the signers."""
    return [views.signer(each) for each in await call.custody.look(signers.list_signers)]


async def disable_signer(call: Request) -> wire.Revoked:
    """Disable a signer; its leases end and its token is void."""
    ended = await call.custody.disable_signer(call.path["name"], call.caller.actor)
    return wire.Revoked(id=call.path["name"], leases_ended=ended)


async def announce(call: Request) -> wire.SignerView:
    """Announce a signer's new recipient."""
    body: wire.Announce = call.body
    signer = call.caller.signer
    if signer is None or signer.name != call.path["name"]:
        raise Forbidden("a signer announces its own recipient")
    recipient = parse_public_key(body.recipient, "recipient")
    signature = decode_base64(body.signature, "signature")
    ended = await call.custody.change(
        signers.announce,
        signer.name,
        recipient,
        announced=parse_instant(body.announced, "announced"),
        signature=signature,
    )
    call.custody.tell_ended(ended)
    return views.signer(await call.custody.look(signers.find_signer, signer.name))


async def seal_key(call: Request) -> wire.KeyView:
    """Put a sealed key into custody."""
    body: wire.SealKey = call.body
    envelope = decode_base64(body.envelope, "envelope")
    if not CERTIFICATE.fullmatch(body.certificate):
        raise BadInput("certificate", "is not one PEM certificate")
    key = await call.custody.change(keys.seal_key, call.caller.name, envelope, body.certificate)
    return views.key(key)


async def list_keys(call: Request) -> list[wire.KeyView]:
    """List the keys."""
    return [views.key(each) for each in await call.custody.look(keys.list_keys)]


async def show_key(call: Request) -> wire.KeyDetail:
    """Show a key and its envelope."""
    return views.key_detail(await call.custody.look(keys.find_key, call.path["name"]))


async def list_delegations(call: Request) -> list[wire.DelegationView]:
    """List delegations, newest first."""
    owner, key = call.query.get("owner", ""), call.query.get("key", "")

    def find(tx: Transaction) -> list[wire.DelegationView]:
        key_id = keys.find_key(tx, key).id if key else ""
        found = delegations.list_delegations(tx, owner=owner, key_id=key_id)
        return [views.delegation(each, tx.now) for each in found]

    return await call.custody.look(find)


async def show_delegation(call: Request) -> wire.DelegationView:
    """Show a delegation."""

    def find(tx: Transaction) -> wire.DelegationView:
        return views.delegation(delegations.find_delegation(tx, call.path["id"]), tx.now)

    return await call.custody.look(find)


async def delegate(call: Request) -> wire.Granted:
    """Delegate: lend your share to a signer, within limits."""
    body: wire.Delegate = call.body
    wish = Wish(
        signer=body.signer,
        uses=body.uses,
        start=parse_instant(body.start, "start") if body.start else None,
        duration=parse_duration(body.duration, "duration"),
        constraints=body.constraints.domain(),
        request=body.request,
    )
    lent, receipt = await call.custody.delegate(call.caller, body.key, wish)
    view = await call.custody.look(lambda tx: views.delegation(lent, tx.now))
    return wire.Granted(**view.model_dump() | {"constraints": view.constraints}, receipt=receipt.decode())


async def revoke(call: Request) -> wire.Revoked:
    """Revoke a delegation; what it opened closes."""
    ended = await call.custody.revoke(call.caller.name, call.path["id"])
    return wire.Revoked(id=call.path["id"], leases_ended=ended)


async def list_leases(call: Request) -> list[wire.LeaseSummary]:
    """List leases, newest first; a signer sees its own."""
    signer = call.caller.name if call.caller.role == "signer" else ""

    def find(tx: Transaction) -> list[wire.LeaseSummary]:
        return [views.lease_summary(each, tx.now) for each in leases.list_leases(tx, signer)]

    return await call.custody.look(find)


async def ask_lease(call: Request) -> wire.LeaseView:
    """Ask for a lease."""
    body: wire.AskLease = call.body
    request = leases.LeaseRequest(
        id=body.request,
        key=body.key,
        recipient=parse_public_key(body.recipient, "recipient"),
        purpose=body.purpose.domain(),
        uses=body.uses,
        duration=timedelta(seconds=body.seconds),
    )
    return views.lease(await call.custody.lease(call.caller.name, request, body.seen))


async def close_lease(call: Request) -> wire.Closed:
    """Close a lease; unused uses return."""
    body: wire.CloseLease = call.body
    returned = await call.custody.close_lease(call.caller.name, call.path["id"], body.used)
    return wire.Closed(returned=returned)


async def record(call: Request) -> wire.Recorded:
    """Write signatures into the history."""
    body: wire.Records = call.body
    signatures = [
        records.Signature(
            lease=each.lease,
            number=each.number,
            tbs_sha256=each.tbs_sha256,
            serial=each.serial,
            profile=each.profile,
            names=tuple(each.names),
            not_after=parse_instant(each.not_after, "not_after"),
        )
        for each in body.records
    ]
    return wire.Recorded(new=await call.custody.change(records.record, call.caller.name, signatures))


async def status(call: Request) -> list[wire.Outlook]:
    """Show how far each key is from opening."""
    return await call.custody.look(outlook)


async def history(call: Request) -> wire.HistoryPage:
    """Read the history."""
    start = call.number("start", 0, 2**53)
    limit = call.number("limit", 100, MAX_PAGE)

    def page(tx: Transaction) -> wire.HistoryPage:
        rows = tx.rows("SELECT body FROM entry WHERE seq >= ? ORDER BY seq LIMIT ?", start, limit)
        return wire.HistoryPage(
            size=tx.first,
            checkpoint=call.custody.store.checkpoint().decode(),
            entries=[json.loads(row["body"]) for row in rows],
        )

    return await call.custody.look(page)


async def checkpoint(call: Request) -> web.Response:
    """Return the newest signed checkpoint."""
    note = await call.custody.run(call.custody.store.checkpoint)
    return web.Response(body=note, content_type="text/plain", charset="utf-8")


async def receipt(call: Request) -> web.Response:
    """Return the proof that an entry is in the history."""
    index = call.path["index"]
    size = await call.custody.look(lambda tx: tx.first)
    if not index.isascii() or not index.isdecimal() or len(index) > 15 or int(index) >= size:
        raise NotFound(f"the history has the entries 0 to {size - 1}")
    proof = await call.custody.run(lambda: call.custody.store.receipt(int(index)))
    return web.Response(body=proof, content_type="text/plain", charset="utf-8")


async def consistency(call: Request) -> wire.Consistency:
    """Prove that the history only grew."""
    old = call.number("from", 0, await call.custody.look(lambda tx: tx.first))
    proof = await call.custody.run(
        lambda: (call.custody.store.checkpoint(), call.custody.store.consistency(old))
    )
    return wire.Consistency(checkpoint=proof[0].decode(), proof=[encode_base64(each) for each in proof[1]])


CALLS = (
    Call("POST /invitations", ADMIN, invite, wire.Invite, wire.Invitation, 201),
    Call("POST /enrolments", NOBODY, enrol, wire.Enrol, wire.Enrolled, 201),
    Call("GET /accounts", ADMIN | AUDITOR, list_accounts, gives=list[wire.Person]),
    Call("DELETE /accounts/{name}", ADMIN, disable, gives=wire.Revoked),
    Call("GET /owners", ANYONE, list_owners, gives=list[wire.Person]),
    Call("GET /signers", ANYONE, list_signers, gives=list[wire.SignerView]),
    Call("DELETE /signers/{name}", ADMIN, disable_signer, gives=wire.Revoked),
    Call("PUT /signers/{name}/recipient", SIGNER, announce, wire.Announce, wire.SignerView),
    Call("GET /signers/{name}/news", SIGNER, news),
    Call("GET /keys", ANYONE, list_keys, gives=list[wire.KeyView]),
    Call("POST /keys", SIGNER, seal_key, wire.SealKey, wire.KeyView, 201, max_body=MAX_ENVELOPE),
    Call("GET /keys/{name}", ANYONE, show_key, gives=wire.KeyDetail),
    Call("GET /delegations", PEOPLE, list_delegations, None, list[wire.DelegationView], query=FILTERS),
    Call("POST /delegations", OWNER, delegate, wire.Delegate, wire.Granted, 201),
    Call("GET /delegations/{id}", PEOPLE, show_delegation, gives=wire.DelegationView),
    Call("DELETE /delegations/{id}", OWNER, revoke, gives=wire.Revoked, revokes=True),
    Call("GET /leases", ANYONE, list_leases, gives=list[wire.LeaseSummary]),
    Call("POST /leases", SIGNER, ask_lease, wire.AskLease, wire.LeaseView, 201),
    Call("POST /leases/{id}/close", SIGNER, close_lease, wire.CloseLease, wire.Closed),
    Call("POST /records", SIGNER, record, wire.Records, wire.Recorded, max_body=MAX_RECORDS),
    Call("GET /status", ANYONE, status, gives=list[wire.Outlook]),
    Call("GET /history", PEOPLE, history, gives=wire.HistoryPage, query=("start", "limit")),
    Call("GET /history/checkpoint", ANYONE, checkpoint),
    Call("GET /history/consistency", ANYONE, consistency, gives=wire.Consistency, query=("from",)),
    Call("GET /history/{index}/receipt", PEOPLE, receipt),
)


async def describe(_: web.Request) -> web.Response:
    """Return this document."""
    return web.json_response(body=_document())


@functools.cache
def _document() -> bytes:
    """The document, made once: anyone may ask for it."""
    return canonical_json(openapi(CALLS, PLAIN, VERSION))


PLAIN = (
    ("/api/v1/openapi.json", describe),
    *PROBES,
)


def make_app(custody: Custody, bodies: Bodies) -> web.Application:
    app = web.Application(middlewares=[tell_problems])
    app[CUSTODY], app[BODIES] = custody, bodies
    add_calls(app, CALLS)
    for path, handler in PLAIN:
        app.router.add_get(path, handler, allow_head=False)
    return app
