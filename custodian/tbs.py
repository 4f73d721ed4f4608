"""What the bytes of a to-be-signed certificate say.

A keyholder signs bytes that a larger, more exposed program made. It believes nothing said about them:
it reads them itself, with a throw-away signature around them so that the X.509 parser accepts them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from custodian.errors import Forbidden
from custodian.terms import Purpose

DIGESTS = ("sha256", "sha384", "sha512")
CLOCK_SLACK = timedelta(minutes=5)
NAMING = (NameOID.COMMON_NAME, NameOID.EMAIL_ADDRESS, NameOID.USER_ID)  # of a subject: who it is
SPEAKS_FOR_THE_CA = (ExtendedKeyUsageOID.OCSP_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
NETSCAPE_TYPE = x509.ObjectIdentifier("2.16.840.1.113730.1.1")  # old, and may say CA
NO_SIGNATURE = bytes.fromhex("030900") + bytes(8)


@dataclass(frozen=True, slots=True)
class ToBeSigned:
    issuer: bytes  # DER
    purpose: Purpose
    scheme: ECDSA | PKCS1v15 | None  # None for Ed25519
    digest: HashAlgorithm | None  # what the signature is to be made over; None for Ed25519


def read_tbs(tbs: bytes, profile: str, now: datetime) -> ToBeSigned:
    """Read a TBSCertificate; `profile` is the caller's word, as certificates do not name theirs.

    Raises:
        Forbidden: the bytes are not exactly one TBSCertificate that can be read, or it begins after
            `now`: a lease is for today's certificates.
    """
    try:
        certificate = x509.load_der_x509_certificate(_wrap(tbs))
        if certificate.tbs_certificate_bytes != tbs:
            raise ValueError
        digest = certificate.signature_hash_algorithm
        if digest is not None and digest.name not in DIGESTS:
            raise ValueError
        scheme = certificate.signature_algorithm_parameters
        if not isinstance(scheme, ECDSA | PKCS1v15 | None):
            raise ValueError
        begins = certificate.not_valid_before_utc
        read = ToBeSigned(certificate.issuer.public_bytes(), _purpose(certificate, profile), scheme, digest)
    except Exception:  # the parser has many ways to refuse, and none may end the keyholder
        raise Forbidden("the bytes to sign are not a certificate this key signs") from None
    if begins > now + CLOCK_SLACK:
        raise Forbidden("the certificate would begin in the future")
    return read


def _purpose(certificate: x509.Certificate, profile: str) -> Purpose:
    names = [str(each.value) for each in certificate.subject if each.oid in NAMING]
    ca = False
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            ca = ca or value.ca
        elif isinstance(value, x509.KeyUsage):
            ca = ca or value.key_cert_sign or value.crl_sign
        elif isinstance(value, x509.ExtendedKeyUsage):
            ca = ca or any(usage in SPEAKS_FOR_THE_CA for usage in value)
        elif isinstance(value, x509.SubjectAlternativeName):
            names += [str(name.value) for name in value]
        elif extension.oid == NETSCAPE_TYPE:
            ca = True
        elif extension.critical and isinstance(value, x509.UnrecognizedExtension):
            raise ValueError
    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return Purpose(profile, tuple(names), int(validity.total_seconds()), ca)


def _wrap(tbs: bytes) -> bytes:
    """Return SEQ(tbs, the algorithm it names, no signature), a certificate by its form."""
    body = tbs + _algorithm(tbs) + NO_SIGNATURE
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    short = len(body) < 0x80
    return b"\x30" + (size if short else bytes((0x80 | len(size),)) + size) + body


def _algorithm(tbs: bytes) -> bytes:
    """Return the third element of a version 3 TBSCertificate: the signature algorithm."""
    start, _ = _content(tbs, 0)
    for _ in ("version", "serial number"):
        inside, size = _content(tbs, start)
        start = inside + size
    if int.from_bytes(tbs[inside:start], "big", signed=True) < 1:
        raise ValueError  # RFC 5280, section 4.1.2.2
    inside, size = _content(tbs, start)
    return tbs[start : inside + size]


def _content(data: bytes, start: int) -> tuple[int, int]:
    """Return where the content of the element at `start` begins, and its size."""
    first = data[start + 1]
    if first < 0x80:
        return start + 2, first
    octets = first & 0x7F
    return start + 2 + octets, int.from_bytes(data[start + 2 : start + 2 + octets], "big")
