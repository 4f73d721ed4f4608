"""The exact statement an owner agrees to: `custodian/terms/v1`, canonical JSON.

The owner's share is sealed to the signer's recipient under `info = "custodian/delegation/v1" 0x00
SHA-256(terms)`. Whoever relays it can neither stretch the terms nor use the share under others: a byte
changed, and the share does not open.
"""

import functools
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from custodian.encoding import (
    canonical_json,
    format_instant,
    parse_canonical_json,
    parse_instant,
    parse_name,
)
from custodian.errors import FormatError
from custodian.fields import Fields, parse_hex128
from custodian.sealing import PublicKey, parse_public_key

VERSION = "custodian/terms/v1"
MAX_USES = 1_000_000
MAX_LIFE = timedelta(days=31)  # a delegation is a loan; whoever needs longer asks again
MAX_RECIPIENTS = 16
MAX_LIST = 64  # profiles, name patterns
LABELS = re.compile(r"(?:\*|[a-z0-9_-]+)(?:\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a signature is wanted for, or what to-be-signed bytes turned out to be."""

    profile: str
    names: tuple[str, ...]  # common name and every subject alternative name
    validity: int  # seconds from notBefore to notAfter
    ca: bool = False


@dataclass(frozen=True, slots=True)
class Constraints:
    """What may be signed. Empty lists and 0 do not limit; certificates of CAs need `ca`."""

    profiles: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    max_validity: int = 0
    ca: bool = False

    def record(self) -> dict[str, Any]:
        """Return these as they stand in canonical JSON."""
        return {
            "profiles": list(self.profiles),
            "names": list(self.names),
            "max_validity": self.max_validity,
            "ca": int(self.ca),
        }

    def refusal(self, purpose: Purpose) -> str | None:
        """Return why `purpose` is outside these constraints, or None if it is inside."""
        if purpose.ca and not self.ca:
            return "certificates of CAs are not lent for"
        if self.profiles and purpose.profile not in self.profiles:
            return f"profile {purpose.profile!r} is not one of {', '.join(self.profiles)}"
        if self.max_validity and purpose.validity > self.max_validity:
            return f"a validity of {purpose.validity} s is longer than {self.max_validity} s"
        if self.names and not purpose.names:
            return f"a certificate without names is outside {', '.join(self.names)}"
        for name in purpose.names:
            if self.names and not any(matches(pattern, name) for pattern in self.names):
                return f"name {name!r} is outside {', '.join(self.names)}"
        return None


def matches(pattern: str, name: str) -> bool:
    """Compare ASCII without case; `*.example.com` is every DNS name below example.com, at any depth.

    What stands before a pattern's suffix must be labels, or `evil.org/.example.com` would be below it.
    """
    if not name.isascii():  # the Kelvin sign is k in lower case
        return False
    pattern, name = pattern.lower(), name.lower()
    if not pattern.startswith("*."):
        return name == pattern
    return name.endswith(pattern[1:]) and LABELS.fullmatch(name.removesuffix(pattern[1:])) is not None


@dataclass(frozen=True, slots=True)
class Terms:
    key: str
    key_id: str
    owner: str
    signer: str
    recipients: tuple[PublicKey, ...]
    uses: int
    start: datetime
    end: datetime
    constraints: Constraints
    request: str
    nonce: str

    def __bytes__(self) -> bytes:
        return _encode(self)

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(bytes(self)).digest()

    @property
    def id(self) -> str:
        """The delegation's id: the first 96 bits of the digest."""
        return f"d-{self.digest[:12].hex()}"

    @property
    def share_info(self) -> bytes:
        """The HPKE info under which the owner's share is sealed to each recipient."""
        return b"custodian/delegation/v1\x00" + self.digest


@functools.lru_cache(maxsize=1024)
def _encode(terms: Terms) -> bytes:
    """Return the canonical JSON; kept, since whoever sorts or compares delegations asks for each again."""
    return canonical_json(
        {
            "type": VERSION,
            "key": terms.key,
            "key_id": terms.key_id,
            "owner": terms.owner,
            "signer": terms.signer,
            "recipients": [str(recipient) for recipient in terms.recipients],
            "uses": terms.uses,
            "start": format_instant(terms.start),
            "end": format_instant(terms.end),
            "constraints": terms.constraints.record(),
            "request": terms.request,
            "nonce": terms.nonce,
        }
    )


def parse_terms(data: bytes) -> Terms:
    """Parse terms strictly.

    Raises:
        FormatError: they are not canonical `custodian/terms/v1`, or outside its limits.
    """
    fields = Fields(parse_canonical_json(data, "terms"), "terms")
    if fields.text("type") != VERSION:
        raise FormatError("terms.type", f"is not {VERSION}")
    terms = Terms(
        key=parse_name(fields.text("key"), "terms.key"),
        key_id=parse_hex128(fields.text("key_id"), "terms.key_id"),
        owner=parse_name(fields.text("owner"), "terms.owner"),
        signer=parse_name(fields.text("signer"), "terms.signer"),
        recipients=tuple(
            parse_public_key(text, "terms.recipients") for text in fields.texts("recipients", MAX_RECIPIENTS)
        ),
        uses=fields.number("uses", 1, MAX_USES),
        start=parse_instant(fields.text("start"), "terms.start"),
        end=parse_instant(fields.text("end"), "terms.end"),
        constraints=parse_constraints(fields.take("constraints", dict), "terms.constraints"),
        request=fields.text("request"),
        nonce=parse_hex128(fields.text("nonce"), "terms.nonce"),
    )
    fields.no_more()
    return check_limits(terms)


def check_limits(terms: Terms) -> Terms:
    """Return `terms` if they are within the limits of the format, else raise FormatError."""
    if not 1 <= terms.uses <= MAX_USES:
        raise FormatError("uses", f"must be from 1 to {MAX_USES}")
    if terms.end <= terms.start:
        raise FormatError("end", "must be after the start")
    if terms.end - terms.start > MAX_LIFE:
        raise FormatError("end", f"must be at most {MAX_LIFE.days} days after the start")
    if not terms.recipients:
        raise FormatError("recipients", "must name at least one")
    return terms


def parse_constraints(value: dict[str, Any], name: str) -> Constraints:
    """Parse what `Constraints.record` returns; `name` is what errors call it. Raises FormatError."""
    fields = Fields(value, name)
    constraints = Constraints(
        profiles=fields.texts("profiles", MAX_LIST),
        names=fields.texts("names", MAX_LIST),
        max_validity=fields.number("max_validity", 0, 2**31),
        ca=bool(fields.number("ca", 0, 1)),
    )
    fields.no_more()
    return constraints
