"""To-be-signed bytes for tests that look at what a keyholder signs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ca_in_memory import key_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab CA")])


def make_tbs(
    key: Any = None,
    *,
    issuer: x509.Name = ISSUER,
    common_name: str = "www.example.com",
    names: Sequence[str] = ("www.example.com",),
    days: int = 1,
    extensions: Sequence[x509.ExtensionType] = (),
    critical: bool = False,
    subject: x509.Name | None = None,
    digest: Any = None,
    pss: Any = None,
) -> bytes:
    """Return a TBSCertificate for an issuing key of the kind of `key`; its signature is thrown away."""
    key = key or key_of("P-256", "throw-away issuer")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(key_of("P-256").public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=days))
    )
    if names:
        sans = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(sans, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    usual = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest or usual, rsa_padding=pss).tbs_certificate_bytes


def usage_of_a_ca() -> x509.KeyUsage:
    others = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**others, key_cert_sign=True, crl_sign=False)
