"""Requests: somebody needs a key, its owners answer with delegations, or decline."""

from custodian import answering, asking, keys, request_views
from custodian.calls import ADMIN, ANYONE, OWNER, PEOPLE, SIGNER, Call, Request
from custodian.encoding import parse_duration
from custodian.errors import BadInput, NotFound
from custodian.requests import STATES, find_request, list_requests
from custodian.store import Transaction
from custodian.wire_requests import AskRequest, Decline, RequestView


async def ask(call: Request) -> RequestView:
    """Ask for a key."""
    body: AskRequest = call.body
    need = asking.Need(
        key=body.key,
        signer=body.signer,
        uses=body.uses,
        duration=parse_duration(body.duration, "duration"),
        constraints=body.constraints.domain(),
        reason=body.reason,
        on_behalf=body.on_behalf,
        patience=parse_duration(body.expires_in, "expires_in"),
    )
    made = await call.custody.change(asking.make, call.caller.actor, need)
    return await _view(call, made.id)


async def list_all(call: Request) -> list[RequestView]:
    """List requests, newest first; a signer sees those for itself."""
    state, name = call.query.get("state", ""), call.query.get("key", "")
    if state and state not in STATES:
        raise BadInput("state", f"must be one of {', '.join(STATES)}")
    signer = call.caller.name if call.caller.role == "signer" else ""

    def find(tx: Transaction) -> list[RequestView]:
        key_id = keys.find_key(tx, name).id if name else ""
        return request_views.requests(tx, list_requests(tx, state=state, key_id=key_id, signer=signer))

    return await call.custody.look(find)


async def show(call: Request) -> RequestView:
    """Show a request."""
    return await _view(call, call.path["id"])


async def decline(call: Request) -> RequestView:
    """Decline a request: you will not lend for it."""
    body: Decline = call.body
    await call.custody.change(answering.decline, call.caller.name, call.path["id"], body.reason)
    return await _view(call, call.path["id"])


async def veto(call: Request) -> RequestView:
    """Stop a request for good, and what answers it."""
    body: Decline = call.body
    await call.custody.veto(call.caller.name, call.path["id"], body.reason)
    return await _view(call, call.path["id"])


async def withdraw(call: Request) -> RequestView:
    """Take back a request that you made."""
    await call.custody.change(answering.withdraw, call.caller.actor, call.path["id"])
    return await _view(call, call.path["id"])


async def remind(call: Request) -> RequestView:
    """Remind the owners of a request that waits."""
    await _view(call, call.path["id"])  # a signer reminds of its own only
    await call.custody.change(asking.remind, call.path["id"])
    return await _view(call, call.path["id"])


async def _view(call: Request, request: str) -> RequestView:
    """Return a request as it stands; a signer sees those for itself."""

    def find(tx: Transaction) -> RequestView:
        found = find_request(tx, request)
        if call.caller.role == "signer" and found.petition.signer != call.caller.name:
            raise NotFound(f"{call.caller.name} has no request {request[:64]}")
        return request_views.request(tx, found)

    return await call.custody.look(find)


ASKERS = ADMIN | OWNER | SIGNER
CALLS = (
    Call("GET /requests", ANYONE, list_all, None, list[RequestView], query=("state", "key")),
    Call("POST /requests", ASKERS, ask, AskRequest, RequestView, 201, session=True),
    Call("GET /requests/{id}", ANYONE, show, gives=RequestView),
    Call("POST /requests/{id}/decline", OWNER, decline, Decline, RequestView, session=True),
    Call("POST /requests/{id}/veto", OWNER, veto, Decline, RequestView, session=True),
    Call("POST /requests/{id}/withdraw", ASKERS, withdraw, gives=RequestView, session=True),
    Call("POST /requests/{id}/remind", PEOPLE | SIGNER, remind, gives=RequestView, session=True),
)
