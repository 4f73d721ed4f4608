import base64
import contextlib
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from ca_in_memory import NEW_KEYS, NOW, ca_pem, key_of, make_csr_pem, policy_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from custodian.errors import BadInput, CustodianError
from signer import der
from signer.algorithms import sign, signature_algorithm
from signer.csr import Csr, make_csr, parse_csr
from signer.errors import CfsslError
from signer.issue import certificate_pem, prepare, serial_number, templates
from signer.issuer import parse_issuer
from signer.names import (
    COMMON_NAME,
    EMAIL_ADDRESS,
    FIELDS,
    SERIAL_NUMBER,
    encode_subject,
    parse_host,
    parse_hosts,
    subject_of,
)
from signer.newkey import KeyKind, csr_for, generate

SERIAL = 0x1234567890
KINDS = sorted(NEW_KEYS)
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


# The oracle: the same certificate by cryptography's own builder.

ABLE = {
    "RSA": {"digital_signature", "key_encipherment"},
    "P": {"digital_signature", "key_agreement"},
    "Ed": {"digital_signature"},
}
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
SANS = [
    x509.DNSName("*.example.com"),
    x509.RFC822Name("ca@example.com"),
    x509.IPAddress(ip_address("10.1.2.3")),
    x509.IPAddress(ip_address("2001:db8::1")),
    x509.UniformResourceIdentifier("spiffe://example.com/web"),
]


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


# What the certificate says.


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("RSA-2048", hashes.SHA256),
        ("RSA-3072", hashes.SHA384),
        ("RSA-4096", hashes.SHA512),
        ("P-256", hashes.SHA256),
        ("P-384", hashes.SHA384),
        ("P-521", hashes.SHA512),
        ("Ed25519", type(None)),
    ],
)
def test_the_hash_follows_from_the_ca_key(kind, digest):
    algorithm = parse_issuer(ca_pem(key_of(kind))).algorithm
    assert isinstance(algorithm.hash, digest)


def test_the_first_instant_is_rounded_to_the_minute_and_backdated():
    csr = parse_csr(make_csr_pem(key_of("P-256")))
    for second, minute in [(0, 55), (29, 55), (30, 56), (59, 56)]:
        certificate = issue(template_of({}), csr, now=NOW.replace(second=second))
        assert certificate.not_valid_before_utc == NOW.replace(hour=11, minute=minute, second=0)
    hour = issue(template_of({"backdate": "1h"}), csr, now=NOW)
    assert hour.not_valid_before_utc == NOW.replace(hour=11, minute=0, second=0)


def test_no_certificate_outlives_the_ca():
    certificate = issued({"expiry": "87600h"}, days=90)
    assert certificate.not_valid_after_utc == NOW - timedelta(days=1) + timedelta(days=90)


def test_years_from_2050_are_written_with_four_digits():
    certificate = issued({"expiry": "876000h"}, days=40000)
    assert certificate.not_valid_after_utc.year == 2126
    assert b"\x18\x0f2126" in certificate.tbs_certificate_bytes


@pytest.mark.parametrize("now", [NOW - timedelta(days=2), NOW + timedelta(days=3651)])
def test_an_expired_or_future_ca_signs_nothing(now):
    with pytest.raises(CfsslError, match="expired or not yet valid") as refused:
        issue(template_of({}), parse_csr(make_csr_pem(key_of("P-256"))), now=now)
    assert refused.value.number == 1211


def test_a_serial_number_is_159_random_bits():
    assert serial_number(b"\xff" * 20) == 2**159 - 1
    assert serial_number(b"\x80" + b"\x00" * 19) == 1
    assert serial_number(bytes(19) + b"\x07") == 7
    with pytest.raises(ValueError, match="20 random bytes"):
        serial_number(b"\x01" * 16)


def test_a_prepared_certificate_tells_what_owners_and_the_history_need():
    csr = parse_csr(make_csr_pem(key_of("P-256"), [("CN", "web")], SANS))
    prepared = prepare(template_of({}), csr, now=NOW, serial=SERIAL)
    assert prepared.common_name == "web"
    assert prepared.names == (
        "*.example.com",
        "ca@example.com",
        "10.1.2.3",
        "2001:db8::1",
        "spiffe://example.com/web",
    )
    assert (prepared.profile, prepared.serial, prepared.is_ca) == ("default", SERIAL, False)
    assert prepared.not_after - prepared.not_before == timedelta(hours=720)


def test_usages_that_the_key_cannot_serve_are_left_out():
    usage = issued().extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_agreement
    assert not usage.key_encipherment


def test_a_profile_with_no_usage_left_signs_nothing():
    number, detail = refusal({"usages": []}, make_csr_pem(key_of("P-256")))
    assert (number, detail) == (5100, "Invalid policy: no key usage available")
    only_rsa = {"usages": ["key encipherment"]}
    assert refusal(only_rsa, make_csr_pem(key_of("P-256")))[0] == 5100
    assert issued(only_rsa, make_csr_pem(key_of("RSA-2048")))


def test_time_stamping_alone_is_critical():
    one = issued({"usages": ["signing", "timestamping"]})
    two = issued({"usages": ["signing", "timestamping", "client auth"]})
    assert one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).critical
    assert not two.extensions.get_extension_for_class(x509.ExtendedKeyUsage).critical


CA_PROFILE = {"usages": ["cert sign", "crl sign"], "ca_constraint": {"is_ca": True}}


def path_length(certificate: x509.Certificate) -> int | None:
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca
    return constraints.path_length


def test_a_ca_profile_makes_cas_without_names_of_hosts():
    certificate = issued(CA_PROFILE, make_csr_pem(key_of("P-256"), None, SANS))
    assert path_length(certificate) is None
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    ("constraint", "ca_length", "length"),
    [
        ({}, None, None),
        ({}, 2, 1),
        ({"max_path_len": 3}, None, 3),
        ({"max_path_len": 3}, 2, 1),
        ({"max_path_len_zero": True}, None, 0),
        ({"max_path_len_zero": True}, 2, 0),
        ({"max_path_len_zero": True}, 1, 0),
    ],
)
def test_the_path_below_a_new_ca_is_shorter_than_below_this_one(constraint, ca_length, length):
    profile = CA_PROFILE | {"ca_constraint": {"is_ca": True} | constraint}
    assert path_length(issued(profile, path_length=ca_length)) == length


def test_a_ca_that_may_have_no_cas_below_refuses_such_a_profile_at_start():
    with pytest.raises(BadInput, match="path length forbids it"):
        template_of(CA_PROFILE, path_length=0)


def test_a_csr_cannot_make_itself_a_ca():
    wish = x509.BasicConstraints(ca=True, path_length=None)
    pem = make_csr_pem(key_of("P-256"), None, None, wish)
    assert refusal({}, pem) == (5300, "Policy violation request")
    assert issued(CA_PROFILE, pem)


def test_extensions_of_the_csr_do_not_reach_the_certificate():
    wishes = (
        x509.KeyUsage(**{bit: bit in {"key_cert_sign", "crl_sign"} for bit in BITS}),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
        x509.OCSPNoCheck(),
        x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.44363.44"), b"\x05\x00"),
    )
    wishful = issued({}, make_csr_pem(key_of("P-256"), None, None, *wishes))
    assert wishful.tbs_certificate_bytes == issued().tbs_certificate_bytes


def test_a_certificate_without_any_name_is_refused():
    assert refusal({}, make_csr_pem(key_of("P-256"), [], []))[0] == 5300
    certificate = issued({}, make_csr_pem(key_of("P-256"), [], [x509.DNSName("a.example")]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical


def test_a_ca_certificate_needs_a_subject():
    assert refusal(CA_PROFILE, make_csr_pem(key_of("P-256"), []))[0] == 5300


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("evil.com"),
        x509.IPAddress(ip_address("10.1.2.3")),
        x509.RFC822Name("a@evil.com"),
        x509.UniformResourceIdentifier("https://evil.com/"),
    ],
)
def test_every_kind_of_name_is_held_against_the_whitelist(name):
    profile = {"name_whitelist": r"\.example\.com$"}
    good = x509.DNSName("www.example.com")
    assert issued(profile, make_csr_pem(key_of("P-256"), None, [good]))
    number, detail = refusal(profile, make_csr_pem(key_of("P-256"), None, [good, name]))
    assert (number, detail) == (5500, "Request does not match policy whitelist")


def test_the_common_name_is_held_against_the_whitelist():
    profile = {"name_whitelist": r"\.example\.com$"}
    assert refusal(profile, make_csr_pem(key_of("P-256"), [("CN", "evil.com")]))[0] == 5500
    assert issued(profile, make_csr_pem(key_of("P-256"), [("O", "Acme")]))


# Subjects.


def written(subject: list[tuple[str, str]]) -> str:
    return issued({}, make_csr_pem(key_of("P-256"), subject)).subject.rfc4514_string({})


def test_a_subject_is_written_in_the_order_of_go():
    attributes = ["EMAIL", "UID", "CN", "OU", "O", "STREET", "L", "ST"]
    subject = [*((name, f"{name.lower()}@x.example") for name in attributes), ("C", "SE")]
    written = issued({}, make_csr_pem(key_of("P-256"), subject)).subject
    assert [attribute.oid.dotted_string for attribute in written] == [
        "2.5.4.6",
        "2.5.4.8",
        "2.5.4.7",
        "2.5.4.9",
        "2.5.4.10",
        "2.5.4.11",
        "2.5.4.3",
        "1.2.840.113549.1.9.1",
        "0.9.2342.19200300.100.1.1",
    ]


def test_several_values_share_one_rdn_but_the_last_common_name_wins():
    assert written([("CN", "one"), ("OU", "b"), ("CN", "two"), ("OU", "a"), ("OU", "b")]) == (
        "CN=two,OU=a+OU=b"
    )


def test_an_override_takes_what_it_leaves_out_from_the_csr():
    csr = parse_csr(make_csr_pem(key_of("P-256"), [("CN", "x"), ("O", "Acme"), ("UID", "7")]))
    wanted = {COMMON_NAME: ("other",)}
    certificate = issue(template_of({}), csr.override(hosts=None, subject=wanted))
    assert certificate.subject.rfc4514_string() == "CN=other,O=Acme"


def test_hosts_override_the_names_of_the_csr():
    csr = parse_csr(make_csr_pem(key_of("P-256")))
    template = template_of({})
    cleared = csr.override(hosts=(), subject=None)
    named = csr.override(hosts=parse_hosts(["10.0.0.1", "b.example", "b.example"]), subject=None)
    assert prepare(template, cleared, now=NOW, serial=1).names == ()
    assert prepare(template, named, now=NOW, serial=1).names == ("10.0.0.1", "b.example")


@pytest.mark.parametrize(
    ("subject", "at"),
    [
        ([("CN", "a" * 65)], "subject CN: is longer than 64"),
        ([("O", "a" * 65)], "subject O: is longer than 64"),
        ([("CN", "a\x00b")], "subject CN: holds a character"),
        ([("CN", "a\nb")], "subject CN: holds a character"),
        ([("CN", "a\u202eb")], "subject CN: holds a character"),
        ([("UID", "a" * 257)], "subject attribute: is longer"),
    ],
)
def test_junk_in_a_subject_is_refused(subject, at):
    number, detail = refusal({}, make_csr_pem(key_of("P-256"), subject))
    assert number == 9300
    assert detail.startswith(at)


@pytest.mark.parametrize(
    ("short", "value"),
    [("C", "USA"), ("C", "S1"), ("C", "åå"), ("serialnumber", "a_b"), ("E", "å@example.com")],
)
def test_attributes_of_one_fixed_form_take_no_other(short, value):
    identifier = FIELDS.get(short) or {"E": EMAIL_ADDRESS}.get(short, SERIAL_NUMBER)
    with pytest.raises(CfsslError, match=r"^subject ") as refused:
        encode_subject({identifier: (value,)})
    assert refused.value.number == 9300


@pytest.mark.parametrize(
    ("tag", "value", "accepted"),
    [(0x0C, "å".encode(), True), (0x1E, "å".encode("utf-16-be"), True), (0x14, b"x", False)],
)
def test_the_text_of_a_subject_may_be_in_the_encodings_of_unicode(tag, value, accepted):
    attribute = der.sequence(COMMON_NAME, der.tlv(tag, value))
    name = der.sequence(der.set_of(attribute))
    if accepted:
        assert subject_of(name) == {COMMON_NAME: ("å",)}
    else:
        with pytest.raises(CfsslError, match="is not text"):
            subject_of(name)


# Names of hosts.


@pytest.mark.parametrize(
    ("host", "tag"),
    [
        ("example.com", 0x82),
        ("localhost", 0x82),
        ("*.example.com", 0x82),
        ("xn--mnchen-3ya.de", 0x82),
        ("1.example", 0x82),
        ("a" * 63 + ".example", 0x82),
        ("10.1.2.3", 0x87),
        ("2001:db8::1", 0x87),
        ("bob@example.com", 0x81),
        ("https://example.com/path", 0x86),
        ("spiffe://example.com/web", 0x86),
        ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 0x86),
    ],
)
def test_a_host_is_told_apart(host, tag):
    san = parse_host(host, "hosts[0]")
    assert (san.tag, san.text) == (tag, host)


def test_an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address():
    assert parse_host("::ffff:10.1.2.3", "hosts[0]") == parse_host("10.1.2.3", "hosts[0]")


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        " spaced.com",
        "a..b",
        ".a",
        "a.",
        "a b",
        "-a.example",
        "a-.example",
        "a" * 64 + ".example",
        ".".join(["a" * 50] * 6),
        "foo_bar.example",
        "*",
        "*.*.com",
        "a.*.com",
        "w*.example.com",
        "10.0.0.0/8",
        "10.0.0.256",
        "10.0.0",
        "010.0.0.1",
        "fe80::1%eth0",
        "localhost:8080",
        "/abs/path",
        "//x/y",
        "https://",
        "https:///path",
        "https://a b/",
        "https://user@host/",
        "Bob <bob@example.com>",
        "@example.com",
        "bob@",
        "bob@*.example.com",
        "bob@exa mple.com",
        "a@b@c",
        "münchen.de",
        "https://münchen.de/",
        "example.com\n",
        "example.com\x00",
        "a\u0131.example",
        "\uff41.example",
        "\u0661.example",
    ],
)
def test_junk_is_not_the_name_of_a_host(host):
    with pytest.raises(CfsslError) as refused:
        parse_hosts(["ok.example", host])
    assert refused.value.number == 9300
    assert "hosts[1]" in refused.value.detail or "zone" in refused.value.detail


def test_an_international_name_is_answered_with_how_to_write_it():
    with pytest.raises(CfsslError, match="xn--"):
        parse_hosts(["münchen.de"])


# CSRs.


def csr_refusal(pem: str) -> tuple[int, str]:
    with pytest.raises(CfsslError) as refused:
        parse_csr(pem)
    return refused.value.number, refused.value.detail


def pem_of(label: str, data: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(data).decode()}-----END {label}-----\n"


def der_of(pem: str) -> bytes:
    return x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)


WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 (weak on purpose)
GOOD = make_csr_pem(key_of("P-256"))


@pytest.mark.parametrize(
    "pem",
    [
        GOOD,
        GOOD.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
        GOOD.replace("\n", "\r\n"),
        "Subject: somebody\n\n" + GOOD,
        GOOD + make_csr_pem(key_of("Ed25519")),
        GOOD.rstrip("\n"),
    ],
)
def test_a_csr_may_be_written_in_the_usual_ways(pem):
    assert parse_csr(pem) == parse_csr(GOOD)


@pytest.mark.parametrize(
    "pem",
    ["", "x", GOOD[:100], GOOD.replace("END", "ENDE"), pem_of("A", b"")[:-4], "\ud800", GOOD[27:]],
)
def test_what_is_not_pem_is_9002(pem):
    assert csr_refusal(pem) == (9002, "CSR Decode failed")


def test_bad_base64_inside_the_block_is_9002():
    assert csr_refusal(GOOD.replace("MI", "M!", 1))[0] == 9002


def test_another_pem_block_is_not_a_csr():
    assert csr_refusal(ca_pem(key_of("P-256"))) == (9300, "not a csr")


@pytest.mark.parametrize("tail", [b"\x00", b"\x30\x00", b"trailing"])
def test_bytes_after_the_request_are_refused(tail):
    assert csr_refusal(pem_of("CERTIFICATE REQUEST", der_of(GOOD) + tail))[0] == 9003


def test_a_request_cut_short_is_refused():
    data = der_of(GOOD)
    for size in range(0, len(data), 7):
        assert csr_refusal(pem_of("CERTIFICATE REQUEST", data[:size]))[0] in {9002, 9003}


@settings(deadline=None, max_examples=300)
@given(bit=st.integers(0, len(der_of(GOOD)) * 8 - 1))
def test_no_bit_of_a_request_can_be_flipped(bit):
    data = bytearray(der_of(GOOD))
    data[bit // 8] ^= 1 << bit % 8
    assert csr_refusal(pem_of("CERTIFICATE REQUEST", bytes(data)))[0] in {9003, 9300}


def test_a_signature_by_another_key_is_refused():
    data = der_of(GOOD)
    other = der_of(make_csr_pem(key_of("P-256", "other")))
    spki = data.index(b"\x30\x59\x30\x13")
    stolen = data[:spki] + other[spki : spki + 91] + data[spki + 91 :]
    number, detail = csr_refusal(pem_of("CERTIFICATE REQUEST", stolen))
    assert (number, detail) == (9300, "the CSR is not signed by the key it holds")


def by_openssl(*arguments: str) -> str:
    """Make a CSR that cryptography refuses to make."""
    command = ["openssl", "req", "-new", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x"]
    try:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this openssl is missing or cannot make such a CSR")
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["-newkey", "rsa:1024"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp224r1"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
        ["-newkey", "ed448"],
        ["-newkey", "rsa:2048", "-sha1"],
        ["-newkey", "rsa:2048", "-md5"],
        ["-newkey", "rsa:2048", "-sha224"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha1"],
        ["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss"],
        ["-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
    ],
)
def test_weak_and_odd_keys_and_signatures_are_refused(arguments):
    assert csr_refusal(by_openssl(*arguments))[0] in {9003, 9300}


def test_a_curve_that_is_spelled_out_is_written_by_its_name():
    explicit = "ec_param_enc:explicit"
    pem = by_openssl("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", explicit)
    assert len(parse_csr(pem).public_key) == len(parse_csr(GOOD).public_key)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP224R1()),
        ed448.Ed448PrivateKey.generate(),
        WEAK,
    ],
    ids=["P-224", "Ed448", "RSA-1024"],
)
def test_keys_of_other_kinds_are_refused_before_their_signature_is_checked(key):
    digest = None if isinstance(key, ed448.Ed448PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    pem = builder.sign(key, digest).public_bytes(Encoding.PEM).decode()
    assert csr_refusal(pem)[0] == 9300
    assert "the key must be RSA of 2048 to 8192 bits" in csr_refusal(pem)[1]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (x509.DNSName("a..b"), 9300),
        (x509.DNSName(""), 9300),
        (x509.DNSName("10.0.0.0/8"), 9300),
        (x509.DNSName("foo_bar"), 9300),
        (x509.RFC822Name("nobody"), 9300),
        (x509.UniformResourceIdentifier("/abs/path"), 9300),
        (x509.IPAddress(ip_network("10.0.0.0/8")), 9300),
    ],
)
def test_junk_among_the_alternative_names_is_refused(name, number):
    got, detail = csr_refusal(make_csr_pem(key_of("P-256"), None, [x509.DNSName("a.example"), name]))
    assert got == number
    assert "SAN 2" in detail


def test_alternative_names_of_other_kinds_are_left_out():
    names = [x509.RegisteredID(ObjectIdentifier("1.2.3")), x509.DNSName("a.example")]
    csr = parse_csr(make_csr_pem(key_of("P-256"), None, names))
    assert [san.text for san in csr.sans] == ["a.example"]


def test_extensions_that_cannot_be_read_are_9003():
    junk = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), b"\x30\x05junk")
    assert csr_refusal(make_csr_pem(key_of("P-256"), None, [], junk))[0] == 9003


@settings(deadline=None, max_examples=300)
@given(
    position=st.integers(0, len(GOOD) - 1),
    junk=st.text(max_size=3) | st.sampled_from(["-----", "\n", "\ud800", "A" * 70]),
)
def test_a_mangled_request_is_refused_or_the_same(position, junk):
    with contextlib.suppress(CustodianError):
        assert parse_csr(GOOD[:position] + junk + GOOD[position + len(junk) :]) == parse_csr(GOOD)


EVERY_WISH = make_csr_pem(
    key_of("P-256"), [("CN", "a"), ("O", "å")], SANS, x509.BasicConstraints(False, None)
)


def signed_again(info: bytes) -> bytes:
    """Return a CSR with a good signature over whatever `info` is."""
    key = key_of("P-256")
    algorithm = signature_algorithm(key.public_key()).encoded
    return der.sequence(info, algorithm, der.bit_string(sign(key, info)))


def by_cryptography(data: bytes) -> tuple[list[str], list[str], bool]:
    """Return subject values, alternative names and the wish to be a CA, read by another parser."""
    request = x509.load_der_x509_csr(data)
    extensions = {extension.oid: extension.value for extension in request.extensions}
    sans = extensions.get(x509.SubjectAlternativeName.oid, [])
    constraints = extensions.get(x509.BasicConstraints.oid)
    return (
        sorted(str(attribute.value) for attribute in request.subject),
        sorted(str(name.value) for name in sans),
        bool(constraints and constraints.ca),
    )


@settings(deadline=None, max_examples=500)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_signed_request_with_junk_inside_is_refused_or_read_as_others_read_it(data):
    info = bytearray(x509.load_pem_x509_csr(EVERY_WISH.encode()).tbs_certrequest_bytes)
    for _ in range(data.draw(st.integers(1, 2))):
        info[data.draw(st.integers(0, len(info) - 1))] = data.draw(st.integers(0, 255))
    request = signed_again(bytes(info))
    try:
        csr = parse_csr(pem_of("CERTIFICATE REQUEST", request))
        subject, sans, wants_ca = by_cryptography(request)
    except CfsslError:
        return
    except (ValueError, x509.UnsupportedGeneralNameType):
        return  # the other parser also judges what is not read here
    assert sorted(value for values in csr.subject.values() for value in values) == subject
    assert sorted(san.text for san in csr.sans) == sans
    assert csr.wants_ca == wants_ca


@given(data=st.binary(max_size=40) | st.binary(max_size=6).map(lambda tail: b"\x30" + tail))
def test_a_der_reader_returns_what_it_was_given_or_refuses(data):
    with contextlib.suppress(ValueError):
        whole, content, rest = der.split(data)
        assert whole + rest == data
        assert der.tlv(data[0], content) == whole


# Keys that are made here.


@pytest.mark.parametrize("kind", KINDS)
def test_a_csr_made_here_parses_to_what_it_was_made_from(kind):
    sans = parse_hosts(["a.example", "bob@a.example", "10.1.2.3", "https://a.example/"])
    subject = {COMMON_NAME: ("å",)}
    data = make_csr(key_of(kind), subject, sans)
    assert parse_csr(pem_of("CERTIFICATE REQUEST", data)) == csr_for(key_of(kind), subject, sans)


def test_keys_are_made_as_asked():
    assert generate(KeyKind("rsa", 2048)).key_size == 2048
    assert generate(KeyKind("ecdsa", 521)).curve.name == "secp521r1"
    assert generate(KeyKind("ed25519", 0)).private_bytes_raw()


# The CA's certificate.


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        ("", "is not one PEM certificate"),
        ("é", "is not one PEM certificate"),
        (GOOD, "is not one PEM certificate"),
        (ca_pem(key_of("P-256"), ca=False), "may not sign certificates"),
        (ca_pem(WEAK), "not supported"),
    ],
    ids=["empty", "not ascii", "a csr", "a leaf", "a weak key"],
)
def test_a_certificate_that_cannot_issue_is_refused_at_start(pem, reason):
    with pytest.raises(BadInput, match=reason):
        parse_issuer(pem)


def test_openssl_believes_the_chain(tmp_path):
    (tmp_path / "ca.pem").write_text(ca_pem(key_of("RSA-2048"), not_before=datetime.now(UTC)))
    issuer = parse_issuer((tmp_path / "ca.pem").read_text())
    policy = policy_of({"signing": {"default": {"expiry": "1h", "usages": ["server auth"]}}})
    template = templates(issuer, policy)["default"]
    leaf = issue(template, parse_csr(GOOD), "RSA-2048", now=datetime.now(UTC))
    (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem"]
    try:
        done = subprocess.run([*command, "leaf.pem"], cwd=tmp_path, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    assert done.returncode == 0, done.stderr
