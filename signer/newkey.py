"""Make a key and a CSR for a caller who has neither, as CFSSL's newkey and newcert do."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from signer.algorithms import RSA_BITS, PrivateKey, key_family
from signer.csr import Csr
from signer.errors import CfsslError, Number
from signer.names import San, Subject

_CURVES: dict[int, ec.EllipticCurve] = {
    256: ec.SECP256R1(),
    384: ec.SECP384R1(),
    521: ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True)
class KeyKind:
    """What to make; `size` is in bits and means nothing for Ed25519."""

    algorithm: str = "ecdsa"
    size: int = 256

    def __post_init__(self) -> None:
        """Refuse with CFSSL's words what CFSSL refuses."""
        problem = ""
        if self.algorithm not in {"rsa", "ecdsa", "ed25519"}:
            problem = "invalid algorithm"
        elif self.algorithm == "ecdsa" and self.size not in _CURVES:
            problem = "invalid curve"
        elif self.algorithm == "rsa" and self.size < RSA_BITS.start:
            problem = "RSA key is too weak"
        elif self.algorithm == "rsa" and self.size not in RSA_BITS:
            problem = "RSA key size too large"
        if problem:
            raise CfsslError(Number.KEY_NOT_GENERATED, problem)


def generate(kind: KeyKind) -> PrivateKey:
    """Make a key. RSA takes from a tenth of a second to many: call it outside the event loop."""
    if kind.algorithm == "rsa":
        return rsa.generate_private_key(65537, kind.size)
    if kind.algorithm == "ecdsa":
        return ec.generate_private_key(_CURVES[kind.size])
    return ed25519.Ed25519PrivateKey.generate()


def key_pem(key: PrivateKey) -> str:
    """Return the key as CFSSL writes it, but Ed25519 in the PKCS #8 that others can read."""
    plain = isinstance(key, ed25519.Ed25519PrivateKey)
    form = PrivateFormat.PKCS8 if plain else PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode("ascii")


def csr_for(key: PrivateKey, subject: Subject, sans: tuple[San, ...]) -> Csr:
    """Return what a CSR for this key would parse to; nobody needs to prove what was made here."""
    public_key = key.public_key()
    family = key_family(public_key)
    if family is None:
        raise ValueError("a key of a kind that this CA does not make")
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Csr(subject=subject, sans=sans, public_key=spki, family=family)
