"""How far each key is from opening: who has lent, who could still, and what ends first."""

from custodian.delegations import Lent, not_shut_out, unended_delegations
from custodian.encoding import format_instant
from custodian.keys import Key, list_keys
from custodian.leases import live_leases
from custodian.store import Transaction
from custodian.wire import LiveOwner, Outlook


def outlook(tx: Transaction) -> list[Outlook]:
    """Return the outlook of every key for every signer it may be lent to."""
    return [_outlook(tx, key, signer) for key in list_keys(tx) for signer in key.envelope.facts.signers]


def _outlook(tx: Transaction, key: Key, signer: str) -> Outlook:
    policy = key.envelope.facts.policy
    live: dict[str, Lent] = {}
    for lent in unended_delegations(tx, key.id):
        terms = lent.delegation.terms
        if (
            terms.signer == signer
            and lent.state(tx.now) == "live"
            and _lasts(lent) > _lasts(live.get(terms.owner))
        ):
            live[terms.owner] = lent
    chosen = policy.choose(sorted(live, key=lambda owner: _lasts(live[owner]), reverse=True))
    return Outlook(
        key=key.name,
        signer=signer,
        policy=str(policy),
        open=chosen is not None,
        needed=policy.still_needed(live),
        any_of=not_shut_out(tx, policy.could_help(live)),
        live=[
            LiveOwner(owner=owner, left=each.delegation.left, end=format_instant(each.delegation.terms.end))
            for owner, each in sorted(live.items())
        ],
        until=format_instant(min(live[owner].delegation.terms.end for owner in chosen)) if chosen else None,
        leases=len(live_leases(tx, signer, key.id)),
    )


def _lasts(lent: Lent | None) -> float:
    return lent.delegation.terms.end.timestamp() if lent else 0.0
