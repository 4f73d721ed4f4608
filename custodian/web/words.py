"""Numbers, times and names as the pages say them. Pure: the time is passed in."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from custodian.encoding import parse_instant
from custodian.telling import count, duration

NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def number(value: int) -> str:
    """Return `two` for 2, figures beyond twelve."""
    return NUMBERS[value] if 0 <= value < len(NUMBERS) else f"{value:,}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return `alice, bob and carol`."""
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def long_duration(seconds: int) -> str:
    """Return `1 hour 30 minutes`, the two largest units."""
    units = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
    parts = []
    for size, name in units:
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(count(amount, name))
    return " ".join(parts[:2]) or "no time"


def clock(seconds: int) -> str:
    """Return what a countdown shows: `9:03`, `1 h 02 min`, `3 d 4 h`. clock.js does the same."""
    seconds = max(0, seconds)
    if seconds >= 86_400:
        return f"{seconds // 86_400} d {seconds // 3_600 % 24} h"
    if seconds >= 3_600:
        return f"{seconds // 3_600} h {seconds // 60 % 60:02} min"
    return f"{seconds // 60}:{seconds % 60:02}"


def brief(seconds: int) -> str:
    """Return a countdown that fits into a ring: `9:03`, `1:02 h`, `3 d`."""
    if seconds >= 86_400:
        return f"{seconds // 86_400} d"
    return f"{seconds // 3_600}:{seconds // 60 % 60:02} h" if seconds >= 3_600 else clock(seconds)


def initials(name: str) -> str:
    """Return at most two letters that stand for a name."""
    parts = [part for part in name.replace("_", "-").replace(".", "-").split("-") if part]
    return "".join(part[0] for part in parts[:2]).upper() if len(parts) > 1 else name[:2].upper()


def seconds_left(instant: str, *, now: datetime) -> int:
    """Return whole seconds until `instant`; 0 when it is over."""
    return max(0, int((parse_instant(instant, "time") - now).total_seconds()))


def share_left(start: str, end: str, *, now: datetime) -> int:
    """Return how much of the time from `start` to `end` is left, in percent."""
    whole = (parse_instant(end, "end") - parse_instant(start, "start")).total_seconds()
    return min(100, round(100 * seconds_left(end, now=now) / whole)) if whole > 0 else 0


def ago(instant: str, *, now: datetime) -> str:
    """Return `4 minutes ago`."""
    seconds = int((now - parse_instant(instant, "time")).total_seconds())
    if seconds < 5:
        return "just now"
    return f"{_roughly(seconds)} ago"


def ahead(instant: str, *, now: datetime) -> str:
    """Return `in 25 minutes`."""
    seconds = seconds_left(instant, now=now)
    return f"in {_roughly(seconds)}" if seconds else "now"


def _roughly(seconds: int) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return count(seconds // size, name)
    return count(seconds, "second")


def day(instant: str, *, now: datetime) -> str:
    """Return `Today, 23 November`, or the date with its year when it is another."""
    moment = parse_instant(instant, "time")
    date = f"{moment.day} {MONTHS[moment.month - 1]}"
    apart = (now.date() - moment.date()).days
    if apart in (0, 1):
        return f"{('Today', 'Yesterday')[apart]}, {date}"
    return date if moment.year == now.year else f"{date} {moment.year}"


def moment(instant: str, *, now: datetime) -> str:
    """Return `14:32 UTC`, with the day when it is not today."""
    at = parse_instant(instant, "time")
    today = at.date() == now.date()
    return f"{at:%H:%M} UTC" if today else f"{at.day} {MONTHS[at.month - 1]} {at:%H:%M} UTC"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "listed": listed,
    "count": count,
    "duration": duration,
    "long_duration": long_duration,
    "clock": clock,
    "brief": brief,
    "initials": initials,
    "capital": lambda text: text[:1].upper() + text[1:],
}
RELATIVE: dict[str, Callable[..., Any]] = {
    "seconds_left": seconds_left,
    "share_left": share_left,
    "ago": ago,
    "ahead": ahead,
    "day": day,
    "moment": moment,
}
