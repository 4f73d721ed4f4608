import contextlib
import subprocess
from ipaddress import ip_network

import pytest
from ca_in_memory import GOOD, KINDS, ca_pem, csr_refusal, der_of, key_of, make_csr_pem, pem_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from custodian.errors import CustodianError
from signer.csr import make_csr, parse_csr
from signer.names import (
    COMMON_NAME,
    parse_hosts,
)
from signer.newkey import KeyKind, csr_for, generate

WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 (weak on purpose)


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
