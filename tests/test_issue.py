import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from ca_in_memory import (
    BITS,
    GOOD,
    NOW,
    SANS,
    SERIAL,
    ca_pem,
    issue,
    issued,
    key_of,
    make_csr_pem,
    policy_of,
    refusal,
    template_of,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from custodian.errors import BadInput
from signer.csr import parse_csr
from signer.errors import CfsslError
from signer.issue import prepare, serial_number, templates
from signer.issuer import parse_issuer

WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 (weak on purpose)


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


def test_a_ca_about_to_expire_signs_nothing_that_would_end_before_it_begins():
    template = template_of({"backdate": "1s"}, days=1)  # until 12:00:20
    csr = parse_csr(make_csr_pem(key_of("P-256")))
    assert issue(template, csr, now=NOW - timedelta(seconds=5))
    late = template_of({"backdate": "1s"}, not_before=NOW + timedelta(seconds=15, days=-1), days=1)
    with pytest.raises(CfsslError, match="expired"):
        issue(late, csr, now=NOW + timedelta(seconds=12))


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


@pytest.mark.parametrize(
    "names",
    [[f"x{i}.example.com" for i in range(101)], [f"{'a' * 60}.{'b' * 60}.{i}.example" for i in range(80)]],
)
def test_more_names_than_the_history_should_carry_are_refused(names):
    csr = parse_csr(make_csr_pem(key_of("P-256"), None, [x509.DNSName(name) for name in names]))
    with pytest.raises(CfsslError, match="more than 100 names"):
        prepare(template_of({}), csr, now=NOW, serial=SERIAL)
