"""A certificate signing request (RFC 2986), read once and believed afterwards.

Whoever holds a `Csr` knows: the requester has the private key, the key is strong enough, the names
are well formed. Of its extensions only the alternative names and the wish to be a CA are read;
nothing else in a CSR can change what the policy says.
"""

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID as Sig

from custodian.encoding import decode_base64
from custodian.errors import FormatError
from signer import der
from signer.algorithms import Family, PrivateKey, key_family, sign, signature_algorithm
from signer.errors import CfsslError, Number, refused_csr
from signer.names import (
    DNS,
    EMAIL,
    IP,
    URI,
    San,
    Subject,
    address,
    encode_sans,
    encode_subject,
    override,
    parse_san,
    subject_of,
)

_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----\s")
_LABELS = {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}
_ACCEPTED_SIGNATURES = {
    Sig.RSA_WITH_SHA256,
    Sig.RSA_WITH_SHA384,
    Sig.RSA_WITH_SHA512,
    Sig.ECDSA_WITH_SHA256,
    Sig.ECDSA_WITH_SHA384,
    Sig.ECDSA_WITH_SHA512,
    Sig.ED25519,
}
_EXTENSION_REQUEST = der.identifier("1.2.840.113549.1.9.14")
SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
_ALTERNATIVE_NAME = der.identifier(SUBJECT_ALTERNATIVE_NAME)
_BASIC_CONSTRAINTS = der.identifier("2.5.29.19")
_BOOLEAN = bytes((der.BOOLEAN,))


@dataclass(frozen=True, slots=True)
class Csr:
    """`public_key` is the DER SubjectPublicKeyInfo in its canonical encoding."""

    subject: Subject
    sans: tuple[San, ...]
    public_key: bytes
    family: Family
    wants_ca: bool = False

    def override(self, *, hosts: tuple[San, ...] | None, subject: Subject | None) -> "Csr":
        """Return the request with the names that the caller wants instead; None keeps the CSR's."""
        if hosts is None and subject is None:
            return self
        return replace(
            self,
            sans=self.sans if hosts is None else hosts,
            subject=self.subject if subject is None else override(subject, self.subject),
        )


def parse_csr(pem: str) -> Csr:
    """Read the first PEM block and check the requester's signature.

    Raises CfsslError with CFSSL's numbers: 9002 not PEM, 9003 not a CSR inside, 9300 refused.
    """
    request = _load(_pem_body(pem))
    try:
        key = request.public_key()
        family = key_family(key)
    except (ValueError, UnsupportedAlgorithm):
        family = None
    if family is None:
        raise refused_csr("the key must be RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519")
    _check_signature(request)
    _, _, after_version = der.split(der.split(request.tbs_certrequest_bytes)[1])
    name, _, after_name = der.split(after_version)
    _, _, after_key = der.split(after_name)
    try:
        extensions = _extensions(der.split(after_key)[1])
        return Csr(
            subject=subject_of(name),
            sans=_sans(extensions.get(_ALTERNATIVE_NAME)),
            public_key=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            family=family,
            wants_ca=_wants_ca(extensions.get(_BASIC_CONSTRAINTS)),
        )
    except ValueError:
        raise _unreadable("has a subject or an extension that cannot be read") from None


def _pem_body(pem: str) -> bytes:
    """Return the bytes of the first PEM block; text around it is allowed, as everywhere."""
    begin = _BEGIN.search(pem)
    end = pem.find(f"-----END {begin[1]}-----", begin.end()) if begin else -1
    if begin is None or end < 0:
        raise CfsslError(Number.CSR_NOT_PEM, "CSR Decode failed")
    if begin[1] not in _LABELS:
        raise refused_csr("not a csr")
    try:
        return decode_base64("".join(pem[begin.end() : end].split()), "certificate_request")
    except FormatError:
        raise CfsslError(Number.CSR_NOT_PEM, "CSR Decode failed") from None


def _load(data: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(data)
    except (ValueError, x509.InvalidVersion):
        raise _unreadable("is not a PKCS #10 request, or has bytes after it") from None


def _unreadable(reason: str) -> CfsslError:
    return CfsslError(Number.CSR_NOT_PARSED, f"certificate_request: {reason}")


def _check_signature(request: x509.CertificateSigningRequest) -> None:
    if request.signature_algorithm_oid not in _ACCEPTED_SIGNATURES:
        raise refused_csr("the CSR must be signed with SHA-256, SHA-384, SHA-512 or Ed25519")
    try:
        valid = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        valid = False
    if not valid:
        raise refused_csr("the CSR is not signed by the key it holds")


def _extensions(attributes: bytes) -> dict[bytes, bytes]:
    """Return the values of the extensions that are asked for, by their encoded identifiers."""
    found: dict[bytes, bytes] = {}
    for attribute in der.each(der.SEQUENCE, attributes):
        kind, _, values = der.split(attribute)
        if kind != _EXTENSION_REQUEST:
            continue
        extensions = der.only(der.SEQUENCE, der.only(der.SET, values))
        for extension in der.each(der.SEQUENCE, extensions):
            identifier, _, rest = der.split(extension)
            if rest.startswith(_BOOLEAN):  # whether it is critical
                rest = der.split(rest)[2]
            if identifier[0] != der.IDENTIFIER or identifier in found:
                raise ValueError("an extension is repeated or has no identifier")
            found[identifier] = der.only(der.OCTET_STRING, rest)
    return found


def _wants_ca(constraints: bytes | None) -> bool:
    if constraints is None:
        return False
    content = der.only(der.SEQUENCE, constraints)
    return any(tag == der.BOOLEAN and value != b"\x00" for tag, value in der.elements(content))


def _sans(names: bytes | None) -> tuple[San, ...]:
    """Return the names of the four kinds a certificate from here can hold; drop the others."""
    if names is None:
        return ()
    content = der.only(der.SEQUENCE, names)
    sans = [_san(tag, value, f"SAN {i}") for i, (tag, value) in enumerate(der.elements(content), 1)]
    return tuple(san for san in sans if san)


def _san(tag: int, value: bytes, field: str) -> San | None:
    if tag == IP:
        if len(value) not in (4, 16):
            raise refused_csr(f"{field}: is not an IP address")
        return address(ip_address(value))
    if tag in (DNS, EMAIL, URI):
        return parse_san(tag, value.decode("ascii"), field)
    return None


def make_csr(key: PrivateKey, subject: Subject, sans: tuple[San, ...]) -> bytes:
    """Return a DER CSR for a key that was made here."""
    extensions = der.sequence(der.extension(SUBJECT_ALTERNATIVE_NAME, encode_sans(sans)))
    wish = der.sequence(_EXTENSION_REQUEST, der.set_of(extensions)) if sans else b""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = der.sequence(der.integer(0), encode_subject(subject), spki, der.tlv(0xA0, wish))
    algorithm = signature_algorithm(key.public_key()).encoded
    return der.sequence(info, algorithm, der.bit_string(sign(key, info)))
