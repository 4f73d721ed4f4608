"""Recognise text by ABNF (RFC 5234 with RFC 7405), to hold a document to the grammar it prints."""

import re
from collections.abc import Callable

Ends = Callable[[str, int], set[int]]  # where what starts at a position may end

CORE = {
    "ALPHA": "%x41-5A / %x61-7A",
    "DIGIT": "%x30-39",
    "SP": "%x20",
    "HTAB": "%x09",
    "CR": "%x0D",
    "LF": "%x0A",
}
TOKEN = re.compile(
    r'\s*(?:(?P<exact>%s)?"(?P<quoted>[^"]*)"|%x(?P<low>[0-9A-F]+)(?:-(?P<high>[0-9A-F]+))?'
    r"|(?P<repeat>\d*\*\d*|\d+)|(?P<name>[A-Za-z][A-Za-z0-9-]*)|(?P<mark>[()/]))\s*"
)


class Grammar:
    def __init__(self, text: str) -> None:
        lines = [re.sub(r'^((?:[^";]|"[^"]*")*);.*$', r"\1", line) for line in text.splitlines()]
        whole = re.sub(r"\n[ \t]+", " ", "\n".join(line for line in lines if line.strip()))
        rows = [line.split("=", 1) for line in whole.splitlines()]
        self.rules: dict[str, Ends] = {}
        for name, elements in [*CORE.items(), *((name.strip(), elements) for name, elements in rows)]:
            self.rules[name] = self.compiled(elements)

    def fits(self, rule: str, text: str) -> bool:
        return len(text) in self.rules[rule](text, 0)

    def compiled(self, text: str) -> Ends:
        tokens, position = [], 0
        while position < len(text):
            token = TOKEN.match(text, position)
            if not token:
                raise ValueError(f"not ABNF: {text[position:]!r}")
            tokens.append(token)
            position = token.end()
        made = self.alternatives(tokens)
        if tokens:
            raise ValueError(f"not ABNF: {text!r}")
        return made

    def alternatives(self, tokens: list[re.Match[str]]) -> Ends:
        choices = [self.sequence(tokens)]
        while tokens and tokens[0]["mark"] == "/":
            tokens.pop(0)
            choices.append(self.sequence(tokens))
        return remembered(lambda text, at: set().union(*(choice(text, at) for choice in choices)))

    def sequence(self, tokens: list[re.Match[str]]) -> Ends:
        parts: list[Ends] = []
        while tokens and tokens[0]["mark"] not in ("/", ")"):
            repeat = tokens.pop(0)["repeat"] if tokens[0]["repeat"] else "1"
            least, star, most = repeat.partition("*")
            bounds = (int(least or 0), int(most or 2**31) if star else int(least))
            parts.append(repeated(self.element(tokens), *bounds))

        def ends(text: str, at: int) -> set[int]:
            reached = {at}
            for part in parts:
                reached = set().union(*(part(text, each) for each in reached))
            return reached

        return ends

    def element(self, tokens: list[re.Match[str]]) -> Ends:
        token = tokens.pop(0)
        if token["mark"] == "(":
            inner = self.alternatives(tokens)
            tokens.pop(0)
            return inner
        if token["name"]:
            name = token["name"]
            return lambda text, at: self.rules[name](text, at)  # noqa: PLW0108 - it may come later
        if token["low"]:
            low, high = int(token["low"], 16), int(token["high"] or token["low"], 16)
            return lambda text, at: {at + 1} if low <= ord(text[at : at + 1] or "\uffff") <= high else set()
        quoted, exact = token["quoted"], token["exact"]

        def literal(text: str, at: int) -> set[int]:
            found = text[at : at + len(quoted)]
            return (
                {at + len(quoted)}
                if found == quoted or (not exact and found.lower() == quoted.lower())
                else set()
            )

        return literal


def repeated(part: Ends, least: int, most: int) -> Ends:
    if (least, most) == (1, 1):
        return part

    def ends(text: str, at: int) -> set[int]:
        reached, times = {at}, 0
        found = {at} if least == 0 else set()
        while reached and times < most:
            reached = set().union(*(part(text, each) for each in reached)) - found
            times += 1
            if times >= least:
                found |= reached
        return found

    return ends


def remembered(ends: Ends) -> Ends:
    """Ask once for each position of one text."""
    known: dict[tuple[str, int], set[int]] = {}

    def ask(text: str, at: int) -> set[int]:
        if (text, at) not in known:
            known[text, at] = ends(text, at)
        return known[text, at]

    return ask
