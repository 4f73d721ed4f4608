"""What crosses the wire of `/api/v1`: one closed model for each request and answer.

Requests are strict and refuse unknown fields. `parse_request` turns a body into a model or into a
BadInput that names the field; what was sent is never repeated, since it may be a password.
"""

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from custodian.encoding import parse_json_object
from custodian.errors import BadInput
from custodian.fields import MAX_TEXT
from custodian.terms import MAX_LIST, MAX_USES, Constraints, Purpose

M = TypeVar("M", bound=BaseModel)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9._-]{0,62}\z", description="a-z, 0-9, '.', '_', '-'")]
Line = Annotated[str, Field(max_length=MAX_TEXT, pattern=r"^[\x20-\x7e]*\z")]
Instant = Annotated[str, Field(max_length=20, examples=["2026-11-23T12:00:00Z"])]
Duration = Annotated[str, Field(max_length=24, examples=["15m", "1h30m", "2d"])]
Base64 = Annotated[str, Field(max_length=2_000_000)]
# No C0 and C1 controls, no separators of lines, nothing that turns the direction of text: people read it.
SHOWN = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*\z"
CertificateName = Annotated[str, Field(max_length=1024, pattern=SHOWN)]
Token = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._-]*\z")]


class Wire(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class WireConstraints(Wire):
    """What may be signed; empty lists and 0 do not limit."""

    profiles: list[Annotated[Line, Field(min_length=1)]] = Field(default=[], max_length=MAX_LIST)
    names: list[Annotated[Line, Field(min_length=1)]] = Field(
        default=[], max_length=MAX_LIST, examples=[["www.example.com", "*.example.com"]]
    )
    max_validity: int = Field(default=0, ge=0, le=2**31, description="seconds from notBefore to notAfter")
    ca: bool = Field(default=False, description="also certificates of CAs")

    def domain(self) -> Constraints:
        return Constraints(tuple(self.profiles), tuple(self.names), self.max_validity, self.ca)


class WirePurpose(Wire):
    """What a signature is wanted for."""

    profile: Line
    names: list[CertificateName] = Field(max_length=200)
    validity: int = Field(ge=0, le=2**40, description="seconds")
    ca: bool = False

    def domain(self) -> Purpose:
        return Purpose(self.profile, tuple(self.names), self.validity, self.ca)


class Invite(Wire):
    role: str
    name: Name


class Invitation(Wire):
    role: str
    name: str
    code: str = Field(description="shown once; enrols once")
    expires: Instant


class OpenInvitation(Wire):
    """An invitation that nobody has used yet; its code was shown once."""

    role: str
    name: str
    expires: Instant


class LookAtInvitation(Wire):
    invitation: Annotated[SecretStr, Field(min_length=8, max_length=64)]


class Invited(Wire):
    """Whom a code is for."""

    role: str
    name: str


class Enrol(Wire):
    """People enrol with a password, signers with an identity."""

    invitation: Annotated[SecretStr, Field(min_length=8, max_length=64)]
    password: Annotated[SecretStr, Field(max_length=1024)] | None = None
    identity: Annotated[str, Field(max_length=64)] | None = None


class Enrolled(Wire):
    role: str
    name: str
    public: str = Field(default="", description="owners: where shares will be sealed to")
    token: str = Field(default="", description="signers: the bearer token, shown once")
    vkey: str = Field(description="the key that signs the history; keep it")


class Person(Wire):
    name: str
    role: str
    public: str = Field(description="owners: where shares are sealed to")
    disabled: bool


class SignerView(Wire):
    name: str
    identity: str
    recipient: str
    announced: str = Field(description="when, as the announcement says; empty until it has started once")
    announcement: Base64
    disabled: bool


class Announce(Wire):
    recipient: Annotated[str, Field(max_length=2048)]
    announced: Instant = Field(description="now; later than at the last announcement")
    signature: Base64


class SealKey(Wire):
    envelope: Base64
    certificate: Annotated[str, Field(max_length=65_536, description="PEM")]


class KeyView(Wire):
    name: str
    id: str
    algorithm: str
    public: str
    policy: str
    owners: list[str]
    veto: list[str] = Field(description="owners each of whom alone can stop a request")
    no_self_approval: bool = Field(description="a delegation must answer a request that somebody else made")
    signers: list[str]
    created: Instant
    certificate: str


class KeyDetail(KeyView):
    envelope: Base64


class Delegate(Wire):
    key: Name
    signer: Name
    uses: int = Field(ge=1, le=MAX_USES, description="signatures")
    duration: Duration
    start: Instant | None = Field(default=None, description="default: now")
    constraints: WireConstraints = WireConstraints()
    request: Line = Field(default="", description="what this answers, e.g. a ticket")


class DelegationView(Wire):
    id: str
    owner: str
    key: str
    signer: str
    uses: int
    left: int
    start: Instant
    end: Instant
    state: str = Field(description="pending, live, used up, void, ended or revoked")
    constraints: WireConstraints
    request: str
    terms: Base64


class Granted(DelegationView):
    receipt: str = Field(description="c2sp.org/tlog-proof of the entry in the history")


class Revoked(Wire):
    id: str
    leases_ended: list[str]


class AskLease(Wire):
    request: Token = Field(description="idempotency key; the same one spends nothing twice")
    key: Name
    recipient: Annotated[str, Field(max_length=2048)]
    purpose: WirePurpose
    uses: int = Field(ge=1, le=MAX_USES)
    seconds: int = Field(ge=1, le=86_400)
    seen: int = Field(default=0, ge=0, description="size of the history in the last checkpoint seen")


class LentShare(Wire):
    terms: Base64
    sealed: Base64


class LeaseView(Wire):
    id: str
    key: str
    uses: int
    end: Instant
    envelope: Base64
    shares: list[LentShare]
    entry: str = Field(description="the lease's entry in the history")
    receipt: str
    consistency: list[str] = Field(description="proof that the history only grew since `seen`")


class LeaseSummary(Wire):
    id: str
    key: str
    signer: str
    uses: int
    end: Instant
    state: str = Field(description="live, expired, or how it ended: closed, revoked, replaced")
    delegations: list[str]


class CloseLease(Wire):
    used: int = Field(ge=0, le=MAX_USES)


class Closed(Wire):
    returned: int


class SignatureRecord(Wire):
    lease: str
    number: int = Field(ge=1, le=MAX_USES)
    tbs_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
    serial: Annotated[str, Field(pattern=r"^[0-9a-f]{2,40}\z")]
    profile: Line
    names: list[CertificateName] = Field(max_length=200)
    not_after: Instant


class Records(Wire):
    records: list[SignatureRecord] = Field(max_length=200)


class Recorded(Wire):
    new: int


class LiveOwner(Wire):
    owner: str
    left: int
    end: Instant


class Outlook(Wire):
    """How far a key is from opening for one signer."""

    key: str
    signer: str
    policy: str
    open: bool = Field(description="a quorum of delegations is live")
    needed: int = Field(description="owners that must still delegate, at least")
    any_of: list[str]
    live: list[LiveOwner]
    until: Instant | None = Field(description="when the first delegation of the quorum ends")
    leases: int


class HistoryPage(Wire):
    size: int
    checkpoint: str
    entries: list[dict[str, Any]]
    next: int | None = Field(description="`start`, or `before`, of the page after this one")


class Consistency(Wire):
    checkpoint: str
    proof: list[str]


class Problem(Wire):
    """RFC 9457; `type` is a stable code, more members depend on it."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


def parse_request(model: type[M], body: bytes) -> M:
    """Parse a request body. Raises BadInput naming the field."""
    parse_json_object(body or b"{}", "body")  # duplicate keys, numbers out of range
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    field = ".".join(str(part)[:64] for part in first["loc"]) or "body"
    raise BadInput(field, REASONS.get(first["type"]) or first["msg"][:1].lower() + first["msg"][1:])


REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this call",
    "string_pattern_mismatch": "has characters that are not allowed there",
}
