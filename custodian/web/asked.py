"""A request as its page tells it: what is asked, how it stands, how one can answer. Pure."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from custodian.policy import parse_policy
from custodian.telling import count, duration
from custodian.web.words import listed, long_duration, number
from custodian.wire_requests import RequestView

TIMES = ((900, "15 min"), (3_600, "1 hour"), (14_400, "4 hours"))  # seconds
USES = (1, 5)
STATES = {"waiting": "wait", "answered": "live", "declined": "wax", "vetoed": "wax"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as one person sees it."""

    view: RequestView
    me: str

    @property
    def waits(self) -> bool:
        return self.view.state == "waiting"

    @property
    def mine(self) -> bool:
        """Whether my answer would bring it nearer."""
        return self.waits and self.me in self.view.any_of

    @property
    def decides(self) -> bool:
        """Whether my answer alone would complete the quorum."""
        return self.mine and self.view.needed == 1

    @property
    def asked_by_me(self) -> bool:
        return self.view.asker == self.me and self.view.asker_role != "signer"

    @property
    def may_veto(self) -> bool:
        return self.waits and self.me in self.view.vetoers

    @property
    def colour(self) -> str:
        return STATES.get(self.view.state, "")

    @property
    def whole(self) -> int:
        """How many owners it takes, at least, from none."""
        return parse_policy(self.view.policy).still_needed(())

    @property
    def lent(self) -> int:
        return max(0, self.whole - self.view.needed)

    @property
    def title(self) -> str:
        """Return `Sign 40 server certificates`."""
        wanted = self.view.constraints
        kind = " ".join(filter(None, (" or ".join(wanted.profiles), "CA" if wanted.ca else "")))
        return f"Sign {count_in_words(self.view.uses, f'{kind} certificate'.strip())}"

    @property
    def subject(self) -> str:
        """Return the names it is for, the first three."""
        return some(self.view.constraints.names, 3)

    @property
    def standing(self) -> str:
        """Return who has lent and what my answer would do."""
        lenders = listed([each.owner if each.owner != self.me else "you" for each in self.view.answers])
        has = (
            f"{lenders} {'have' if len(self.view.answers) > 1 or lenders == 'you' else 'has'} lent"
            if lenders
            else ""
        )
        if not has and self.lent:
            has = "what was lent before counts"
        if not self.waits:
            return has or "nobody lent"
        if self.decides:
            return f"{has}; your answer decides" if has else "your answer decides"
        if self.mine and self.view.needed < 1:
            return f"{has or 'enough is lent already'}; the key opens for it as it is"
        if self.mine:
            more = count_in_words(self.view.needed - 1, "more owner")
            return f"{has or 'nobody has lent yet'}; with you, {more} to go"
        return has or "nobody has lent yet"

    @property
    def earlier(self) -> str:
        """Return what the history knows of earlier requests by the same for the same key."""
        total = sum(self.view.before.values())
        if not total:
            return f"This is the first request of {self.view.asker} for {self.view.key}."
        each = listed([f"{number(n)} {outcome}" for outcome, n in sorted(self.view.before.items()) if n])
        requests = _capital(count_in_words(total, "earlier request"))
        return f"{requests} of {self.view.asker} for {self.view.key}: {each}."

    @property
    def times(self) -> list[tuple[int, str]]:
        """Return the presets of time, none longer than asked; the last is what was asked."""
        asked = self.view.seconds
        shorter = [(seconds, text) for seconds, text in TIMES if seconds < asked]
        return [*shorter, (asked, f"{_short(asked)}, as asked")]

    @property
    def uses(self) -> list[tuple[int, str]]:
        asked = self.view.uses
        return [*((each, str(each)) for each in USES if each < asked), (asked, f"{asked}, as asked")]

    def command(self) -> str:
        """Return the line that lends this at a terminal."""
        view, wanted = self.view, self.view.constraints
        words: list[Any] = ["custodian", "delegate", view.key, "--signer", view.signer]
        words += ["--uses", view.uses, "--for", duration(view.seconds)]
        words += [word for each in wanted.profiles for word in ("--profile", each)]
        words += [word for each in wanted.names for word in ("--name", each)]
        words += ["--max-validity", duration(wanted.max_validity)] if wanted.max_validity else []
        words += ["--allow-ca"] if wanted.ca else []
        words += ["--request", view.id, "-u", self.me]
        return " ".join(shlex.quote(str(word)) for word in words)


def headline(asked: Sequence[Asked], me: str, role: str) -> str:
    """Return the sentence that answers why somebody opened the list."""
    if role != "owner":
        waiting = sum(each.waits for each in asked)
        return f"{_capital(number(waiting))} {'request waits' if waiting == 1 else 'requests wait'}"
    mine = sum(each.mine for each in asked)
    verb = "request needs" if mine == 1 else "requests need"
    return f"{_capital(number(mine))} {verb} you, {me}" if mine else f"Nothing needs you, {me}"


def lede(asked: Sequence[Asked], role: str) -> str:
    """Return the sentence below the headline."""
    if role != "owner":
        return "Owners answer them by lending their shares for a while, or decline."
    mine = [each for each in asked if each.mine]
    if not mine:
        return "When somebody needs your share, their request appears here by itself."
    keys = listed(sorted({each.view.key for each in mine}))
    deciding = sum(each.decides for each in mine)
    if deciding:
        where = "" if deciding == len(mine) else f" for {number(deciding)} of them"
        return f"Your share of {keys} is needed, and{where} your answer decides."
    if all(each.view.needed < 1 for each in mine):
        return f"Enough owners of {keys} have lent already; you may lend as well."
    return f"Your share of {keys} is needed. Nothing can be signed until enough owners agree."


def over(asked: Asked) -> str:
    """Return why there is no form for it."""
    ends = {
        "answered": "What its owners have lent is enough to open the key for it.",
        "declined": "Too few owners were left who had not declined.",
        "vetoed": "An owner who may do so stopped it.",
        "expired": "Its time ran out before enough owners answered.",
        "withdrawn": f"{asked.view.asker} took it back.",
    }
    return ends.get(asked.view.state, f"Only the owners of {asked.view.key} lend their shares of it.")


def limits_of(view: RequestView) -> list[str]:
    """Return what signatures would be limited to, as phrases; none: whatever the profiles allow."""
    wanted = view.constraints
    return [
        *([f"profile {listed(wanted.profiles, 'or')}"] if wanted.profiles else []),
        *([f"valid for at most {long_duration(wanted.max_validity)}"] if wanted.max_validity else []),
        *(["also certificates of CAs"] if wanted.ca else []),
    ]


def some(names: Sequence[str], most: int) -> str:
    """Return the first `most` names and how many more there are."""
    if len(names) <= most:
        return listed(names)
    return f"{', '.join(names[:most])} and {count(len(names) - most, 'more name')}"


def count_in_words(amount: int, thing: str) -> str:
    return f"{number(amount)} {thing}{'' if amount == 1 else 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(seconds: int) -> str:
    return dict(TIMES).get(seconds) or long_duration(seconds)
