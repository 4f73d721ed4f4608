"""Entries of the history as the pages show them. Pure: entries in, what to write out.

A sentence is told as everywhere else; here its names stand out, its times are short, and its ids lead to
what else the history knows of them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from custodian.encoding import canonical_json, parse_instant
from custodian.merkle import leaf_hash
from custodian.telling import said
from custodian.web.words import day, moment

Entry = Mapping[str, Any]
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
ID = r"[dlr]-[0-9a-z]{8,}|[0-9a-f]{30,40}"  # of delegations, leases, requests; serial numbers
PARTS = re.compile(rf"({INSTANT})|\[?\b({ID})\b( #\d+)?\]?|(\S{{40,}})")
EVIDENCE = {
    "password": "their password, which the custodian saw at that moment",
    "passkey": "{}: the terms were signed with it, person present and verified",
    "device": "{}: the terms were signed with it",
    "ssh": "{}: the terms were signed with it",
}
SIGNS: Mapping[str, tuple[str, str]] = {  # type -> picture, state
    "account.disabled": ("cross", "wax"),
    "account.enrolled": ("person", ""),
    "account.invited": ("person", ""),
    "clock.stepped": ("warn", "wait"),
    "credential.added": ("key", ""),
    "delegation.granted": ("key", "live"),
    "delegation.revoked": ("key", "wax"),
    "history.exported": ("eye", ""),
    "key.sealed": ("lock", ""),
    "lease.ended": ("lock", ""),
    "lease.granted": ("check", "live"),
    "lease.refused": ("lock", "wax"),
    "login.failed": ("cross", "wax"),
    "request.declined": ("cross", "wax"),
    "request.ended": ("check", ""),
    "request.made": ("warn", "wait"),
    "signature.recorded": ("pen", "live"),
    "signer.disabled": ("cross", "wax"),
    "slot.removed": ("key", "wax"),
}
OTHERS = ("dot", "")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence; `kind` is text, name, code, id or time."""

    kind: str
    text: str
    whole: str = ""  # what a time is short for


@dataclass(frozen=True, slots=True)
class Evidence:
    """How an owner agreed."""

    kind: str
    told: str


@dataclass(frozen=True, slots=True)
class Row:
    seq: int
    time: str
    picture: str
    state: str
    parts: tuple[Part, ...]
    evidence: Evidence | None
    ids: tuple[str, ...]  # of what it is about
    leaf: str
    exact: str  # the entry's bytes


@dataclass(frozen=True, slots=True)
class Day:
    label: str
    rows: tuple[Row, ...]


def days(entries: Iterable[Entry], now: datetime) -> tuple[Day, ...]:
    """Return entries, in their order, under the days they are of."""
    rows = (row(each, now) for each in entries)
    return tuple(Day(label, tuple(each)) for label, each in groupby(rows, lambda one: day(one.time, now=now)))


def row(entry: Entry, now: datetime) -> Row:
    exact = canonical_json(entry)
    picture, state = SIGNS.get(entry["type"], OTHERS)
    found = (each[2] for each in PARTS.finditer(said(entry)) if each[2])
    return Row(
        seq=entry["seq"],
        time=entry["time"],
        picture=picture,
        state=state,
        parts=tuple(parts(entry, now)),
        evidence=_evidence(entry.get("evidence")),
        ids=tuple(dict.fromkeys(found)),
        leaf=leaf_hash(exact).hex(),
        exact=exact.decode(),
    )


def _evidence(evidence: Entry | None) -> Evidence | None:
    if evidence is None:
        return None
    kind = str(evidence["kind"])
    return Evidence(kind, EVIDENCE.get(kind, "{}").format(evidence["credential"]))


def parts(entry: Entry, now: datetime) -> Iterator[Part]:
    """Yield the pieces of an entry's sentence."""
    text, at = said(entry), 0
    text = text[:1].upper() + text[1:] if text.startswith("the ") else text
    for found in PARTS.finditer(text):
        yield from _names(text[at : found.start()], entry)
        at = found.end()
        yield _short(found, now)
    yield from _names(text[at:], entry)


def _short(found: re.Match[str], now: datetime) -> Part:
    """Return a time, id or key as it is told in passing."""
    instant, name, number, long = found.groups()
    if instant:
        this_year = instant.startswith(str(now.year))
        at = parse_instant(instant, "time")
        return Part("time", moment(instant, now=now) if this_year else f"{at:%-d %B %Y}", instant)
    return Part("id", f"{name[:10]}…{number or ''}") if name else Part("code", f"{long[:32]}…")


def _names(text: str, entry: Entry) -> Iterator[Part]:
    """Yield text with the people and keys in it as names, signers and names in certificates as code."""
    people = {
        entry["actor"]["name"],
        *(entry.get(field) for field in ("owner", "account", "key", "on_behalf")),
    }
    people |= {each["owner"] for each in entry.get("spent", ())}
    machines = {entry.get("signer"), *entry.get("names", ()), *entry.get("purpose", {}).get("names", ())}
    if entry["actor"]["role"] == "signer":
        machines.add(entry["actor"]["name"])
    known = sorted(filter(None, people | machines), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, known)) or '(?!)'})(?![\w-])")
    for index, piece in enumerate(pattern.split(text)):
        if piece:
            kind = "text" if index % 2 == 0 else "code" if piece in machines else "name"
            yield Part(kind, piece)
