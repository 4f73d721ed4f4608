"""The page of loans: an owner's own, with one button each to take it back; to others everybody's."""

from typing import Any

from custodian.requests import ID
from custodian.store import Transaction
from custodian.web import reading
from custodian.web.asked import count_in_words
from custodian.web.page import Page, Visit

OUT = ("live", "pending")
MOST_ENDED = 20


async def show_delegations(visit: Visit) -> dict[str, Any]:
    mine = visit.me.role == "owner"

    def look(tx: Transaction) -> dict[str, Any]:
        found = reading.lent(tx, visit.me.name if mine else "")
        live = [each for each in found if each.state in OUT]
        return {
            "live": live,
            "ended": [each for each in found if each.state not in OUT][:MOST_ENDED],
            "known": {each.request for each in live if ID.fullmatch(each.request)},
            "headline": headline(len(live), mine=mine),
        }

    return await visit.custody.look(look)


def headline(live: int, *, mine: bool) -> str:
    """Return the sentence at the head of the page."""
    if not live:
        return "You have lent nothing" if mine else "Nothing is lent"
    things = count_in_words(live, "delegation")
    if mine:
        return f"You have {things} out"
    return f"{things[:1].upper()}{things[1:]} {'is' if live == 1 else 'are'} out"


DELEGATIONS = Page("/delegations", "delegations.html", show_delegations, label="Delegations")
