"""Who must agree: `2 of (alice, bob, 1 of (carol, dave))`.

A policy is a tree of thresholds whose leaves are owners. `a & b` is sugar for `2 of (a, b)`, `a | b`
for `1 of (a, b)`; `&` binds tighter. Each owner is named once, and no owner alone may satisfy it.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from custodian.encoding import parse_name
from custodian.errors import FormatError

T = TypeVar("T")
MAX_MEMBERS = 255  # a share's index is one byte, and 0 is not one
MAX_DEPTH = 8
MAX_TEXT = 16_384
BLANKS = " \t\r\n"
TOKEN = re.compile(rf"[{BLANKS}]*([a-z][a-z0-9._-]*|[0-9]+|[(),&|])")


@dataclass(frozen=True, slots=True)
class Policy:
    """`needed` of `members` must agree; a member is an owner's name or a policy of its own."""

    needed: int
    members: tuple["Policy | str", ...]

    def __str__(self) -> str:
        return f"{self.needed} of ({', '.join(map(str, self.members))})"

    def owners(self) -> Iterator[str]:
        """Yield every owner named, in the order of the text."""
        for member in self.members:
            if isinstance(member, str):
                yield member
            else:
                yield from member.owners()

    def depth(self) -> int:
        return 1 + max(member.depth() if isinstance(member, Policy) else 0 for member in self.members)

    def choose(self, available: Sequence[str]) -> frozenset[str] | None:
        """Return the smallest set of `available` owners that satisfies this, or None.

        Among sets of one size the one whose last member stands earliest in `available` is taken.
        """
        choices = []
        for member in self.members:
            if isinstance(member, str):
                choice = frozenset({member}) if member in available else None
            else:
                choice = member.choose(available)
            if choice:
                choices.append(choice)
        if len(choices) < self.needed:
            return None
        choices.sort(key=lambda chosen: (len(chosen), max(map(available.index, chosen))))
        return frozenset().union(*choices[: self.needed])

    def met_by(self, owners: Collection[str]) -> bool:
        return self.choose(sorted(owners)) is not None

    def still_needed(self, owners: Collection[str]) -> int:
        """Return how many more owners must agree, at least, beside `owners`."""
        costs = sorted(
            int(member not in owners) if isinstance(member, str) else member.still_needed(owners)
            for member in self.members
        )
        return sum(costs[: self.needed])

    def could_help(self, owners: Collection[str]) -> tuple[str, ...]:
        """Return the owners beside `owners` whose agreement would bring this nearer."""
        if self.met_by(owners):
            return ()
        return tuple(
            name
            for member in self.members
            for name in (
                ((member,) if member not in owners else ())
                if isinstance(member, str)
                else member.could_help(owners)
            )
        )


def parse_policy(text: str) -> Policy:
    """Parse the text form.

    Raises:
        FormatError: the text is not a policy, names an owner twice, asks for more members than
            there are, or lets one owner decide alone.
    """
    if len(text) > MAX_TEXT:
        raise FormatError("policy", f"is longer than {MAX_TEXT} characters")
    parsed = _Parser(_tokens(text)).whole()
    policy = parsed if isinstance(parsed, Policy) else Policy(1, (parsed,))
    for name, times in Counter(policy.owners()).items():
        if times > 1:
            raise FormatError("policy", f"names {name} twice; each owner has one share")
    if policy.still_needed(()) < 2:
        raise FormatError("policy", "lets one owner open the key alone; ask for at least two")
    # `&` and `|` say in few characters what an envelope, which holds str(policy), must read again.
    if policy.depth() > MAX_DEPTH:
        raise FormatError("policy", f"is nested deeper than {MAX_DEPTH}")
    if len(str(policy)) > MAX_TEXT:
        raise FormatError("policy", f"is longer than {MAX_TEXT} characters")
    return policy


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.rstrip(BLANKS)
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:
            raise FormatError("policy", f"has an unexpected {text[position:].lstrip(BLANKS)[:1]!r}")
        tokens.append(match[1])
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent: either = both *("|" both); both = part *("&" part)."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.depth = 0

    def whole(self) -> Policy | str:
        parsed = self.either()
        if self.tokens:
            raise FormatError("policy", f"goes on after its end with {self.tokens[0]!r}")
        return parsed

    def either(self) -> Policy | str:
        parts = self.separated("|", self.both)
        return _policy(1, parts) if len(parts) > 1 else parts[0]

    def both(self) -> Policy | str:
        parts = self.separated("&", self.part)
        return _policy(len(parts), parts) if len(parts) > 1 else parts[0]

    def separated(self, separator: str, rule: Callable[[], Policy | str]) -> list[Policy | str]:
        parts = [rule()]
        while self.tokens and self.tokens[0] == separator:
            self.tokens.pop(0)
            parts.append(rule())
        return parts

    def part(self) -> Policy | str:
        first = self.take("a name, a number or '('")
        if first == "(":
            inner = self.nested(self.either)
            self.expect(")")
            return inner
        if first.isdecimal():
            self.expect("of")
            self.expect("(")
            members = self.nested(lambda: self.separated(",", self.either))
            self.expect(")")
            return _policy(_number(first), members)
        return parse_name(first, "policy")

    def nested(self, rule: Callable[[], T]) -> T:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormatError("policy", f"is nested deeper than {MAX_DEPTH}")
        result = rule()
        self.depth -= 1
        return result

    def expect(self, wanted: str) -> None:
        if self.take(repr(wanted)) != wanted:
            raise FormatError("policy", f"needs {wanted!r} there, as in '2 of (alice, bob, carol)'")

    def take(self, wanted: str) -> str:
        if not self.tokens:
            raise FormatError("policy", f"ends where {wanted} should follow")
        return self.tokens.pop(0)


def _number(digits: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,2}", digits):
        raise FormatError("policy", f"asks for {digits[:9]}; numbers are 1 to {MAX_MEMBERS}, as in '2 of'")
    return int(digits)


def _policy(needed: int, members: list[Policy | str]) -> Policy:
    if len(members) > MAX_MEMBERS:
        raise FormatError("policy", f"has more than {MAX_MEMBERS} members in one group")
    if not 1 <= needed <= len(members):
        raise FormatError("policy", f"asks for {needed} of {len(members)}")
    return Policy(needed, tuple(members))
