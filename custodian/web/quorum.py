"""The page of quorums: per key and signer a circle that closes, and who could close it."""

from typing import Any

from custodian.store import Transaction
from custodian.web import dial, reading
from custodian.web.page import Page, Visit


async def show_quorum(visit: Visit) -> dict[str, Any]:
    def look(tx: Transaction) -> dict[str, Any]:
        dials = reading.dials(tx)
        return {"dials": dials, "headline": dial.headline(dials)}

    return await visit.custody.look(look)


QUORUM = Page("/quorum", "quorum.html", show_quorum, label="Quorum")
