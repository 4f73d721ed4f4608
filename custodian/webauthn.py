"""Verify what a passkey asserts: WebAuthn level 3, section 7.2, with `cryptography` alone.

An assertion is a signature over `authenticator data || SHA-256(client data)`. The client data, JSON that
the browser writes, names the challenge, which is ours to choose, and the origin of the page that asked; the
authenticator data says for which domain the passkey is, that somebody was there and that it knew who.

The counter of signatures is not compared: passkeys that are on several devices do not keep one, and what
is asserted here, terms or a statement, is good for one time only by itself.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from custodian.encoding import decode_base64, encode_base64, parse_json_object
from custodian.errors import Forbidden, FormatError
from custodian.identity import PREFIX as ED25519
from custodian.identity import parse_identity
from custodian.site import Site

MAX_CLIENT_DATA = 4096
MAX_AUTHENTICATOR_DATA = 1024
MAX_SIGNATURE = 1024  # of an RSA key of 8192 bits
RSA_BITS = (2048, 8192)
HEAD = 37  # SHA-256 of the domain, a byte of flags, a counter of four bytes
PRESENT, VERIFIED, MAY_BE_BACKED_UP, BACKED_UP, ATTESTED, EXTENDED = 1, 4, 8, 16, 64, 128

Key = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class Assertion:
    """What `navigator.credentials.get` answers, as bytes."""

    signature: bytes
    authenticator_data: bytes
    client_data: bytes


def parse_key(text: str, field: str) -> Key:
    """Parse a passkey's public key, the base64 of its SubjectPublicKeyInfo: P-256, Ed25519 or RSA.

    Raises:
        FormatError: it is another kind, too weak, or not in the one encoding that DER has.
    """
    raw = decode_base64(text, field)
    try:
        key = load_der_public_key(raw)
        canonical = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == raw
    except (ValueError, UnsupportedAlgorithm):
        raise FormatError(field, "is not a public key (SubjectPublicKeyInfo)") from None
    if not canonical:
        raise FormatError(field, "is not a public key in DER")
    if isinstance(key, Ed25519PublicKey):
        parse_identity(ED25519 + encode_base64(key.public_bytes_raw()), field)
        return key
    if isinstance(key, RSAPublicKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    raise FormatError(field, "must be a key for ES256, EdDSA or RS256 (2048 to 8192 bits)")


def check_assertion(assertion: Assertion, key: Key, challenge: bytes, site: Site) -> None:
    """Check that whoever has `key` asserted `challenge`, on a page of `site`, present and verified.

    Raises:
        FormatError: a part is too large or not in its format. Forbidden: it asserts something else.
    """
    _check_client_data(assertion.client_data, challenge, site)
    _check_authenticator_data(assertion.authenticator_data, site)
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    try:
        _verify(key, assertion.signature, signed)
    except InvalidSignature:
        raise Forbidden("the passkey did not sign this") from None


def _check_client_data(raw: bytes, challenge: bytes, site: Site) -> None:
    if len(raw) > MAX_CLIENT_DATA:
        raise FormatError("client_data", f"is longer than {MAX_CLIENT_DATA} bytes")
    said: dict[str, Any] = parse_json_object(raw, "client_data")
    if said.get("type") != "webauthn.get":
        raise Forbidden("the passkey was asked for something else than an assertion")
    if said.get("challenge") != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode():
        raise Forbidden("the passkey agreed to something else than what was sent; ask it again")
    if said.get("origin") != site.origin:
        raise Forbidden(f"the passkey was used on a page of another site than {site.origin}")
    if said.get("crossOrigin", False) is not False or "topOrigin" in said:
        raise Forbidden("the passkey was used inside a page of another site")


def _check_authenticator_data(raw: bytes, site: Site) -> None:
    if not HEAD <= len(raw) <= MAX_AUTHENTICATOR_DATA:
        raise FormatError("authenticator_data", f"is not {HEAD} to {MAX_AUTHENTICATOR_DATA} bytes")
    flags = raw[32]
    if flags & ATTESTED or bool(flags & EXTENDED) != (len(raw) > HEAD):
        raise FormatError("authenticator_data", "is not that of an assertion")
    if flags & BACKED_UP and not flags & MAY_BE_BACKED_UP:
        raise FormatError("authenticator_data", "contradicts itself about backups")
    if not site.rp_id or raw[:32] != hashlib.sha256(site.rp_id.encode()).digest():
        raise Forbidden("the passkey is for another site than this custodian's")
    if not flags & PRESENT or not flags & VERIFIED:
        raise Forbidden("the passkey did not ask who is there; use one with a PIN or a fingerprint")


def _verify(key: Key, signature: bytes, signed: bytes) -> None:
    if len(signature) > MAX_SIGNATURE:
        raise FormatError("signature", f"is longer than {MAX_SIGNATURE} bytes")
    if isinstance(key, Ed25519PublicKey):
        key.verify(signature, signed)
    elif isinstance(key, RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), SHA256())
    else:
        key.verify(signature, signed, ECDSA(SHA256()))
