"""Which keys this CA accepts and how each kind signs.

The hash follows from the key alone, with CFSSL's choice: RSA below 3072 bits SHA-256, below 4096
SHA-384, from 4096 SHA-512; P-256, P-384 and P-521 the hash of their size; Ed25519 its own.
"""

from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from signer import der

Family = Literal["RSA", "EC", "Ed25519"]
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA_BITS = range(2048, 8193)  # below is weak, above makes checking one request a way to stop us


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """`encoded` is the DER AlgorithmIdentifier; `hash` is None where the scheme has its own."""

    encoded: bytes
    hash: HashAlgorithm | None


def _rsa(last_arc: int, digest: HashAlgorithm) -> SignatureAlgorithm:
    identifier = der.identifier(f"1.2.840.113549.1.1.{last_arc}")
    return SignatureAlgorithm(der.sequence(identifier, der.NULL), digest)


def _ecdsa(last_arc: int, digest: HashAlgorithm) -> SignatureAlgorithm:
    return SignatureAlgorithm(der.sequence(der.identifier(f"1.2.840.10045.4.3.{last_arc}")), digest)


_RSA = {256: _rsa(11, SHA256()), 384: _rsa(12, SHA384()), 512: _rsa(13, SHA512())}
_ECDSA = {
    "secp256r1": _ecdsa(2, SHA256()),
    "secp384r1": _ecdsa(3, SHA384()),
    "secp521r1": _ecdsa(4, SHA512()),
}
_ED25519 = SignatureAlgorithm(der.sequence(der.identifier("1.3.101.112")), None)


def key_family(key: object) -> Family | None:
    """Return the family of a public key this CA signs for or with, else None."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC" if key.curve.name in _ECDSA else None
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA" if key.key_size in RSA_BITS else None
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else None


def signature_algorithm(key: PublicKey) -> SignatureAlgorithm:
    """Return how the holder of this public key signs."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _ED25519
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ECDSA[key.curve.name]
    return _RSA[512 if key.key_size >= 4096 else 384 if key.key_size >= 3072 else 256]


def sign(key: PrivateKey, data: bytes) -> bytes:
    """Sign as the certificate profile wants it: PKCS #1 v1.5, ECDSA in DER, or Ed25519."""
    algorithm = signature_algorithm(key.public_key())
    if isinstance(key, ed25519.Ed25519PrivateKey) or algorithm.hash is None:
        return key.sign(data)  # type: ignore[call-arg]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(algorithm.hash))
    return key.sign(data, padding.PKCS1v15(), algorithm.hash)
