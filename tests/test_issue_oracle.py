"""The same certificate by `cryptography`'s own builder, byte for byte."""

from datetime import UTC, datetime, timedelta

import pytest
from ca_in_memory import BITS, KINDS, SANS, SERIAL, ca_pem, issue, key_of, make_csr_pem, template_of
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.algorithms import signature_algorithm
from signer.csr import parse_csr

ABLE = {
    "RSA": {"digital_signature", "key_encipherment"},
    "P": {"digital_signature", "key_agreement"},
    "Ed": {"digital_signature"},
}


def by_the_builder(ca_kind, leaf_kind, *, subject, sans, profile) -> bytes:
    ca, leaf = key_of(ca_kind), key_of(leaf_kind).public_key()
    parent = x509.load_pem_x509_certificate(ca_pem(ca).encode())
    start = datetime(2026, 11, 23, 11, 55, tzinfo=UTC)
    able = ABLE["".join(c for c in leaf_kind.partition("-")[0] if c.isalpha())[:3]]
    builder = x509.CertificateBuilder(
        parent.subject, subject, leaf, SERIAL, start, start + timedelta(hours=720)
    )
    usage = x509.KeyUsage(**{bit: bit in able for bit in BITS})
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        builder.add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), critical=False)
    )
    uri = x509.UniformResourceIdentifier
    if "ocsp_url" in profile:
        access = x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.OCSP, uri(profile["ocsp_url"])),
                *(
                    x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, uri(url))
                    for url in profile["issuer_urls"]
                ),
            ]
        )
        builder = builder.add_extension(access, critical=False)
    if sans:
        names = x509.SubjectAlternativeName(sans)
        builder = builder.add_extension(names, critical=not list(subject))
    if "crl_url" in profile:
        point = x509.DistributionPoint([uri(profile["crl_url"])], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    if profile.get("ocsp_no_check"):
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    return builder.sign(ca, signature_algorithm(ca.public_key()).hash).tbs_certificate_bytes


FULL = {
    "ocsp_url": "http://ocsp.example",
    "issuer_urls": ["http://ca.example/1.der", "http://ca.example/2.der"],
    "crl_url": "http://ca.example/crl",
    "ocsp_no_check": True,
}


@pytest.mark.parametrize("leaf_kind", KINDS)
@pytest.mark.parametrize("ca_kind", KINDS)
def test_the_template_encodes_what_the_builder_encodes(ca_kind, leaf_kind):
    csr = parse_csr(make_csr_pem(key_of(leaf_kind), [("CN", "a*b")], SANS))
    ours = issue(template_of(FULL, ca_kind), csr, ca_kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a*b", _ASN1Type.UTF8String)])
    expected = by_the_builder(ca_kind, leaf_kind, subject=subject, sans=SANS, profile=FULL)
    assert ours.tbs_certificate_bytes == expected
    parent = x509.load_pem_x509_certificate(ca_pem(key_of(ca_kind)).encode())
    ours.verify_directly_issued_by(parent)


label = st.from_regex(r"[A-Za-z]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)
dns_name = st.lists(label, min_size=1, max_size=4).map(".".join)
san = st.one_of(
    dns_name.map(x509.DNSName),
    dns_name.map(lambda name: x509.DNSName("*." + name)),
    dns_name.map(lambda name: x509.RFC822Name("a.b+c@" + name)),
    st.ip_addresses().filter(lambda ip: not getattr(ip, "ipv4_mapped", None)).map(x509.IPAddress),
    dns_name.map(lambda name: x509.UniformResourceIdentifier(f"https://{name}/p?q=1")),
)
text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=16)
ORDER = {x509.DNSName: 0, x509.RFC822Name: 1, x509.IPAddress: 2, x509.UniformResourceIdentifier: 3}
PRINTABLE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 '()+,-./:=?")


def printable_or_utf8(oid, value):
    kind = _ASN1Type.PrintableString if set(value) <= PRINTABLE else _ASN1Type.UTF8String
    return x509.NameAttribute(oid, value, kind, _validate=False)


@settings(deadline=None, max_examples=150)
@given(
    sans=st.lists(san, max_size=6, unique_by=repr),
    cn=text,
    units=st.lists(text, max_size=3, unique=True),
    organization=st.none() | text,
)
def test_any_names_are_encoded_as_the_builder_encodes_them(sans, cn, units, organization):
    subject = [("CN", "dropped"), ("CN", cn), *(("OU", unit) for unit in units)]
    subject += [("O", organization)] if organization else []
    csr = parse_csr(make_csr_pem(key_of("P-256"), subject, sans))
    rdns = [[printable_or_utf8(NameOID.ORGANIZATION_NAME, organization)]] if organization else []
    rdns += [[printable_or_utf8(NameOID.ORGANIZATIONAL_UNIT_NAME, u) for u in units]] * bool(units)
    rdns += [[printable_or_utf8(NameOID.COMMON_NAME, cn)]]
    expected = by_the_builder(
        "P-256",
        "P-256",
        subject=x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns]),
        sans=sorted(sans, key=lambda name: ORDER[type(name)]),
        profile={},
    )
    assert issue(template_of({}), csr).tbs_certificate_bytes == expected
