"""The record of a signature: what the history will say of it."""

import hashlib
from collections.abc import Callable
from typing import Any

from custodian.encoding import format_instant
from custodian.terms import Purpose
from signer.client import CustodianClient
from signer.issue import Prepared
from signer.journal import Record


def record_of(lease: str, number: int, prepared: Prepared, purpose: Purpose) -> Record:
    return {
        "lease": lease,
        "number": number,
        "tbs_sha256": hashlib.sha256(prepared.tbs).hexdigest(),
        "serial": f"{prepared.serial:x}".zfill(2),
        "profile": prepared.profile,
        "names": list(purpose.names),
        "not_after": format_instant(prepared.not_after),
    }


def record_sender(client: CustodianClient) -> Callable[[list[Record]], Any]:
    """Return how a journal sends its records."""

    async def send(records: list[Record]) -> None:
        await client.post("/records", {"records": records})

    return send
