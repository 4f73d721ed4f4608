"""What the history can say: one closed model for each event.

An entry is the canonical JSON of `{"v": 1, "seq", "time", "actor", "type", …}`; those bytes are the
record. There are no secrets in it, and no free text from callers we do not know. Types are only ever
added; the meaning of a field never changes.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from custodian.encoding import canonical_json

SCHEMA = 1


class _Closed(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class Actor(_Closed):
    """Who did it; `custodian` is the daemon itself."""

    role: Literal["admin", "owner", "auditor", "signer", "custodian", "unknown"]
    name: str = ""


class Limits(_Closed):
    """The constraints of a delegation, as in its terms."""

    profiles: list[str]
    names: list[str]
    max_validity: int
    ca: int


class Wanted(_Closed):
    """What the signer asked a lease for."""

    profile: str
    names: list[str]
    validity: int
    ca: int


class Spent(_Closed):
    """One delegation a lease took uses from; `before` - `after` is the lease's uses."""

    delegation: str
    owner: str
    before: int
    after: int


class LogStarted(_Closed):
    type: Literal["log.started"] = "log.started"
    vkey: str


class DaemonStarted(_Closed):
    type: Literal["daemon.started"] = "daemon.started"
    version: str


class DaemonStopped(_Closed):
    type: Literal["daemon.stopped"] = "daemon.stopped"


class ClockStepped(_Closed):
    """The wall clock went back; time stands still here until it has caught up."""

    type: Literal["clock.stepped"] = "clock.stepped"
    back_to: str


class AccountInvited(_Closed):
    type: Literal["account.invited"] = "account.invited"
    account: str
    role: str


class AccountEnrolled(_Closed):
    type: Literal["account.enrolled"] = "account.enrolled"
    account: str
    role: str
    public: str


class AccountDisabled(_Closed):
    type: Literal["account.disabled"] = "account.disabled"
    account: str


class LoginFailed(_Closed):
    """Failed logins, folded: `count` since the last entry for this account; '': names that are none."""

    type: Literal["login.failed"] = "login.failed"
    account_sha256: str
    count: int


class SignerInvited(_Closed):
    type: Literal["signer.invited"] = "signer.invited"
    signer: str


class SignerEnrolled(_Closed):
    type: Literal["signer.enrolled"] = "signer.enrolled"
    signer: str
    identity: str


class SignerAnnounced(_Closed):
    """A new recipient: shares sealed to earlier ones are of no more use."""

    type: Literal["signer.announced"] = "signer.announced"
    signer: str
    recipient: str


class SignerDisabled(_Closed):
    """Its leases ended, its token is void; what was lent to it is of no more use."""

    type: Literal["signer.disabled"] = "signer.disabled"
    signer: str


class KeySealed(_Closed):
    """A key came into custody; `veto` are owners each of whom alone can stop a request.

    With `no_self_approval` a delegation must answer a request that somebody else made.
    """

    type: Literal["key.sealed"] = "key.sealed"
    key: str
    key_id: str
    algorithm: str
    public: str
    policy: str
    veto: list[str]
    no_self_approval: int
    owners: dict[str, str]
    signers: dict[str, str]
    envelope_sha256: str


class RequestMade(_Closed):
    """Somebody needs a key; the actor asks, `on_behalf` is whom a signer says it asks for."""

    type: Literal["request.made"] = "request.made"
    request: str
    key: str
    key_id: str
    signer: str
    on_behalf: str
    uses: int
    seconds: int
    constraints: Limits
    reason: str
    expires: str


class RequestDeclined(_Closed):
    """The actor, an owner, will not lend for it; with `veto` nobody may."""

    type: Literal["request.declined"] = "request.declined"
    request: str
    reason: str
    veto: int


class RequestEnded(_Closed):
    type: Literal["request.ended"] = "request.ended"
    request: str
    outcome: Literal["answered", "declined", "vetoed", "expired", "withdrawn"]


class SlotAdded(_Closed):
    """Another way to open what is an owner's; `public` is where the owner's key was sealed to."""

    type: Literal["slot.added"] = "slot.added"
    owner: str
    slot: str
    kind: str
    public: str


class CredentialAdded(_Closed):
    """Another way to prove to be an owner; `public` verifies their evidence."""

    type: Literal["credential.added"] = "credential.added"
    owner: str
    credential: str
    kind: str
    public: str


class SlotRemoved(_Closed):
    """The slot and the credential of this name, whichever there were, are gone."""

    type: Literal["slot.removed"] = "slot.removed"
    owner: str
    slot: str


class Evidence(_Closed):
    """How an owner proved to agree: a password, or a signature over the terms by `credential`.

    The base64 of a passkey's signature is over `authenticator_data` and SHA-256 of `client_data`.
    """

    kind: Literal["password", "passkey", "device", "ssh"]
    credential: str = ""
    signature: str = ""
    authenticator_data: str = ""
    client_data: str = ""


class DelegationGranted(_Closed):
    type: Literal["delegation.granted"] = "delegation.granted"
    id: str
    owner: str
    key: str
    key_id: str
    signer: str
    uses: int
    start: str
    end: str
    constraints: Limits
    request: str
    terms_sha256: str
    evidence: Evidence


class DelegationRevoked(_Closed):
    type: Literal["delegation.revoked"] = "delegation.revoked"
    id: str
    left: int


class LeaseGranted(_Closed):
    type: Literal["lease.granted"] = "lease.granted"
    lease: str
    key: str
    key_id: str
    signer: str
    recipient: str
    uses: int
    end: str
    purpose: Wanted
    spent: list[Spent]


class LeaseRefused(_Closed):
    """Folded: at most one a minute for a signer and key."""

    type: Literal["lease.refused"] = "lease.refused"
    key: str
    signer: str
    needed: int
    any_of: list[str]


class LeaseEnded(_Closed):
    """`returned` uses went back to each delegation; only a clean close returns any."""

    type: Literal["lease.ended"] = "lease.ended"
    lease: str
    reason: Literal["closed", "revoked", "expired", "replaced"]
    returned: int


class HistoryExported(_Closed):
    type: Literal["history.exported"] = "history.exported"
    size: int


class SignatureRecorded(_Closed):
    type: Literal["signature.recorded"] = "signature.recorded"
    lease: str
    number: int
    tbs_sha256: str
    serial: str
    profile: str
    names: list[str]
    not_after: str


Event = Annotated[
    LogStarted
    | DaemonStarted
    | DaemonStopped
    | ClockStepped
    | AccountInvited
    | AccountEnrolled
    | AccountDisabled
    | LoginFailed
    | SignerInvited
    | SignerEnrolled
    | SignerAnnounced
    | SignerDisabled
    | KeySealed
    | RequestMade
    | RequestDeclined
    | RequestEnded
    | SlotAdded
    | CredentialAdded
    | SlotRemoved
    | DelegationGranted
    | DelegationRevoked
    | LeaseGranted
    | LeaseRefused
    | LeaseEnded
    | HistoryExported
    | SignatureRecorded,
    Field(discriminator="type"),
]

CUSTODIAN = Actor(role="custodian")


def encode_entry(event: Event, *, seq: int, time: str, actor: Actor) -> bytes:
    """Return the bytes of an entry. `time` is RFC 3339 in UTC."""
    head: dict[str, Any] = {"v": SCHEMA, "seq": seq, "time": time, "actor": actor.model_dump()}
    return canonical_json(head | event.model_dump())
