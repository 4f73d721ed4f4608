"""What every vector has in common: fixed names, keys and randomness, and the form of a vector."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodian.encoding import encode_base64
from custodian.identity import Identity
from custodian.sealing import PrivateKey, PublicKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY_ID = "5f0c3a1e9b7d4628a1c0e2f4b6d81735"
OTHER_ID = "00112233445566778899aabbccddeeff"
SECRET = b"the private key would stand here."
SMALL_ORDER = "x25519:" + encode_base64(bytes(32))

Header = list[tuple[str, str]]
Vectors = dict[str, bytes]


def random_from(seed: str) -> Callable[[int], bytes]:
    """Return a source of bytes that repeats itself: what makes two runs equal."""
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"custodian vectors {seed} {count}".encode()).digest(size)

    return random


def private_key(name: str) -> PrivateKey:
    return PrivateKey("x25519", random_from(f"key of {name}")(32))


EPHEMERAL = random_from("ephemeral keys")


def seal_with_fixed_randomness(public: PublicKey, message: bytes, info: bytes) -> bytes:
    """HPKE by RFC 9180, sections 4.1 and 5.1, apart from the library that the product uses."""
    private = X25519PrivateKey.from_private_bytes(EPHEMERAL(32))
    enc = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(public.raw))

    def extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(suite: bytes, prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        block = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context + b"\x01"
        return hmac.digest(prk, block, "sha256")[:size]

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    shared = expand(kem, extract(kem, b"", b"eae_prk", shared), b"shared_secret", enc + public.raw, 32)
    context = b"\x00" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    key = expand(suite, secret, b"key", context, 32)
    nonce = expand(suite, secret, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, message, b"")


def vector(expect: str, header: Header, body: bytes = b"") -> bytes:
    lines = [("expect", expect), *header]
    return "".join(f"{name}: {value}\n" for name, value in lines).encode() + b"\n" + body


def swap(body: bytes, old: str | bytes, new: str | bytes) -> bytes:
    old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))
    if body.count(old) != 1:
        raise ValueError(f"{old!r} stands {body.count(old)} times in the positive")
    return body.replace(old, new)


def identity_key(signer: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(random_from(f"identity of {signer}")(32))


def identity(signer: str) -> Identity:
    return Identity(identity_key(signer).public_key().public_bytes_raw())
