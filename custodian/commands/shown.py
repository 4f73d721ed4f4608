"""A request as an owner reads it at a terminal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from custodian.encoding import format_instant
from custodian.petition import Petition
from custodian.telling import count, duration, limits, time_left


def asked(petition: Petition) -> list[str]:
    """Say what is asked for, from the petition alone."""
    uses, life = count(petition.uses, "signature"), duration(petition.seconds)
    asker = f"{petition.asker} for {petition.on_behalf}" if petition.on_behalf else petition.asker
    what = limits(petition.constraints.record()) or "whatever its profiles allow"
    return [
        f"{petition.id}, asked for at {format_instant(petition.made)}",
        f"  by           {petition.role} {asker}",
        f"  needs        {uses} by {petition.key} through {petition.signer}, lent for {life}",
        f"  for          {what}",
        f"  because      {petition.reason}",
        f"  check words  {' '.join(petition.words)}",
    ]


def stands(view: Mapping[str, Any], now: datetime) -> list[str]:
    """Say how a request stands, as the custodian says it."""
    state = view["state"]
    waits = f"{time_left(view['expires'], now)} left" if state == "waiting" else f"at {view['ended']}"
    lines = [f"  state        {state}, {waits}"]
    if state == "waiting":
        lines.append(
            f"  still needs  {view['needed']} of {', '.join(view['any_of']) or 'nobody'} ({view['policy']})"
        )
    lines += [
        f"  answered     by {each['owner']}: {each['left']} of {count(each['uses'], 'use')} left until"
        f" {each['end']}, {each['state']} [{each['delegation']}]"
        for each in view["answers"]
    ]
    lines += [
        f"  {'vetoed' if each['veto'] else 'declined':<11}  by {each['owner']}: {each['reason']}"
        for each in view["declines"]
    ]
    before = ", ".join(f"{number} {how}" for how, number in sorted(view["before"].items()))
    last = (
        f"{before}; the last at {view['last_before']}" if before else "the first of this asker for this key"
    )
    return [*lines, f"  before       {last}"]
