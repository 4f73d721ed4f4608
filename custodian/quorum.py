"""The rule: everything that decides whether a key opens lives in this file.

A delegation is **live** for what a signer asks when it is not revoked, has uses left, its time has
begun and not ended, it is for this key, this signer and this recipient, and its constraints admit the
purpose.

A key opens when live delegations of distinct owners satisfy the key's policy. Then a lease is granted
for as many uses as asked, but not more than each of those delegations has left, until the time asked,
but not beyond the end of any of them. Each use of the lease is taken from each of those delegations,
and from no other, before the answer leaves.

Nothing here asks the time, stores or sends anything: `now` is given, and the verdict is a value.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from custodian.errors import BadInput
from custodian.policy import Policy
from custodian.sealing import PublicKey
from custodian.terms import Purpose, Terms


@dataclass(frozen=True, slots=True)
class Delegation:
    """Terms an owner agreed to, and how many of their uses are left."""

    terms: Terms
    left: int
    revoked: bool = False

    def obstacle(self, ask: "Ask", now: datetime) -> str | None:  # noqa: PLR0911 - one for each clause
        """Return why this delegation does not count for `ask` at `now`, or None if it does."""
        terms = self.terms
        if self.revoked:
            return "revoked"
        if self.left < 1:
            return "no uses left"
        if now < terms.start:
            return "not begun"
        if now >= terms.end:
            return "ended"
        if terms.key_id != ask.key_id or terms.signer != ask.signer:
            return "for another key or signer"
        if ask.recipient not in terms.recipients:
            return "sealed to a recipient that is gone"
        return terms.constraints.refusal(ask.purpose)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a signer wants: up to `uses` signatures for `purpose`, until at most `until`."""

    key_id: str
    signer: str
    recipient: PublicKey
    purpose: Purpose
    uses: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Missing:
    """Why no lease: at least `count` more of `any_of` must delegate."""

    count: int
    any_of: tuple[str, ...]
    granted: tuple[str, ...]
    obstacles: dict[str, str]  # owner -> why the delegation they gave does not count


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease: `uses` from each of `spent`, until `end`."""

    spent: tuple[Delegation, ...]  # as they were before; one for each owner
    uses: int
    end: datetime


def judge(policy: Policy, delegations: Iterable[Delegation], ask: Ask, now: datetime) -> Grant | Missing:
    """Decide whether `delegations` open the key for `ask` at `now`.

    Of several that do not count, what is wrong with an owner's first is told: give the newest first.

    Raises:
        BadInput: no use is asked for, or the time asked for is over.
    """
    if ask.uses < 1:
        raise BadInput("uses", "must be at least 1")
    if ask.until <= now:
        raise BadInput("until", "must be in the future")
    best: dict[str, Delegation] = {}
    obstacles: dict[str, str] = {}
    owners = set(policy.owners())
    for delegation in delegations:
        owner = delegation.terms.owner
        obstacle = delegation.obstacle(ask, now)
        if obstacle or owner not in owners:
            obstacles.setdefault(owner, obstacle or "not an owner of this key")
        elif owner not in best or _worth(delegation) > _worth(best[owner]):
            best[owner] = delegation
    by_worth = sorted(best, key=lambda owner: _worth(best[owner]), reverse=True)
    chosen = policy.choose(by_worth)
    if chosen is None:
        return Missing(
            count=policy.still_needed(best),
            any_of=policy.could_help(best),
            granted=tuple(sorted(best)),
            obstacles={owner: why for owner, why in obstacles.items() if owner not in best},
        )
    spent = tuple(best[owner] for owner in sorted(chosen))
    return Grant(
        spent=spent,
        uses=min(ask.uses, *(delegation.left for delegation in spent)),
        end=min(ask.until, *(delegation.terms.end for delegation in spent)),
    )


def spend(grant: Grant) -> tuple[Delegation, ...]:
    """Return the delegations of `grant` as they are after it."""
    return tuple(replace(each, left=each.left - grant.uses) for each in grant.spent)


def _worth(delegation: Delegation) -> tuple[datetime, int, str]:
    """Prefer what lasts longest; the id decides ties, so that every reader decides alike."""
    return (delegation.terms.end, delegation.left, delegation.terms.id)
