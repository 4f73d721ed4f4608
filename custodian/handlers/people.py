"""Invitations, enrolment, accounts."""

from datetime import UTC, datetime, timedelta

from custodian import accounts, signers, views, wire
from custodian.calls import ADMIN, ANYONE, AUDITOR, NOBODY, Call, Request
from custodian.encoding import (
    format_instant,
)
from custodian.errors import BadInput
from custodian.identity import parse_identity


async def invite(call: Request) -> wire.Invitation:
    """Invite a person or a signer; the code is shown once."""
    body: wire.Invite = call.body
    code = await call.custody.change(accounts.invite, body.role, body.name, call.caller.actor)
    expires = await call.custody.look(lambda tx: tx.now + timedelta(seconds=accounts.INVITATION_LIFE))
    return wire.Invitation(role=body.role, name=body.name, code=code, expires=format_instant(expires))


async def list_invitations(call: Request) -> list[wire.OpenInvitation]:
    """List the invitations that are still open, without their codes."""
    found = await call.custody.look(accounts.open_invitations)
    return [
        wire.OpenInvitation(
            role=role, name=name, expires=format_instant(datetime.fromtimestamp(expires, UTC))
        )
        for role, name, expires in found
    ]


async def look_at_invitation(call: Request) -> wire.Invited:
    """Say whom an invitation is for, without using it."""
    body: wire.LookAtInvitation = call.body
    role, name = await call.custody.look(accounts.look_at_invitation, body.invitation.get_secret_value())
    return wire.Invited(role=role, name=name)


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


CALLS = (
    Call("POST /invitations", ADMIN, invite, wire.Invite, wire.Invitation, 201),
    Call("GET /invitations", ADMIN, list_invitations, gives=list[wire.OpenInvitation]),
    Call("POST /enrolments/look", NOBODY, look_at_invitation, wire.LookAtInvitation, wire.Invited),
    Call("POST /enrolments", NOBODY, enrol, wire.Enrol, wire.Enrolled, 201),
    Call("GET /accounts", ADMIN | AUDITOR, list_accounts, gives=list[wire.Person]),
    Call("DELETE /accounts/{name}", ADMIN, disable, gives=wire.Revoked),
    Call("GET /owners", ANYONE, list_owners, gives=list[wire.Person]),
)
