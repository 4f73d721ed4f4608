"""The pages of requests: the list, one request with the form that answers it, and the form that asks."""

import json
from typing import Any

from custodian import accounts, keys, ownerslots, request_views
from custodian.calls import ADMIN, OWNER
from custodian.requests import find_request, may_answer
from custodian.service import Caller
from custodian.store import Transaction
from custodian.web import asked as words
from custodian.web import reading
from custodian.web.asked import Asked
from custodian.web.page import Page, Visit
from custodian.wire_requests import RequestView


async def show_requests(visit: Visit) -> dict[str, Any]:
    me = visit.me

    def look(tx: Transaction) -> dict[str, Any]:
        found = reading.asked(reading.waiting(tx), me.name)
        return {
            "open": found,
            "ended": reading.asked(reading.ended(tx), me.name),
            "headline": words.headline(found, me.name, me.role),
            "lede": words.lede(found, me.role),
            "dials": reading.dials(tx),
            "lent": [each for each in reading.lent(tx, me.name) if each.state == "live"],
        }

    return await visit.custody.look(look)


async def show_request(visit: Visit) -> dict[str, Any]:
    def look(tx: Transaction) -> dict[str, Any]:
        found = find_request(tx, visit.path["id"])
        key = keys.find_key(tx, found.petition.key_id)
        view = request_views.request(tx, found)
        asked = Asked(view, visit.me.name)
        holds = visit.me.name in key.envelope.holdings and may_answer(found, key, visit.me.name)
        return {
            "asked": asked,
            "limits": words.limits_of(view),
            "holds": holds,
            "answered": any(each.owner == visit.me.name for each in view.answers),
            "wish": _wish(view),
            "ways": _ways(tx, visit.me) if holds else [],
            "command": asked.command(),
            "over": words.over(asked),
        }

    return await visit.custody.look(look)


def _wish(view: RequestView) -> str:
    """Return what the page lends, as its script takes it."""
    wanted = {"key": view.key, "signer": view.signer, "uses": view.uses, "seconds": view.seconds}
    return json.dumps(wanted | {"constraints": view.constraints.model_dump(), "request": view.id})


def _ways(tx: Transaction, me: Caller) -> list[str]:
    """Return how this owner can lend in a browser: passkey, device, password."""
    kinds = {each.kind for each in accounts.owner_slots(tx, me.name)}
    proofs = {each.credential.kind for each in ownerslots.list_credentials(tx, me.name)}
    opens_by_passkey = "passkey" in kinds & proofs
    return [
        *(["passkey"] if opens_by_passkey else []),
        *(["device"] if "device" in kinds and proofs & {"device", "passkey"} else []),
        *(["password"] if "password" in kinds else []),
    ]


async def show_ask(visit: Visit) -> dict[str, Any]:
    def look(tx: Transaction) -> dict[str, Any]:
        found = keys.list_keys(tx)
        return {"pairs": [(key.name, signer) for key in found for signer in key.envelope.facts.signers]}

    return await visit.custody.look(look)


REQUESTS = Page("/requests", "requests.html", show_requests, label="Requests")
REQUEST = Page("/requests/{id}", "request.html", show_request)
ASK = Page("/ask", "ask.html", show_ask, roles=ADMIN | OWNER)
