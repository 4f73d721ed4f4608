"""What crosses the wire about requests: somebody needs a key, its owners answer."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from custodian.encoding import parse_duration
from custodian.errors import Forbidden
from custodian.petition import Petition, parse_shown
from custodian.terms import MAX_USES
from custodian.wire import Duration, Instant, Line, Name, Wire, WireConstraints

Reason = Annotated[str, Field(max_length=255, pattern=r"^[\x20-\x7e]*\z")]


class AskRequest(Wire):
    """I need this key, for so many uses within so long, because …"""

    key: Name
    signer: Name
    uses: int = Field(ge=1, le=MAX_USES, description="signatures")
    duration: Duration = Field(description="how long each owner should lend for, from their grant on")
    constraints: WireConstraints = WireConstraints()
    reason: Annotated[Reason, Field(min_length=1)]
    on_behalf: Line = Field(default="", description="whom a signer asks for")
    expires_in: Duration = Field(default="1d", description="how long owners have to answer")


class RequestDecline(Wire):
    owner: str
    reason: str
    veto: bool
    at: Instant


class RequestAnswer(Wire):
    """A delegation that answers a request."""

    owner: str
    delegation: str
    uses: int
    left: int
    end: Instant
    state: str


class RequestView(Wire):
    id: str
    key: str
    signer: str
    asker: str
    asker_role: str
    on_behalf: str
    uses: int
    seconds: int = Field(description="how long each owner should lend for")
    constraints: WireConstraints
    reason: str
    made: Instant
    expires: Instant
    state: str = Field(description="waiting, or how it ended: answered, declined, vetoed, expired, withdrawn")
    ended: Instant | None
    words: list[str] = Field(description="check words: the asker reads them aloud")
    policy: str
    needed: int = Field(description="owners that must still delegate, at least; 0 when a quorum is live")
    any_of: list[str] = Field(description="owners who have not answered and could")
    vetoers: list[str] = Field(description="owners who alone can stop it")
    self_approval: bool = Field(description="whether the asker's own delegation counts")
    answers: list[RequestAnswer]
    declines: list[RequestDecline]
    before: dict[str, int] = Field(description="outcome -> earlier requests of this asker for this key")
    last_before: Instant | None
    body: str = Field(description="custodian/request/v1, base64; the check words are of its digest")


class Decline(Wire):
    reason: Annotated[Reason, Field(min_length=1)]


def parse_made(asked: AskRequest, view: Mapping[str, Any]) -> Petition:
    """Return the petition that a custodian says it made of what was asked: the check words are of it.

    Raises:
        Forbidden: it says something else. FormatError: it is no petition.
    """
    made = parse_shown(view["body"], view["id"])
    limits = asked.constraints.domain()
    wanted = (asked.key, asked.signer, asked.uses, limits, asked.reason, asked.on_behalf)
    if wanted != (made.key, made.signer, made.uses, made.constraints, made.reason, made.on_behalf) or (
        parse_duration(asked.duration, "duration").total_seconds() != made.seconds
    ):
        raise Forbidden("the custodian made something else of what was asked; withdraw it, tell an auditor")
    return made
