"""What signers are lent, and what they made of it."""

from datetime import timedelta

from custodian import leases, records, views, wire
from custodian.calls import ANYONE, SIGNER, Call, Request
from custodian.encoding import (
    parse_instant,
)
from custodian.sealing import parse_public_key
from custodian.store import Transaction

MAX_RECORDS = 1_048_576  # one record of the most and longest names fits


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


CALLS = (
    Call("GET /leases", ANYONE, list_leases, gives=list[wire.LeaseSummary]),
    Call("POST /leases", SIGNER, ask_lease, wire.AskLease, wire.LeaseView, 201),
    Call("POST /leases/{id}/close", SIGNER, close_lease, wire.CloseLease, wire.Closed),
    Call("POST /records", SIGNER, record, wire.Records, wire.Recorded, max_body=MAX_RECORDS),
)
