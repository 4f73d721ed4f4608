"""Keys in custody, and how far each is from opening."""

import re

from custodian import keys, views, wire
from custodian.calls import ANYONE, SIGNER, Call, Request
from custodian.encoding import (
    decode_base64,
)
from custodian.errors import BadInput
from custodian.outlook import outlook

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n")
MAX_ENVELOPE = 2_097_152


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


async def status(call: Request) -> list[wire.Outlook]:
    """Show how far each key is from opening."""
    return await call.custody.look(outlook)


CALLS = (
    Call("GET /keys", ANYONE, list_keys, gives=list[wire.KeyView]),
    Call("POST /keys", SIGNER, seal_key, wire.SealKey, wire.KeyView, 201, max_body=MAX_ENVELOPE),
    Call("GET /keys/{name}", ANYONE, show_key, gives=wire.KeyDetail),
    Call("GET /status", ANYONE, status, gives=list[wire.Outlook]),
)
