"""What crosses the wire about how people prove who they are and open what is theirs."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from custodian.wire import Base64, Instant, Name, Wire

Label = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x20-\x7e]*\z")]
Short = Annotated[str, Field(max_length=8192)]  # base64 of a signature or what it is over


class WireEvidence(Wire):
    """A signature by one of the owner's credentials over SHA-256 of what they agree to."""

    kind: Literal["passkey", "device", "ssh"]
    credential: Name
    signature: Short
    authenticator_data: Short = ""
    client_data: Short = ""


class Statement(Wire):
    """What is to be signed to sign in; it is good for two minutes and once."""

    statement: str


class SignIn(Wire):
    """By name and password, or by evidence over a statement."""

    name: Name
    password: Annotated[SecretStr, Field(max_length=1024)] | None = None
    statement: Annotated[str, Field(max_length=512)] | None = None
    evidence: WireEvidence | None = None


class Session(Wire):
    token: str = Field(description="reads as this person until it expires; changes need their own proof")
    name: str
    role: str
    expires: Instant


class WireCredential(Wire):
    """What verifies a person's evidence."""

    id: Name
    kind: Literal["passkey", "device", "ssh"]
    label: Label
    public: Short = Field(description="passkey: SPKI, base64; device: ed25519:BASE64; ssh: the key's line")
    handle: Short = Field(default="", description="passkeys: the credential id, base64")
    added: Instant | None = None


class Me(Wire):
    name: str
    role: str
    public: str
    slots: list[Base64]
    credentials: list[WireCredential]


class AddSlot(Wire):
    """A new slot, a new credential or both, under one id; proven by an old credential or by HTTP Basic.

    The evidence is over SHA-256 of the canonical JSON {"type": "custodian/slot-added/v1", "owner",
    "slot", "credential"}; the last two are "" where there is none, the credential as `kind public`.
    """

    slot: Base64 = ""
    public: str = Field(default="", description="with HTTP Basic: seal the owner's key to this slot key")
    parameters: dict[str, str | int] = Field(default={}, description="with HTTP Basic: the new slot's")
    credential: WireCredential | None = None
    possession: WireEvidence | None = Field(default=None, description="by the new credential, over the same")
    evidence: WireEvidence | None = None


class RemoveSlot(Wire):
    """The evidence is over SHA-256 of "custodian/slot-removed/v1" 0x00 owner 0x00 id."""

    evidence: WireEvidence | None = None


class EnrolDevices(Wire):
    """Become an owner without a password: the owner's key and slots were made on the owner's side."""

    invitation: Annotated[SecretStr, Field(min_length=8, max_length=64)]
    public: Annotated[str, Field(max_length=2048)]
    slots: Annotated[list[Base64], Field(min_length=1, max_length=8)]
    credentials: Annotated[list[WireCredential], Field(min_length=1, max_length=8)]
    possession: list[WireEvidence] = Field(description="one by each credential, over the owner's public key")


class Grant(Wire):
    """`custodian/grant/v1`: a delegation made on the owner's side; whoever has it can carry it."""

    type: Literal["custodian/grant/v1"]
    terms: Base64
    sealed: dict[str, Base64] = Field(description="recipient -> the owner's share sealed to it")
    evidence: WireEvidence


class Material(Wire):
    """`custodian/material/v1`: what an owner's side needs to make a grant; no secret, nor believed."""

    type: Literal["custodian/material/v1"]
    envelope: Base64
    signer: Name
    recipient: str = Field(description="empty until the signer has started once")
    announced: str
    announcement: Base64
    owner: Name
    slots: list[Base64]
    credentials: list[WireCredential]
    request: Base64 = Field(default="", description="custodian/request/v1: what the grant is to answer")
