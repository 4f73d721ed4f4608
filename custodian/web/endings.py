"""What ends next: loans, requests, invitations and certificates by the time they end. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from custodian.encoding import format_instant

SOON = (("wax", timedelta(days=7)), ("wait", timedelta(days=30)))  # before certificates end
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that ends `at`; `then` is what that means."""

    at: datetime
    what: str
    then: str
    url: str = ""
    certificate: bool = False

    @property
    def instant(self) -> str:
        return format_instant(self.at)


def next_to_end(endings: Iterable[Ending], now: datetime) -> list[Ending]:
    """Return what has not ended, the first to end first; of certificates also those that have."""
    found = [each for each in endings if each.at > now or each.certificate]
    return sorted(found, key=lambda each: each.at)[:SHOWN]


def state(ending: Ending, now: datetime) -> str:
    """Return the state that its end is shown in: wax, wait or nothing."""
    if not ending.certificate:
        return ""
    return next((name for name, span in SOON if ending.at - now < span), "")
