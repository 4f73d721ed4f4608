"""Answers of the custodian as people want to read them. Pure: values in, text out."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from custodian.encoding import parse_instant

Entry = Mapping[str, Any]


def plain(text: str) -> str:
    """Return `text` without what could move the cursor of a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def time_left(instant: str, now: datetime) -> str:
    """Return how long until `instant`, in its two largest units."""
    seconds = int((parse_instant(instant, "end") - now).total_seconds())
    if seconds <= 0:
        return "over"
    units = (
        (seconds // 86_400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    )
    first = next(i for i, (count, _) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count)


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def how_many_short(key: str, needed: int, any_of: list[str]) -> str:
    """Return `ca is one owner short: bob or carol`."""
    words = {1: "one owner", 2: "two owners", 3: "three owners"}
    who = " or ".join(any_of) if needed == 1 else ", ".join(any_of)
    chosen = f"{needed} of {who}" if 1 < needed < len(any_of) else who
    return f"{key} is {words.get(needed, f'{needed} owners')} short: {chosen}"


def outlook(each: Mapping[str, Any], now: datetime) -> list[str]:
    """Return the lines that say how far a key is from opening for a signer."""
    if each["open"]:
        head = f"{each['key']} is open to {each['signer']} for {time_left(each['until'], now)}"
        head += f"; {count(each['leases'], 'lease')} held" if each["leases"] else ""
    elif each["leases"]:
        head = f"{each['key']} is open to {each['signer']}: {count(each['leases'], 'lease')} held; no more"
        head += f" opens, {how_many_short(each['key'], each['needed'], each['any_of'])}"
    else:
        short = how_many_short(each["key"], each["needed"], each["any_of"])
        head = f"{short} (for {each['signer']})"
    lent = [
        f"  {owner['owner']}: {count(owner['left'], 'use')} left, {time_left(owner['end'], now)}"
        for owner in each["live"]
    ]
    return [head, *lent]


def limits(constraints: Mapping[str, Any]) -> str:
    """Return what a delegation is limited to, besides uses and time; `` for nothing."""
    parts = []
    if constraints["profiles"]:
        parts.append(f"profile {' or '.join(constraints['profiles'])}")
    if constraints["names"]:
        parts.append(f"names {', '.join(constraints['names'])}")
    if constraints["max_validity"]:
        parts.append(f"certificates of at most {duration(constraints['max_validity'])}")
    parts.append("also certificates of CAs" if constraints["ca"] else "")
    return "; ".join(filter(None, parts))


def duration(seconds: int) -> str:
    """Return seconds in the form that options take, `1d12h`."""
    parts = (
        (seconds // 86_400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
    )
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def sentence(entry: Entry) -> str:
    """Return an entry of the history as one line."""
    return f"{entry['seq']:>6}  {entry['time']}  {said(entry)}"


def said(entry: Entry) -> str:
    """Return what an entry of the history says, without its number and time."""
    actor = entry["actor"]
    who = actor["name"] or f"the {actor['role']}"
    tell = SENTENCES.get(entry["type"])
    return plain(tell(who, entry) if tell else f"{who}: {entry['type']}")


def _delegated(who: str, entry: Entry) -> str:
    limit = limits(entry["constraints"])
    return (
        f"{who} lent their share of {entry['key']} to {entry['signer']} for {count(entry['uses'], 'use')}, "
        f"{entry['start']} to {entry['end']}"
        + (f"; {limit}" if limit else "")
        + (f" ({entry['request']})" if entry["request"] else "")
        + _agreed(entry.get("evidence"))
        + f" [{entry['id']}]"
    )


def _agreed(evidence: Entry | None) -> str:
    """Return how an owner agreed: `, with passkey passkey-1`."""
    if evidence is None:
        return ""
    return f", with {evidence['kind']} {evidence['credential']}".rstrip()


def _asked(who: str, entry: Entry) -> str:
    limit, whom = limits(entry["constraints"]), entry["on_behalf"]
    return (
        f"{who} asked{f' for {whom}' if whom else ''} for "
        f"{count(entry['uses'], 'use')} of {entry['key']} through {entry['signer']} within "
        f"{duration(entry['seconds'])}"
        + (f"; {limit}" if limit else "")
        + f': "{entry["reason"]}" [{entry["request"]}]'
    )


def _leased(who: str, entry: Entry) -> str:
    spent = ", ".join(f"{each['owner']} {each['before']}→{each['after']}" for each in entry["spent"])
    names = ", ".join(entry["purpose"]["names"])
    return (
        f"{who} was leased {entry['key']} for {count(entry['uses'], 'use')} until {entry['end']}, "
        f"{entry['purpose']['profile'] or 'no profile'}{f' for {names}' if names else ''}; "
        f"uses left: {spent} [{entry['lease']}]"
    )


def _signed(who: str, entry: Entry) -> str:
    names = ", ".join(entry["names"])
    return (
        f"{who} signed certificate {entry['serial']}{f' for {names}' if names else ''}, "
        f"valid until {entry['not_after']} [{entry['lease']} #{entry['number']}]"
    )


def _sealed(who: str, entry: Entry) -> str:
    return (
        f"{who} put the key {entry['key']} ({entry['algorithm']}) into custody: {entry['policy']}"
        + (f"; {' or '.join(entry['veto'])} alone can stop a request" if entry.get("veto") else "")
        + ("; no self-approval" if entry.get("no_self_approval") else "")
    )


ENDINGS: Mapping[str, str] = {
    "answered": "was answered: what owners have lent opens the key for it",
    "declined": "ended: too many owners declined",
    "vetoed": "ended by a veto",
    "expired": "expired without enough owners",
    "withdrawn": "was withdrawn by who asked",
}

SENTENCES: Mapping[str, Callable[[str, Entry], str]] = {
    "log.started": lambda _, e: f"the history begins; its key is {e['vkey']}",
    "daemon.started": lambda _, e: f"the custodian started, version {e['version']}",
    "daemon.stopped": lambda *_: "the custodian stopped",
    "clock.stepped": lambda _, e: (
        f"the clock went back to {e['back_to']}; time stands still until it caught up"
    ),
    "account.invited": lambda who, e: f"{who} invited {e['account']} as {e['role']}",
    "account.enrolled": lambda _, e: f"{e['account']} enrolled as {e['role']}",
    "account.disabled": lambda who, e: f"{who} disabled {e['account']}",
    "login.failed": lambda _, e: (
        f"{count(e['count'], 'login')} failed "
        + (f"(account {e['account_sha256'][:12]}…)" if e["account_sha256"] else "(names of no account)")
    ),
    "signer.invited": lambda who, e: f"{who} invited the signer {e['signer']}",
    "signer.enrolled": lambda _, e: f"the signer {e['signer']} enrolled with the identity {e['identity']}",
    "signer.announced": lambda _, e: (
        f"the signer {e['signer']} started anew; what was lent to it before is void"
    ),
    "signer.disabled": lambda who, e: f"{who} disabled the signer {e['signer']}; what was lent to it is void",
    "key.sealed": _sealed,
    "request.made": _asked,
    "request.declined": lambda who, e: (
        f'{who} {"vetoed" if e["veto"] else "declined"} {e["request"]}: "{e["reason"]}"'
    ),
    "request.ended": lambda _, e: f"{e['request']} {ENDINGS.get(e['outcome'], e['outcome'])}",
    "slot.added": lambda who, e: (
        f"{who} added a way to unlock the shares of {e['owner']}: {e['kind']} {e['slot']}"
    ),
    "credential.added": lambda who, e: (
        f"{who} added a way to prove to be {e['owner']}: {e['kind']} {e['credential']}"
    ),
    "slot.removed": lambda who, e: f"{who} removed {e['slot']} of {e['owner']}",
    "delegation.granted": _delegated,
    "delegation.revoked": lambda who, e: f"{who} revoked {e['id']} with {count(e['left'], 'use')} left",
    "lease.granted": _leased,
    "lease.refused": lambda who, e: (
        f"{who} was refused: {how_many_short(e['key'], e['needed'], e['any_of'])}"
    ),
    "lease.ended": lambda _, e: f"{e['lease']} ended: {e['reason']}; {count(e['returned'], 'use')} returned",
    "history.exported": lambda who, e: f"{who} exported the history, entries 0 to {e['size'] - 1}",
    "signature.recorded": _signed,
}
