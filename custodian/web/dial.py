"""The quorum as a circle that closes, and who could keep it closed. Pure.

Arcs are the owners it takes; the lent ones are filled. Lengths are on a circle whose `pathLength` is 300,
so that the page needs no arithmetic and no style attribute.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from custodian.encoding import parse_instant
from custodian.policy import Policy, parse_policy
from custodian.wire import DelegationView, Outlook
from custodian.wire_requests import RequestView

CIRCLE = 300
GAP = 5.0
SOON = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Arc:
    length: float
    offset: float  # negative: how far along the circle it starts
    lent: bool

    @property
    def dash(self) -> str:
        return f"{self.length:g} {CIRCLE - self.length:g}"


@dataclass(frozen=True, slots=True)
class OwnerLine:
    """What one owner of a key has to do with its quorum now."""

    name: str
    state: str  # lent, declined, asked, out (shut out) or idle
    delegation: DelegationView | None = None
    reason: str = ""
    since: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The quorum breaks at `at`, when the delegation of `owner` ends; `helpers` could keep it."""

    at: str
    owner: str
    helpers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dial:
    outlook: Outlook
    whole: int  # owners it takes, at least
    owners: tuple[OwnerLine, ...]
    ending: Ending | None
    first: DelegationView | None  # of the quorum, what ends first
    request: str  # one that waits for it; '' if none

    @property
    def have(self) -> int:
        return max(0, self.whole - self.outlook.needed)

    @property
    def arcs(self) -> list[Arc]:
        """Return the arcs; a closed quorum has no gaps."""
        gap = -0.5 if self.outlook.open else GAP  # a little over, or a hair shows between them
        step = CIRCLE / self.whole
        return [Arc(step - gap, -(n * step + gap / 2), n < self.have) for n in range(self.whole)]


def make_dial(
    outlook: Outlook,
    owners: Iterable[str],
    lent: Sequence[DelegationView],
    requests: Sequence[RequestView],
    *,
    disabled: frozenset[str],
    now: datetime,
) -> Dial:
    """Put together what the page shows of one key and signer.

    `lent` and `requests` are those of this key and signer; only what is live, or waits, is looked at.
    """
    policy = parse_policy(outlook.policy)
    best: dict[str, DelegationView] = {}
    for each in sorted(lent, key=lambda each: each.end):
        if each.state == "live":
            best[each.owner] = each
    waiting = [each for each in requests if each.state == "waiting"]
    first = min(best.values(), key=lambda each: each.end, default=None)
    return Dial(
        outlook=outlook,
        whole=policy.still_needed(()),
        owners=tuple(_line(name, best, waiting, disabled) for name in owners),
        ending=ending(policy, {name: each.end for name, each in best.items()}, disabled, now),
        first=next((each for each in best.values() if each.end == outlook.until), first),
        request=waiting[0].id if waiting else "",
    )


def _line(
    name: str,
    best: Mapping[str, DelegationView],
    waiting: Sequence[RequestView],
    disabled: frozenset[str],
) -> OwnerLine:
    if name in best:
        return OwnerLine(name, "lent", best[name])
    if name in disabled:
        return OwnerLine(name, "out")
    for request in waiting:
        for decline in request.declines:
            if decline.owner == name:
                return OwnerLine(name, "declined", reason=decline.reason, since=decline.at)
        if name in request.any_of:
            return OwnerLine(name, "asked", since=request.made)
    return OwnerLine(name, "idle")


def ending(policy: Policy, ends: Mapping[str, str], disabled: frozenset[str], now: datetime) -> Ending | None:
    """Return when the quorum breaks, if it is whole now and does so soon."""
    if not policy.met_by(ends):
        return None
    left = dict(ends)
    for owner in sorted(ends, key=lambda owner: ends[owner]):
        if parse_instant(ends[owner], "end") - now > SOON:
            return None
        del left[owner]
        if not policy.met_by(left):
            helpers = tuple(name for name in policy.could_help(left) if name not in disabled)
            return Ending(ends[owner], owner, helpers)
    return None


def headline(dials: Sequence[Dial]) -> str:
    """Return the sentence at the head of the page."""
    if not dials:
        return "There is no key yet"
    if len(dials) == 1:
        return standing(dials[0])
    can = sum(each.outlook.open for each in dials)
    if can == len(dials):
        return "Every quorum is complete"
    return f"{can} of {len(dials)} quorums are complete" if can else "No quorum is complete"


def standing(dial: Dial) -> str:
    """Return `ca is one owner short`."""
    outlook = dial.outlook
    if outlook.open:
        return f"{outlook.key} is open" if outlook.leases else f"{outlook.key} can open"
    words = {1: "one owner", 2: "two owners", 3: "three owners"}
    return f"{outlook.key} is {words.get(outlook.needed, f'{outlook.needed} owners')} short"
