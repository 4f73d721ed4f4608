"""What a request says, to the byte: `custodian/request/v1`, canonical JSON.

Somebody needs a key. The petition says who asks, through which signer, for how many uses and how long, for
what and why. Its digest names the request, and gives the four check words that the asker reads aloud: an
owner who finds the same words on their own device answers what the asker asked, and not what somebody
else slipped in between.

The words are 32 bits of the digest. That stops a request forged by others, who cannot choose what the
asker's device shows. It does not stop whoever can grind: a custodian that tries some 2^32 nonces finds
another petition with the same words.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from custodian.checkwords import check_words
from custodian.encoding import (
    canonical_json,
    decode_base64,
    format_instant,
    parse_canonical_json,
    parse_instant,
    parse_name,
)
from custodian.errors import Forbidden, FormatError
from custodian.fields import Fields, parse_hex128
from custodian.terms import MAX_LIFE, MAX_USES, Constraints, Purpose, parse_constraints

VERSION = "custodian/request/v1"
ROLES = ("admin", "owner", "signer")  # who may ask
MAX_WAIT = timedelta(days=31)
UNLIMITED = 2**31 + 1  # seconds; no limit of a delegation admits a validity this long


@dataclass(frozen=True, slots=True)
class Petition:
    key: str
    key_id: str
    signer: str
    role: str  # of the asker
    asker: str
    on_behalf: str
    uses: int
    seconds: int  # how long each owner should lend for, from their grant on
    constraints: Constraints
    reason: str
    made: datetime
    expires: datetime
    nonce: str

    def __bytes__(self) -> bytes:
        return canonical_json(
            {
                "type": VERSION,
                "key": self.key,
                "key_id": self.key_id,
                "signer": self.signer,
                "asker": {"role": self.role, "name": self.asker},
                "on_behalf": self.on_behalf,
                "uses": self.uses,
                "seconds": self.seconds,
                "constraints": self.constraints.record(),
                "reason": self.reason,
                "made": format_instant(self.made),
                "expires": format_instant(self.expires),
                "nonce": self.nonce,
            }
        )

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(bytes(self)).digest()

    @property
    def id(self) -> str:
        """The request's id: the first 48 bits of the digest."""
        return f"r-{self.digest[:6].hex()}"

    @property
    def words(self) -> tuple[str, ...]:
        """The check words: the next 32 bits of the digest."""
        return check_words(self.digest[6:10])

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """What a quorum must admit to answer this: each profile, with all the names and the validity.

        A pattern stands for itself as a name, which the same pattern and wider ones admit. What is not
        limited here is answered only by delegations that do not limit it either.
        """
        asked = self.constraints
        validity = asked.max_validity or UNLIMITED
        return tuple(Purpose(profile, asked.names, validity, asked.ca) for profile in asked.profiles or ("",))

    def is_by(self, owner: str) -> bool:
        """Say whether `owner` asks here: as a person, or as whom a signer says it asks for."""
        return owner == (self.on_behalf if self.role == "signer" else self.asker)


def parse_petition(data: bytes) -> Petition:
    """Parse a petition strictly.

    Raises:
        FormatError: it is not canonical `custodian/request/v1`, or outside its limits.
    """
    fields = Fields(parse_canonical_json(data, "request"), "request")
    if fields.text("type") != VERSION:
        raise FormatError("request.type", f"is not {VERSION}")
    role, asker = _parse_asker(fields.take("asker", dict))
    petition = Petition(
        key=parse_name(fields.text("key"), "request.key"),
        key_id=parse_hex128(fields.text("key_id"), "request.key_id"),
        signer=parse_name(fields.text("signer"), "request.signer"),
        role=role,
        asker=asker,
        on_behalf=fields.text("on_behalf"),
        uses=fields.number("uses", 1, MAX_USES),
        seconds=fields.number("seconds", 1, int(MAX_LIFE.total_seconds())),
        constraints=parse_constraints(fields.take("constraints", dict), "request.constraints"),
        reason=fields.checked_text(fields.take("reason", str), "reason", empty=False),
        made=parse_instant(fields.text("made"), "request.made"),
        expires=parse_instant(fields.text("expires"), "request.expires"),
        nonce=parse_hex128(fields.text("nonce"), "request.nonce"),
    )
    fields.no_more()
    if not timedelta(0) < petition.expires - petition.made <= MAX_WAIT:
        raise FormatError("request.expires", f"must be within {MAX_WAIT.days} days after it was made")
    return petition


def parse_shown(body: str, request: str) -> Petition:
    """Parse the petition, in base64, that a custodian shows for the id `request`.

    Raises:
        FormatError: it is not one. Forbidden: it is another: the id is of its digest.
    """
    petition = parse_petition(decode_base64(body, "request"))
    if petition.id != request:
        raise Forbidden(f"the custodian gave another request for {request}; lend nothing, tell an auditor")
    return petition


def _parse_asker(value: dict[str, Any]) -> tuple[str, str]:
    fields = Fields(value, "request.asker")
    role, name = fields.text("role"), parse_name(fields.text("name"), "request.asker.name")
    fields.no_more()
    if role not in ROLES:
        raise FormatError("request.asker.role", f"is not one of {', '.join(ROLES)}")
    return role, name
