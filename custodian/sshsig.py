"""Verify what `ssh-keygen -Y sign` writes: OpenSSH's PROTOCOL.sshsig, with `cryptography` alone.

    signed = "SSHSIG" string(namespace) string(reserved) string(hash) string(H(message))

A key on a FIDO token (`sk-…`, OpenSSH's PROTOCOL.u2f) signs a digest of that together with its application,
flags and counter; somebody must have touched it. Certificates are not keys here: who is an owner is ours to
say, not a CA's.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from custodian.encoding import decode_base64, encode_base64
from custodian.errors import Forbidden, FormatError
from custodian.identity import PREFIX as ED25519
from custodian.identity import parse_identity

MAGIC = b"SSHSIG"
VERSION = 1
MAX_ARMOURED = 8192
MAX_LINE = 4096
RSA_BITS = (2048, 8192)
TOUCHED = 1
ARMOUR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n?"
)
HASHES: Mapping[bytes, Callable[[bytes], "hashlib._Hash"]] = {
    b"sha256": hashlib.sha256,
    b"sha512": hashlib.sha512,
}
RSA_SIGNATURES: Mapping[bytes, HashAlgorithm] = {b"rsa-sha2-256": SHA256(), b"rsa-sha2-512": SHA512()}
CURVES: Mapping[bytes, tuple[bytes, EllipticCurve, HashAlgorithm]] = {
    b"ecdsa-sha2-nistp256": (b"nistp256", SECP256R1(), SHA256()),
    b"ecdsa-sha2-nistp384": (b"nistp384", SECP384R1(), SHA384()),
    b"ecdsa-sha2-nistp521": (b"nistp521", SECP521R1(), SHA512()),
    b"sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", SECP256R1(), SHA256()),
}
ED25519_KINDS = (b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com")


@dataclass(frozen=True, slots=True)
class SshKey:
    """`str()` is its line without a comment. `application` is what a FIDO token made it for, else empty."""

    kind: bytes
    blob: bytes
    key: EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey
    application: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind.decode()} {encode_base64(self.blob)}"

    @property
    def on_token(self) -> bool:
        return self.kind.startswith(b"sk-")


class _Reader:
    """Take what SSH's encoding (RFC 4251, section 5) put one after the other; raises FormatError."""

    def __init__(self, data: bytes, field: str) -> None:
        self.data, self.field = data, field

    def take(self, size: int) -> bytes:
        if size > len(self.data):
            raise FormatError(self.field, "is cut off")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def string(self) -> bytes:
        return self.take(self.number())

    def positive(self) -> int:
        """Take an mpint that is more than 0, in its one spelling."""
        raw = self.string()
        value = int.from_bytes(raw)
        if not value or raw[0] & 0x80 or len(raw) != value.bit_length() // 8 + 1:
            raise FormatError(self.field, "holds a number that is not in its format")
        return value

    def end(self) -> None:
        if self.data:
            raise FormatError(self.field, "has more than it should")


def parse_ssh_key(line: str, field: str) -> SshKey:
    """Parse a line of a .pub file, `ssh-ed25519 AAAA… comment`. Raises FormatError."""
    kind, _, rest = line.partition(" ")
    if len(line) > MAX_LINE or not line.isprintable():
        raise FormatError(field, "is not the one line of an SSH public key")
    blob = decode_base64(rest.partition(" ")[0], field)
    reader = _Reader(blob, field)
    if reader.string() != kind.encode(errors="replace"):
        raise FormatError(field, "does not hold the kind of key that it says")
    try:
        key = _read_key(kind.encode(), reader)
    except ValueError:
        raise FormatError(field, f"is not a key of the kind {kind}") from None
    application = reader.string() if kind.startswith("sk-") else b""
    reader.end()
    return SshKey(kind.encode(), blob, key, application)


def _read_key(kind: bytes, reader: _Reader) -> EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey:
    if kind in ED25519_KINDS:
        raw = reader.string()
        parse_identity(ED25519 + encode_base64(raw), reader.field)
        return Ed25519PublicKey.from_public_bytes(raw)
    if kind in CURVES:
        name, curve, _ = CURVES[kind]
        if reader.string() != name:
            raise FormatError(reader.field, "names another curve than its kind")
        point = reader.string()
        if point[:1] != b"\x04":
            raise FormatError(reader.field, "holds a compressed point")
        return EllipticCurvePublicKey.from_encoded_point(curve, point)
    if kind == b"ssh-rsa":
        key = RSAPublicNumbers(reader.positive(), reader.positive()).public_key()
        if not RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
            raise FormatError(reader.field, f"is an RSA key of less than {RSA_BITS[0]} bits, or too long")
        return key
    raise FormatError(reader.field, "must be an Ed25519, ECDSA or RSA key, or an sk- key of the first two")


def check_ssh_signature(armoured: bytes, key: SshKey, message: bytes, namespace: bytes) -> None:
    """Check that `key` signed `message` in `namespace`.

    Raises:
        FormatError: it is not an SSH signature. Forbidden: it is one by another key, of something else,
            for another purpose, or nobody touched the token.
    """
    blob = _dearmour(armoured)
    reader = _Reader(blob, "signature")
    if reader.take(len(MAGIC)) != MAGIC or reader.number() != VERSION:
        raise FormatError("signature", "is not an SSH signature of version 1")
    signer, purpose, reserved, hash_name, signature = (reader.string() for _ in range(5))
    reader.end()
    if hash_name not in HASHES:
        raise FormatError("signature", "is over a hash that is neither SHA-256 nor SHA-512")
    if signer != key.blob:
        raise Forbidden("another SSH key signed this")
    if purpose != namespace:
        raise Forbidden(f"the SSH key signed for another purpose; say -n {namespace.decode()}")
    said = (namespace, reserved, hash_name, HASHES[hash_name](message).digest())
    try:
        _verify(key, _Reader(signature, "signature"), MAGIC + b"".join(_string(each) for each in said))
    except InvalidSignature:
        raise Forbidden("the SSH key did not sign this") from None


def _dearmour(armoured: bytes) -> bytes:
    try:
        match = ARMOUR.fullmatch(armoured.decode("ascii")) if len(armoured) <= MAX_ARMOURED else None
        return base64.b64decode(match[1].replace("\n", ""), validate=True) if match else b""
    except (UnicodeDecodeError, binascii.Error):
        raise FormatError("signature", "is not what ssh-keygen -Y sign writes") from None


def _verify(key: SshKey, signature: _Reader, signed: bytes) -> None:
    kind, raw = signature.string(), signature.string()
    if key.on_token:
        signed = _on_token(key, signature, signed)
    signature.end()
    if isinstance(key.key, RSAPublicKey):
        if kind not in RSA_SIGNATURES:
            raise FormatError("signature", "is an RSA signature that is neither rsa-sha2-256 nor -512")
        key.key.verify(raw, signed, padding.PKCS1v15(), RSA_SIGNATURES[kind])
        return
    if kind != key.kind:
        raise FormatError("signature", "is not of the kind of its key")
    if isinstance(key.key, Ed25519PublicKey):
        key.key.verify(raw, signed)
        return
    numbers = _Reader(raw, "signature")
    r, s = numbers.positive(), numbers.positive()
    numbers.end()
    key.key.verify(encode_dss_signature(r, s), signed, ECDSA(CURVES[key.kind][2]))


def _on_token(key: SshKey, signature: _Reader, signed: bytes) -> bytes:
    """Return what a FIDO token signs in place of `signed`."""
    flags, counter = signature.take(1), signature.take(4)
    if not flags[0] & TOUCHED:
        raise Forbidden("nobody touched the key that signed this")
    return hashlib.sha256(key.application).digest() + flags + counter + hashlib.sha256(signed).digest()


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data
