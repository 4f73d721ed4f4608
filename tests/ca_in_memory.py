"""A CA whose key is in memory, and the CSRs that its tests send it: fakes at the `KeySource` port."""

import base64
import json
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from signer.algorithms import PrivateKey, sign, signature_algorithm
from signer.authority import Authority, make_authority
from signer.csr import Csr, parse_csr
from signer.errors import CfsslError
from signer.issue import Prepared, certificate_pem, prepare, templates
from signer.issuer import parse_issuer
from signer.profile import Policy, Sources, parse_policy

NOW = datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC)
AUTH_KEY = "0123456789abcdef0123456789ABCDEF"
POLICY = {
    "signing": {
        "default": {
            "expiry": "8760h",
            "usages": ["signing", "key encipherment", "server auth", "client auth"],
        },
        "profiles": {
            "server": {
                "expiry": "720h",
                "usages": ["digital signature", "key encipherment", "server auth"],
            },
            "authed": {"expiry": "24h", "usages": ["signing", "client auth"], "auth_key": "key1"},
        },
    },
    "auth_keys": {"key1": {"type": "standard", "key": AUTH_KEY}},
}
NO_SOURCES = Sources(environment={}.get, read_file={}.get)
NEW_KEYS = {
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
KINDS = sorted(NEW_KEYS)
SANS = [
    x509.DNSName("*.example.com"),
    x509.RFC822Name("ca@example.com"),
    x509.IPAddress(ip_address("10.1.2.3")),
    x509.IPAddress(ip_address("2001:db8::1")),
    x509.UniformResourceIdentifier("spiffe://example.com/web"),
]
BITS = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]
_keys: dict[tuple[str, str], PrivateKey] = {}


def key_of(kind: str, use: str = "leaf") -> PrivateKey:
    """Return the key of this kind and use; made once for all tests, because RSA is slow to make."""
    if (kind, use) not in _keys:
        _keys[kind, use] = NEW_KEYS[kind]()
    return _keys[kind, use]


@dataclass
class KeyInMemory:
    """A key source that signs at once, or refuses with `error`."""

    key: PrivateKey
    error: Exception | None = None
    seen: list[Prepared] = field(default_factory=list)

    async def sign(self, prepared: Prepared) -> bytes:
        self.seen.append(prepared)
        if self.error:
            raise self.error
        return sign(self.key, prepared.tbs)


def ca_pem(
    key: PrivateKey,
    *,
    not_before: datetime = NOW - timedelta(days=1),
    days: int = 3650,
    path_length: int | None = None,
    ca: bool = True,
) -> str:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Test CA"),
        ]
    )
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(not_before)
        .not_valid_after(not_before + timedelta(days=days))
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, signature_algorithm(key.public_key()).hash)
    return certificate.public_bytes(Encoding.PEM).decode()


def make_csr_pem(
    key: PrivateKey,
    subject: list[tuple[str, str]] | None = None,
    sans: list[x509.GeneralName] | None = None,
    *extensions: x509.ExtensionType,
    digest: hashes.HashAlgorithm | None = None,
) -> str:
    if subject is None:
        subject = [("CN", "www.example.com"), ("O", "Acme")]
    if sans is None:
        sans = [x509.DNSName("www.example.com")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are too long on purpose
        name = x509.Name(
            [x509.NameAttribute(_OIDS[short], value, _validate=False) for short, value in subject]
        )
    builder = x509.CertificateSigningRequestBuilder(name)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    request = builder.sign(key, digest or signature_algorithm(key.public_key()).hash)
    return request.public_bytes(Encoding.PEM).decode()


_OIDS = {
    "CN": NameOID.COMMON_NAME,
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "EMAIL": NameOID.EMAIL_ADDRESS,
    "UID": NameOID.USER_ID,
    "DC": NameOID.DOMAIN_COMPONENT,
    "STREET": NameOID.STREET_ADDRESS,
}


def policy_of(value: object) -> Policy:
    return parse_policy(json.dumps(value).encode(), NO_SOURCES)


def authority_of(keys: KeyInMemory, policy: object = None, *, now: datetime = NOW, ca: str = "") -> Authority:
    return make_authority(
        policy_of(policy or POLICY),
        ca or ca_pem(keys.key),
        keys,
        clock=lambda: now,
        random=lambda size: bytes(range(1, size + 1)),
    )


GOOD = make_csr_pem(key_of("P-256"))


def csr_refusal(pem: str) -> tuple[int, str]:
    with pytest.raises(CfsslError) as refused:
        parse_csr(pem)
    return refused.value.number, refused.value.detail


def pem_of(label: str, data: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(data).decode()}-----END {label}-----\n"


def der_of(pem: str) -> bytes:
    return x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)


SERIAL = 0x1234567890
USAGES = ["digital signature", "key encipherment", "key agreement", "server auth", "client auth"]


def template_of(profile: dict, ca_kind: str = "P-256", **ca):
    policy = policy_of({"signing": {"default": {"expiry": "720h", "usages": USAGES} | profile}})
    issuer = parse_issuer(ca_pem(key_of(ca_kind), **ca))
    return templates(issuer, policy)["default"]


def issue(template, csr: Csr, ca_kind: str = "P-256", now: datetime = NOW) -> x509.Certificate:
    prepared = prepare(template, csr, now=now, serial=SERIAL)
    signature = sign(key_of(ca_kind), prepared.tbs)
    return x509.load_pem_x509_certificate(certificate_pem(prepared, signature).encode())


def issued(profile: dict | None = None, pem: str = "", **ca) -> x509.Certificate:
    return issue(template_of(profile or {}, **ca), parse_csr(pem or make_csr_pem(key_of("P-256"))))


def refusal(profile: dict, pem: str) -> tuple[int, str]:
    with pytest.raises(CfsslError) as refused:
        issued(profile, pem)
    return refused.value.number, refused.value.detail
