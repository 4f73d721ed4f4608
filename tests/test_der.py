"""What is read from a request by hand is what another parser reads, whatever is in it."""

import contextlib

import pytest
from ca_in_memory import SANS, csr_refusal, key_of, make_csr_pem, pem_of
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from signer import der
from signer.algorithms import sign, signature_algorithm
from signer.csr import parse_csr
from signer.errors import CfsslError
from signer.names import (
    COMMON_NAME,
    encode_sans,
    encode_subject,
    parse_hosts,
)

EVERY_WISH = make_csr_pem(
    key_of("P-256"), [("CN", "a"), ("O", "å")], SANS, x509.BasicConstraints(False, None)
)


EXTENSION_REQUEST = der.identifier("1.2.840.113549.1.9.14")


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


@pytest.mark.parametrize(
    "extensions",
    [
        [der.extension("2.5.29.17", encode_sans(parse_hosts(["a.example"])))] * 2,
        [der.extension("2.5.29.17", b"")],
        [der.extension("2.5.29.17", der.sequence() + b"\x00")],
        [der.extension("2.5.29.17", der.set_of())],
        [der.extension("2.5.29.19", b"\x01\x01\xff")],
        [der.sequence(der.identifier("2.5.29.17"))],
        [der.sequence(der.identifier("2.5.29.17"), der.TRUE)],
        [],
        [b"\x30\x84\xff\xff\xff\xff"],
        [b"\x30\x80\x00\x00"],
    ],
)
def test_extensions_that_are_repeated_or_malformed_are_9003(extensions):
    key = key_of("P-256").public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    values = der.set_of(der.sequence(*extensions)) if extensions else der.set_of()
    wish = der.tlv(0xA0, der.sequence(EXTENSION_REQUEST, values))
    info = der.sequence(der.integer(0), encode_subject({COMMON_NAME: ("a",)}), spki, wish)
    assert csr_refusal(pem_of("CERTIFICATE REQUEST", signed_again(info)))[0] == 9003


@given(data=st.binary(max_size=40) | st.binary(max_size=6).map(lambda tail: b"\x30" + tail))
def test_a_der_reader_returns_what_it_was_given_or_refuses(data):
    with contextlib.suppress(ValueError):
        whole, content, rest = der.split(data)
        assert whole + rest == data
        assert der.tlv(data[0], content) == whole
