"""Asking the owners for the key in the signer's name, and waiting for what they say."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from custodian.encoding import canonical_json
from custodian.errors import BadInput, Conflict, Unavailable
from custodian.petition import Petition
from custodian.wire import parse_request
from custodian.wire_requests import AskRequest, parse_made
from signer.client import CustodianClient
from signer.config import CUSTODIAN_CA, TOKEN, load_config

LOOK_AGAIN = 2.0  # seconds between looks at whether a request is answered


async def ask(directory: Path, wanted: Mapping[str, Any]) -> Petition:
    """Ask for what `wanted` says of an AskRequest, by default for the key that this signer signs with.

    Raises:
        BadInput: it is outside the limits. Forbidden: the custodian made something else of it.
    """
    config = load_config(directory)
    key = wanted["key"] or (config.ca.key if config.ca else "")
    if not key:
        raise BadInput("--key", "is missing; this signer has no CA yet")
    body = {**wanted, "key": key, "signer": config.name}
    asked = parse_request(AskRequest, canonical_json(body))
    async with _client(directory) as client:
        return parse_made(asked, await client.post("/requests", body))


async def wait(directory: Path, petition: Petition, tell: Callable[[str], Any]) -> str:
    """Wait until a request is answered; return by whom. `tell` hears who is still missing.

    Raises:
        Conflict: it ended otherwise, and why. Unavailable: it expired while the custodian was silent.
    """
    told = ""
    async with _client(directory) as client:
        while True:
            try:
                view = await client.get(f"/requests/{petition.id}")
                said = _missing(view) if view["state"] == "waiting" else ""
            except Unavailable as error:
                if datetime.now(UTC) >= petition.expires:
                    raise
                view, said = {"state": "waiting"}, error.detail
            if view["state"] != "waiting":
                return _ended(view)
            if said != told:
                tell(said)
                told = said
            await asyncio.sleep(LOOK_AGAIN)


def _missing(view: Mapping[str, Any]) -> str:
    who = " or ".join(view["any_of"]) if view["needed"] == 1 else ", ".join(view["any_of"])
    return f"waiting for {view['needed']} of {who or 'nobody who could'}"


def _ended(view: Mapping[str, Any]) -> str:
    if view["state"] == "answered":
        return f"{view['id']} is answered by {', '.join(sorted({each['owner'] for each in view['answers']}))}"
    why = "; ".join(f"{each['owner']}: {each['reason']}" for each in view["declines"])
    raise Conflict(f"{view['id']} is not answered: {view['state']}{f' ({why})' if why else ''}")


def _client(directory: Path) -> CustodianClient:
    url = load_config(directory).custodian.url
    return CustodianClient(url, directory / CUSTODIAN_CA, (directory / TOKEN).read_text().strip())
