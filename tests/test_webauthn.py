"""A passkey's assertion counts only if every word in it is about this challenge, this page, this person."""

import json

import pytest
from authenticators import FLAGS, SITE, Passkey
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256K1,
    SECP256R1,
    SECP384R1,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custodian.encoding import decode_base64, encode_base64
from custodian.errors import Forbidden, FormatError
from custodian.site import Site
from custodian.webauthn import Assertion, check_assertion, parse_key

CHALLENGE = bytes(range(32))
BE, BS, AT, ED = 8, 16, 64, 128
PASSKEY = Passkey()


def check(assertion, passkey=PASSKEY, challenge=CHALLENGE, site=SITE):
    check_assertion(assertion, parse_key(passkey.public, "public"), challenge, site)


def refused(assertion, kind=Forbidden, **where):
    with pytest.raises(kind) as error:
        check(assertion, **where)
    return error.value.detail


KEYS = {
    "ES256": lambda: generate_private_key(SECP256R1()),
    "EdDSA": Ed25519PrivateKey.generate,
    "RS256": lambda: generate_rsa(65537, 2048),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_a_passkey_asserts_is_believed(algorithm):
    passkey = Passkey(key=KEYS[algorithm]())
    check(passkey.answer(CHALLENGE), passkey)


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_another_passkey_asserts_is_not(algorithm):
    assertion = Passkey(key=KEYS[algorithm]()).answer(CHALLENGE)
    assert refused(assertion) == "the passkey did not sign this"


def test_an_assertion_of_another_challenge_is_refused():
    assert "agreed to something else" in refused(PASSKEY.answer(bytes(32)))


def test_a_challenge_in_another_spelling_is_refused():
    for spelling in ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", CHALLENGE.hex(), "", None, 7):
        assert "agreed to something else" in refused(PASSKEY.answer(CHALLENGE, challenge=spelling))


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://custodian.example.com:8443",
        "https://custodian.example.com/",
        "http://custodian.example.com",
        "https://CUSTODIAN.example.com",
        "https://custodian.example.com.evil.example",
        ["https://custodian.example.com"],
        None,
    ],
)
def test_an_assertion_on_a_page_of_another_origin_is_refused(origin):
    assert "another site" in refused(PASSKEY.answer(CHALLENGE, origin=origin))


@pytest.mark.parametrize("kind", ["webauthn.create", "payment.get", "", None, 1])
def test_an_assertion_of_another_type_is_refused(kind):
    assert "something else than an assertion" in refused(PASSKEY.answer(CHALLENGE, type=kind))


@pytest.mark.parametrize("said", [{"crossOrigin": True}, {"crossOrigin": "no"}, {"topOrigin": SITE.origin}])
def test_an_assertion_inside_a_frame_of_another_site_is_refused(said):
    assert "inside a page" in refused(PASSKEY.answer(CHALLENGE, **said))


def test_members_that_browsers_may_add_and_leave_out_do_not_matter():
    check(PASSKEY.answer(CHALLENGE, crossOrigin=None, other_keys_can_be_added_here="do not compare"))


def test_a_passkey_of_another_domain_is_refused():
    elsewhere = Passkey(Site(SITE.origin, "evil.example"), PASSKEY.key)
    assert refused(elsewhere.answer(CHALLENGE)) == "the passkey is for another site than this custodian's"


def test_where_there_is_no_domain_no_passkey_counts():
    nowhere = Site("https://10.0.0.1:8443", "")
    assert "another site" in refused(Passkey(nowhere, PASSKEY.key).answer(CHALLENGE), site=nowhere)


@pytest.mark.parametrize("flags", [0b000, 0b001, 0b100])
def test_nobody_there_or_nobody_known_is_refused(flags):
    assert "did not ask who is there" in refused(PASSKEY.answer(CHALLENGE, flags=flags))


@pytest.mark.parametrize("flags", [FLAGS | BE, FLAGS | BE | BS])
def test_a_passkey_that_is_backed_up_counts(flags):
    check(PASSKEY.answer(CHALLENGE, flags=flags))


@pytest.mark.parametrize(
    ("flags", "rest"),
    [(FLAGS | BS, b""), (FLAGS | AT, b""), (FLAGS | AT, bytes(18)), (FLAGS, b"x"), (FLAGS | ED, b"")],
)
def test_authenticator_data_that_contradicts_itself_is_refused(flags, rest):
    refused(PASSKEY.answer(CHALLENGE, flags=flags, rest=rest), FormatError)


def test_extensions_of_the_authenticator_are_let_be():
    """The PRF that opens a slot makes authenticators answer one, encrypted."""
    check(PASSKEY.answer(CHALLENGE, flags=FLAGS | ED, rest=b"\xa1khmac-secretX0" + bytes(48)))


def test_authenticator_data_that_is_cut_off_or_too_long_is_refused():
    made = PASSKEY.answer(CHALLENGE)
    for size in range(37):
        refused(PASSKEY.sign(made.authenticator_data[:size], made.client_data), FormatError)
    refused(PASSKEY.answer(CHALLENGE, flags=FLAGS | ED, rest=bytes(988)), FormatError)


@pytest.mark.parametrize(
    "client_data", [b"", b"x", b"[]", b"\xff", b'{"type":"webauthn.get","type":"webauthn.get"}', b"{" * 4000]
)
def test_client_data_that_is_not_an_object_is_refused(client_data):
    authenticator_data = PASSKEY.answer(CHALLENGE).authenticator_data
    refused(PASSKEY.sign(authenticator_data, client_data), FormatError)


def test_client_data_that_is_too_long_is_refused():
    refused(PASSKEY.answer(CHALLENGE, other="x" * 4096), FormatError)


def test_a_signature_that_is_too_long_or_none_is_refused():
    made = PASSKEY.answer(CHALLENGE)
    refused(Assertion(bytes(1025), made.authenticator_data, made.client_data), FormatError)
    refused(Assertion(b"", made.authenticator_data, made.client_data))


def test_every_bit_counts():
    made = PASSKEY.answer(CHALLENGE)
    parts = (made.signature, made.authenticator_data, made.client_data)
    for place, part in enumerate(parts):
        for bit in range(8 * len(part)):
            flipped = bytearray(part)
            flipped[bit // 8] ^= 1 << bit % 8
            changed = [bytes(flipped) if i == place else each for i, each in enumerate(parts)]
            with pytest.raises((Forbidden, FormatError)):
                check(Assertion(*changed))


def test_client_data_and_authenticator_data_of_two_assertions_do_not_mix():
    one, other = PASSKEY.answer(CHALLENGE), PASSKEY.answer(CHALLENGE, flags=FLAGS | BE)
    refused(Assertion(one.signature, other.authenticator_data, one.client_data))


# --- keys


def der(key):
    return Passkey(key=key).public


@pytest.mark.parametrize(
    "key",
    [
        generate_private_key(SECP384R1()),
        generate_private_key(SECP256K1()),
        generate_rsa(65537, 1024),  # noqa: S505 - that is the point
        X25519PrivateKey.generate(),
    ],
    ids=["P-384", "secp256k1", "RSA-1024", "X25519"],
)
def test_a_key_of_another_kind_or_too_weak_is_refused(key):
    with pytest.raises(FormatError):
        parse_key(der(key), "public")


def test_a_key_has_one_spelling():
    raw = decode_base64(PASSKEY.public, "public")
    point = PASSKEY.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = b"\x30\x39" + raw[2:23] + b"\x03\x22\x00" + point
    for spelled in (raw + b"\x00", raw[:-1], b"", compressed):
        with pytest.raises(FormatError):
            parse_key(encode_base64(spelled), "public")


def test_a_key_for_which_anyone_can_sign_is_refused():
    head = decode_base64(der(Ed25519PrivateKey.generate()), "public")[:12]
    with pytest.raises(FormatError, match="small order"):
        parse_key(encode_base64(head + bytes([1] + [0] * 31)), "public")


def test_the_json_of_the_test_is_that_of_browsers():
    """Chromium writes no spaces and these members in this order."""
    said = json.loads(PASSKEY.answer(CHALLENGE).client_data)
    assert list(said) == ["type", "challenge", "origin", "crossOrigin"]
