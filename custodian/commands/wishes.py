"""What an owner wants to lend: from the options, from what was asked for, and in a sentence."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from custodian.commands.shown import asked
from custodian.encoding import format_instant, parse_duration, parse_instant
from custodian.lending import Wish
from custodian.petition import Petition
from custodian.telling import count, duration, limits
from custodian.terms import Constraints, Terms


def make_wish(said: Mapping[str, Any], petition: Petition | None) -> Wish:
    """Return what the options say, and what they leave out as the request asks for it, never more."""
    validity = said["max_validity"]
    wanted = petition.constraints if petition else Constraints()
    uses, life = said["uses"], said["duration"]
    if not petition and not (said["signer"] and uses and life):
        raise click.UsageError("say --signer, --uses and --for, or --request with the id of a request")
    seconds = timedelta(seconds=petition.seconds) if petition else timedelta(0)
    return Wish(
        signer=said["signer"] or (petition.signer if petition else ""),
        uses=uses or (petition.uses if petition else 0),
        start=parse_instant(said["start"], "--start") if said["start"] else None,
        duration=parse_duration(life, "--for") if life else seconds,
        constraints=Constraints(
            profiles=tuple(said["profiles"]) or wanted.profiles,
            names=tuple(said["names"]) or wanted.names,
            max_validity=_seconds(validity, "--max-validity") if validity else wanted.max_validity,
            ca=said["allow_ca"] or wanted.ca,
        ),
        request=said["request"] or (petition.id if petition else ""),
    )


def wish_body(key: str, wish: Wish) -> dict[str, Any]:
    """Return a wish as the call takes it that lends with a password."""
    body = {
        "key": key,
        "signer": wish.signer,
        "uses": wish.uses,
        "duration": duration(int(wish.duration.total_seconds())),
        "constraints": wish.constraints.record() | {"ca": wish.constraints.ca},
        "request": wish.request,
    }
    return body | ({"start": format_instant(wish.start)} if wish.start else {})


def wish_sentence(key: str, wish: Wish) -> str:
    uses, life = count(wish.uses, "signature"), duration(int(wish.duration.total_seconds()))
    start = format_instant(wish.start) if wish.start else "now"
    return f"You lend your share of {key} to {wish.signer}: {uses}, for {life} from {start}; {limit(wish)}."


def answered(petition: Petition | None, request: str) -> list[str]:
    """Say what is answered: what a request asks for, as this machine reads it, or a ticket's name."""
    if petition is None:
        return [f"It answers: {request}"] if request else []
    return ["It answers this; hear the check words from who asks:", *asked(petition)]


def limit(lent: Wish | Terms) -> str:
    return limits(lent.constraints.record()) or "whatever its profiles allow"


def _seconds(text: str, option: str) -> int:
    return int(parse_duration(text, option).total_seconds())
