"""The CA's own certificate, read once at start."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509

from custodian.errors import BadInput
from signer import der
from signer.algorithms import PublicKey, SignatureAlgorithm, key_family, signature_algorithm

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Issuer:
    """The CA's own certificate, taken apart. `pem` has no trailing newline, as /info wants it."""

    pem: str
    subject: bytes
    key_id: bytes
    public_key: PublicKey
    algorithm: SignatureAlgorithm
    not_before: datetime
    not_after: datetime
    path_length: int | None


def parse_issuer(pem: str) -> Issuer:
    """Read the CA certificate. Raises BadInput if it cannot issue certificates."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        constraints = _find(certificate, x509.BasicConstraints)
        usage = _find(certificate, x509.KeyUsage)
        key_id = _find(certificate, x509.SubjectKeyIdentifier)
        key = certificate.public_key()
    except (ValueError, x509.DuplicateExtension):
        raise BadInput("CA certificate", "is not one PEM certificate that can be read") from None
    if not (constraints and constraints.ca) or (usage and not usage.key_cert_sign):
        raise BadInput("CA certificate", "is not a CA's: it may not sign certificates")
    if key_family(key) is None:
        raise BadInput("CA certificate", "has a key of a kind that is not supported")
    return Issuer(
        pem=pem.strip(),
        subject=_raw_subject(certificate),
        key_id=(key_id or x509.SubjectKeyIdentifier.from_public_key(key)).digest,
        public_key=key,  # type: ignore[arg-type]
        algorithm=signature_algorithm(key),  # type: ignore[arg-type]
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        path_length=constraints.path_length,
    )


def _find(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _raw_subject(certificate: x509.Certificate) -> bytes:
    """Return the subject as it was written: the issuer's name must match it to the byte."""
    rest = der.split(certificate.tbs_certificate_bytes)[1]
    for _ in ("version", "serial number", "signature", "issuer", "validity"):
        rest = der.split(rest)[2]
    return der.split(rest)[0]
