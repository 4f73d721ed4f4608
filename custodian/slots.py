"""How an owner opens what is theirs: `custodian/slot/v1`, canonical JSON.

An owner has one key pair, to which shares are sealed. A *slot* is another key pair, made from something
the owner knows or has, to which the owner's private key is sealed; one slot is enough to open. A
password, a passkey and a device key differ only in where the slot's private key comes from:

    root   = Argon2id(password, salt)                              password slot
    unlock = HKDF-SHA-256(root, info = "custodian/slot/v1/unlock")  the slot's private key
    login  = HKDF-SHA-256(root, info = "custodian/slot/v1/login")   proves the password, opens nothing
    verifier = SHA-256(login)                                       what the custodian keeps

The seal is bound to everything else that the slot says, so whoever keeps it can change none of it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custodian.encoding import (
    canonical_json,
    decode_base64,
    encode_base64,
    parse_canonical_json,
    parse_name,
)
from custodian.errors import BadInput, CannotOpen, FormatError
from custodian.sealing import PRIVATE_SIZE, PrivateKey, PublicKey, parse_public_key

VERSION = "custodian/slot/v1"
SUITE = "x25519"
SALT_SIZE = 16
MIN_PASSWORD = 10
MAX_PASSWORD = 1024  # bytes; bounds the work an unknown caller can ask for

# kind -> its parameters; each value is a text (base64) or an integer
PARAMETERS: Mapping[str, Mapping[str, type]] = {
    "password": {"memory_kib": int, "passes": int, "lanes": int, "salt": str},
    "passkey": {"credential": str, "salt": str},
    "device": {"label": str},
}


@dataclass(frozen=True, slots=True)
class Kdf:
    """Argon2id (RFC 9106). The default is its second recommended option."""

    salt: bytes
    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4

    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "memory_kib": (8_192, 1_048_576),
        "passes": (1, 16),
        "lanes": (1, 16),
    }


@dataclass(frozen=True, slots=True, repr=False)
class Derived:
    """What a password gives: the slot's private key, and the login secret."""

    unlock: PrivateKey
    login: bytes


@dataclass(frozen=True, slots=True)
class Slot:
    owner: str
    id: str
    kind: str
    parameters: Mapping[str, str | int]
    public: PublicKey
    owner_public: PublicKey
    sealed: bytes  # the owner's private key, sealed to `public`

    def __bytes__(self) -> bytes:
        return canonical_json(self._said() | {"sealed": encode_base64(self.sealed)})

    @property
    def info(self) -> bytes:
        """The HPKE info of what is sealed: the digest of the slot without it."""
        return b"custodian/slot/v1\x00" + hashlib.sha256(canonical_json(self._said())).digest()

    def _said(self) -> dict[str, object]:
        return {
            "type": VERSION,
            "owner": self.owner,
            "id": self.id,
            "kind": self.kind,
            "parameters": dict(self.parameters),
            "public": str(self.public),
            "owner_public": str(self.owner_public),
        }

    def open(self, unlock: PrivateKey) -> PrivateKey:
        """Return the owner's private key.

        Raises:
            CannotOpen: `unlock` is not the slot's, a word of the slot was changed, or what it opens is
                not the owner's private key: anyone can seal to a slot.
        """
        raw = unlock.open(self.sealed, self.info)
        if len(raw) != PRIVATE_SIZE or PrivateKey(self.owner_public.suite, raw).public != self.owner_public:
            raise CannotOpen("the slot holds another key than its owner's")
        return PrivateKey(self.owner_public.suite, raw)


def derive(password: str, kdf: Kdf) -> Derived:
    """Run Argon2id: tens to hundreds of milliseconds and `memory_kib` of memory."""
    secret = unicodedata.normalize("NFC", password).encode()
    root = Argon2id(
        salt=kdf.salt,
        length=32,
        iterations=kdf.passes,
        lanes=kdf.lanes,
        memory_cost=kdf.memory_kib,
    ).derive(secret)
    return Derived(PrivateKey(SUITE, _expand(root, b"unlock")), _expand(root, b"login"))


def login_verifier(derived: Derived) -> bytes:
    return hashlib.sha256(derived.login).digest()


def make_slot(
    owner_key: PrivateKey, place: tuple[str, str, str], public: PublicKey, **parameters: str | int
) -> Slot:
    """Seal an owner's private key to a slot. `place` is the owner's name, the slot's id and kind."""
    owner, slot_id, kind = place
    empty = Slot(owner, slot_id, kind, parameters, public, owner_key.public, b"")
    return replace(empty, sealed=public.seal(owner_key.raw, empty.info))


def check_password(password: str) -> str:
    """Return `password` if it may be used for an account, else raise BadInput."""
    if len(password) < MIN_PASSWORD:
        raise BadInput("password", f"must have at least {MIN_PASSWORD} characters")
    try:
        size = len(password.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        raise BadInput("password", "is not Unicode text") from None
    if size > MAX_PASSWORD:
        raise BadInput("password", f"must have at most {MAX_PASSWORD} bytes")
    return password


def parse_slot(data: bytes) -> Slot:
    """Parse a slot strictly. Raises FormatError."""
    value = parse_canonical_json(data, "slot")
    texts = ("type", "owner", "id", "kind", "public", "owner_public", "sealed")
    if set(value) != {*texts, "parameters"} or not all(type(value[each]) is str for each in texts):
        raise FormatError("slot", "does not have the fields of custodian/slot/v1")
    if value["type"] != VERSION:
        raise FormatError("slot.type", f"is not {VERSION}")
    kind, parameters = value["kind"], check_parameters(value["kind"], value["parameters"])
    return Slot(
        owner=parse_name(value["owner"], "slot.owner"),
        id=parse_name(value["id"], "slot.id"),
        kind=kind,
        parameters=parameters,
        public=parse_public_key(value["public"], "slot.public"),
        owner_public=parse_public_key(value["owner_public"], "slot.owner_public"),
        sealed=decode_base64(value["sealed"], "slot.sealed"),
    )


def check_parameters(kind: str, parameters: Any) -> Mapping[str, str | int]:
    """Return `parameters` if they are those of a slot of this kind, else raise FormatError."""
    expected = PARAMETERS.get(kind)
    if expected is None or type(parameters) is not dict or set(parameters) != set(expected):
        raise FormatError("slot.parameters", "are not those of its kind")
    if not all(type(parameters[name]) is expected[name] for name in expected):
        raise FormatError("slot.parameters", "have the wrong types")
    _CHECKS[kind](parameters)
    return parameters


def kdf_parameters(kdf: Kdf) -> dict[str, str | int]:
    return {
        "memory_kib": kdf.memory_kib,
        "passes": kdf.passes,
        "lanes": kdf.lanes,
        "salt": encode_base64(kdf.salt),
    }


def parse_kdf(parameters: Mapping[str, str | int]) -> Kdf:
    salt = decode_base64(str(parameters["salt"]), "slot.parameters.salt")
    if len(salt) != SALT_SIZE:
        raise FormatError("slot.parameters.salt", f"is not {SALT_SIZE} bytes long")
    costs = {name: int(parameters[name]) for name in Kdf.LIMITS}
    for name, (least, most) in Kdf.LIMITS.items():
        if not least <= costs[name] <= most:
            raise FormatError(f"slot.parameters.{name}", f"must be from {least} to {most}")
    return Kdf(salt, **costs)


def _check_passkey(parameters: Mapping[str, str | int]) -> None:
    for name in ("credential", "salt"):
        if not decode_base64(str(parameters[name]), f"slot.parameters.{name}"):
            raise FormatError(f"slot.parameters.{name}", "is empty")


def _check_device(parameters: Mapping[str, str | int]) -> None:
    if not re.fullmatch("[ -~]{1,64}", str(parameters["label"])):
        raise FormatError("slot.parameters.label", "is not 1 to 64 printable ASCII characters")


_CHECKS: Mapping[str, Callable[[Mapping[str, str | int]], object]] = {
    "password": parse_kdf,
    "passkey": _check_passkey,
    "device": _check_device,
}


def _expand(root: bytes, use: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"custodian/slot/v1/" + use).derive(root)
