"""Seal to a public key: HPKE (RFC 9180), base mode, single shot.

The context that a seal belongs to goes into `info`, so a sealed record moved to another owner, key,
delegation or version does not open. A public key's text form names its suite: `x25519:BASE64`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from custodian.encoding import decode_base64, encode_base64
from custodian.errors import CannotOpen, FormatError

PRIVATE_SIZE = 32
TAG_SIZE = 16  # of AES-256-GCM
_MLKEM768_PUBLIC = 1184
_MLKEM768_CIPHERTEXT = 1088


def _hybrid_private(seed: bytes) -> MLKEM768X25519PrivateKey:
    """Expand 32 bytes as X-Wing does (draft-connolly-cfrg-xwing-kem, section 5.2)."""
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def _hybrid_public(raw: bytes) -> MLKEM768X25519PublicKey:
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM768_PUBLIC]),
        X25519PublicKey.from_public_bytes(raw[_MLKEM768_PUBLIC:]),
    )


def _hybrid_public_raw(seed: bytes) -> bytes:
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key()
    curve = X25519PrivateKey.from_private_bytes(expanded[64:]).public_key()
    return lattice.public_bytes_raw() + curve.public_bytes_raw()


def _x25519_public_raw(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@dataclass(frozen=True, slots=True)
class _Scheme:
    suite: Suite
    load_private: Callable[[bytes], Any]
    load_public: Callable[[bytes], Any]
    public_raw: Callable[[bytes], bytes]
    public_size: int
    enc_size: int


_SCHEMES = {
    "x25519": _Scheme(
        Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
        X25519PrivateKey.from_private_bytes,
        X25519PublicKey.from_public_bytes,
        _x25519_public_raw,
        32,
        32,
    ),
    "mlkem768-x25519": _Scheme(
        Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
        _hybrid_private,
        _hybrid_public,
        _hybrid_public_raw,
        _MLKEM768_PUBLIC + 32,
        _MLKEM768_CIPHERTEXT + 32,
    ),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Where something can be sealed to. `str()` is its text form."""

    suite: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.suite}:{encode_base64(self.raw)}"

    def sealed_size(self, message: int) -> int:
        """Return the size of what `seal` makes of so many bytes."""
        return _SCHEMES[self.suite].enc_size + message + TAG_SIZE

    def seal(self, message: bytes, info: bytes) -> bytes:
        """Return enc || ciphertext."""
        scheme = _SCHEMES[self.suite]
        return scheme.suite.encrypt(message, scheme.load_public(self.raw), info)


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """The 32 bytes that open what was sealed to `public`."""

    DEFAULT_SUITE: ClassVar[str] = "x25519"

    suite: str
    raw: bytes

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.suite, _SCHEMES[self.suite].public_raw(self.raw))

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return the message.

        Raises:
            CannotOpen: it was sealed to another key or under another `info`, or was changed.
        """
        scheme = _SCHEMES[self.suite]
        try:
            return scheme.suite.decrypt(sealed, scheme.load_private(self.raw), info)
        except (InvalidTag, ValueError):
            raise CannotOpen("the seal does not open with this key in this place") from None


def parse_public_key(text: str, field: str) -> PublicKey:
    """Parse the text form; a key that cannot be sealed to is refused here."""
    suite, _, encoded = text.partition(":")
    if suite not in _SCHEMES:
        raise FormatError(field, f"must start with one of {', '.join(_SCHEMES)} and ':'")
    raw = decode_base64(encoded, field)
    if len(raw) != _SCHEMES[suite].public_size:
        raise FormatError(field, f"is not a {suite} public key")
    key = PublicKey(suite, raw)
    try:
        key.seal(b"", b"")  # refuses points of small order
    except (ValueError, UnsupportedAlgorithm):
        raise FormatError(field, f"is not a usable {suite} public key") from None
    return key
