"""Signers: who they are, and what they announce."""

from custodian import signers, views, wire
from custodian.calls import ADMIN, ANYONE, SIGNER, Call, Request
from custodian.encoding import (
    decode_base64,
    parse_instant,
)
from custodian.errors import Forbidden
from custodian.news import news
from custodian.sealing import parse_public_key


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


CALLS = (
    Call("GET /signers", ANYONE, list_signers, gives=list[wire.SignerView]),
    Call("DELETE /signers/{name}", ADMIN, disable_signer, gives=wire.Revoked),
    Call("PUT /signers/{name}/recipient", SIGNER, announce, wire.Announce, wire.SignerView),
    Call("GET /signers/{name}/news", SIGNER, news),
)
