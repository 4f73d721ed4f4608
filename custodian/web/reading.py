"""What several pages read: requests, quorums and loans as the wire's models, out of one transaction."""

from collections.abc import Iterable

from custodian import accounts, keys, request_views, views
from custodian.delegations import list_delegations
from custodian.outlook import outlook
from custodian.requests import list_requests, recent_requests
from custodian.store import Transaction
from custodian.web.asked import Asked
from custodian.web.dial import Dial, make_dial
from custodian.wire import DelegationView
from custodian.wire_requests import RequestView

REMEMBERED = 30 * 24 * 3600  # seconds for which ended requests are listed
MOST_ENDED = 40
LOOKED_AT = 400  # requests, the newest, for those that ended


def waiting(tx: Transaction) -> list[RequestView]:
    return request_views.requests(tx, list_requests(tx, state="waiting"))


def ended(tx: Transaction) -> list[RequestView]:
    """Return the newest requests that ended."""
    recent = recent_requests(tx, tx.seconds - REMEMBERED, most=LOOKED_AT)
    over = [each for each in recent if each.state(tx.now) != "waiting"]
    return request_views.requests(tx, over[:MOST_ENDED])


def asked(found: Iterable[RequestView], me: str) -> list[Asked]:
    """Return requests as `me` sees them, those that need me first."""
    seen = [Asked(each, me) for each in found]
    return sorted(seen, key=lambda each: not each.mine)


def lent(tx: Transaction, owner: str = "") -> list[DelegationView]:
    """Return what an owner, or everybody, has lent, newest first."""
    return [views.delegation(each, tx.now) for each in list_delegations(tx, owner=owner)]


def dials(tx: Transaction) -> list[Dial]:
    """Return the quorum of every key for every signer."""
    requests, loans = waiting(tx), lent(tx)
    disabled = frozenset(each.name for each in accounts.list_accounts(tx) if each.disabled)
    owners = {key.name: list(key.envelope.holdings) for key in keys.list_keys(tx)}
    return [
        make_dial(
            each,
            owners[each.key],
            [loan for loan in loans if (loan.key, loan.signer) == (each.key, each.signer)],
            [request for request in requests if (request.key, request.signer) == (each.key, each.signer)],
            disabled=disabled,
            now=tx.now,
        )
        for each in outlook(tx)
    ]
