"""What owners lend and take back."""

from custodian import delegations, keys, views, wire
from custodian.calls import OWNER, PEOPLE, Call, Request
from custodian.encoding import (
    parse_duration,
    parse_instant,
)
from custodian.lending import Wish
from custodian.store import Transaction

FILTERS = ("owner", "key")


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


CALLS = (
    Call("GET /delegations", PEOPLE, list_delegations, None, list[wire.DelegationView], query=FILTERS),
    Call("POST /delegations", OWNER, delegate, wire.Delegate, wire.Granted, 201),
    Call("GET /delegations/{id}", PEOPLE, show_delegation, gives=wire.DelegationView),
    Call("DELETE /delegations/{id}", OWNER, revoke, gives=wire.Revoked, revokes=True, session=True),
)
