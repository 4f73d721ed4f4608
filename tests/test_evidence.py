"""Evidence: what each kind of credential signs, and that one agreement is never another."""

import hashlib

import pytest
from authenticators import SITE, Passkey, SshKeygen, device, device_credential, needs_ssh_keygen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from examples import terms

from custodian.devicekey import format_device_key, make_device_key, parse_device_key
from custodian.encoding import decode_base64, encode_base64
from custodian.errors import BadInput, Forbidden, FormatError
from custodian.events import Evidence
from custodian.evidence import (
    Credential,
    check,
    enrolled,
    parse_credential,
    slot_added,
    slot_removed,
)
from custodian.site import Site, default_site, parse_site

MESSAGE = bytes(terms())
DEVICE, PASSKEY = device(), Passkey()
OF_DEVICE, OF_PASSKEY = device_credential(DEVICE), PASSKEY.credential()


def refused(evidence, credential, message=MESSAGE, kind=Forbidden, site=SITE):
    with pytest.raises(kind) as error:
        check(evidence, credential, message, site)
    return error.value.detail


def test_a_device_key_signs_the_digest_behind_a_word_of_its_own():
    evidence = DEVICE.agree(MESSAGE, "device-laptop")
    check(evidence, OF_DEVICE, MESSAGE, SITE)
    signed = b"custodian/evidence/v1\x00" + hashlib.sha256(MESSAGE).digest()
    raw = decode_base64(DEVICE.public.removeprefix("ed25519:"), "public")
    public = Ed25519PrivateKey.from_private_bytes(DEVICE._derive("sign")).public_key()
    assert public.public_bytes_raw() == raw
    public.verify(decode_base64(evidence.signature, "signature"), signed)


def test_a_passkey_signs_the_digest_as_its_challenge():
    check(PASSKEY.agree(MESSAGE), OF_PASSKEY, MESSAGE, SITE)
    assert "another site" in refused(PASSKEY.agree(MESSAGE), OF_PASSKEY, site=Site("https://a.example", "a"))


@needs_ssh_keygen
def test_an_ssh_key_signs_the_digest_in_hex_as_one_line(tmp_path):
    keygen = SshKeygen(tmp_path, "ed25519")
    check(keygen.agree(MESSAGE), parse_credential(keygen.credential()), MESSAGE, SITE)
    for signed in (MESSAGE, hashlib.sha256(MESSAGE).digest(), hashlib.sha256(MESSAGE).hexdigest().encode()):
        wrong = Evidence(kind="ssh", credential="ssh-laptop", signature=encode_base64(keygen.sign(signed)))
        assert "did not sign" in refused(wrong, keygen.credential())
    line = f"{hashlib.sha256(MESSAGE).hexdigest()}\n".encode()
    wrong = Evidence(kind="ssh", credential="ssh-laptop", signature=encode_base64(keygen.sign(line, "file")))
    assert "another purpose" in refused(wrong, keygen.credential())


@pytest.mark.parametrize("bit", range(8))
def test_a_message_with_a_bit_changed_was_not_agreed_to(bit):
    other = bytes([MESSAGE[0] ^ 1 << bit]) + MESSAGE[1:]
    refused(DEVICE.agree(MESSAGE, "device-laptop"), OF_DEVICE, other)
    refused(PASSKEY.agree(MESSAGE), OF_PASSKEY, other)


def test_evidence_is_by_the_credential_that_it_names():
    refused(device("bob").agree(MESSAGE, "device-laptop"), OF_DEVICE)
    refused(DEVICE.agree(MESSAGE, "device-other"), OF_DEVICE)
    refused(PASSKEY.agree(MESSAGE, "device-laptop"), OF_DEVICE)
    refused(Evidence(kind="password"), OF_DEVICE)
    refused(Evidence(kind="password", credential="device-laptop"), OF_DEVICE)


def test_only_a_passkey_has_client_data():
    evidence = DEVICE.agree(MESSAGE, "device-laptop")
    for extra in ({"client_data": "AAAA"}, {"authenticator_data": "free text"}):
        refused(evidence.model_copy(update=extra), OF_DEVICE, kind=FormatError)


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64", encode_base64(bytes(64))])
def test_another_signature_is_refused(signature):
    evidence = DEVICE.agree(MESSAGE, "device-laptop").model_copy(update={"signature": signature})
    refused(evidence, OF_DEVICE, kind=(Forbidden, FormatError))


def test_what_is_agreed_to_begins_with_a_word_of_its_own():
    """Otherwise who enrols could have agreed to a delegation, who signs in to a new credential."""
    said = [
        bytes(terms()),
        b"custodian/session/v1 https://custodian.example.com 2026-11-23T12:00:00Z 00 00",
        enrolled("alice", "x25519:AAAA"),
        slot_added("alice", "AAAA", "device ed25519:AAAA"),
        slot_removed("alice", "device-laptop"),
    ]
    words = [b"custodian/terms/v1", b"custodian/session/v1", b"custodian/enrolment/v1"]
    words += [b"custodian/slot-added/v1", b"custodian/slot-removed/v1"]
    for message in said:
        assert [word in message for word in words].count(True) == 1


def test_what_is_agreed_to_about_slots_is_to_the_byte():
    assert enrolled("alice", "x25519:AA==") == b"custodian/enrolment/v1\x00alice\x00x25519:AA=="
    assert slot_removed("alice", "passkey-1") == b"custodian/slot-removed/v1\x00alice\x00passkey-1"
    assert slot_added("alice", "e30=", "passkey AA==") == (
        b'{"credential":"passkey AA==","owner":"alice","slot":"e30=","type":"custodian/slot-added/v1"}'
    )


# --- credentials


def test_a_credential_keeps_one_spelling_of_its_key():
    assert parse_credential(OF_DEVICE) == OF_DEVICE
    assert parse_credential(OF_PASSKEY) == OF_PASSKEY


@needs_ssh_keygen
def test_an_ssh_credential_loses_its_comment(tmp_path):
    keygen = SshKeygen(tmp_path, "ed25519")
    assert keygen.public.endswith(" alice@laptop")
    assert parse_credential(keygen.credential()).public == keygen.public.removesuffix(" alice@laptop")


@pytest.mark.parametrize(
    "credential",
    [
        Credential("a", "device", "a", PASSKEY.public),
        Credential("a", "device", "a", "ed25519:" + encode_base64(bytes([1]) + bytes(31))),
        Credential("a", "device", "a", DEVICE.public, handle="AAAA"),
        Credential("a", "passkey", "a", PASSKEY.public),
        Credential("a", "passkey", "a", DEVICE.public, handle="AAAA"),
        Credential("a", "ssh", "a", DEVICE.public),
    ],
)
def test_a_credential_that_cannot_verify_is_refused(credential):
    with pytest.raises(FormatError):
        parse_credential(credential)


# --- device keys

FILE = """custodian/device-key/v1
owner: alice
seed: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
label: alice's laptop
"""


def test_the_file_of_a_device_key_gives_these_keys():
    """A fixed example; docs/format.md shows the same."""
    key = parse_device_key(FILE)
    assert (key.owner, key.seed, key.label) == ("alice", bytes(range(32)), "alice's laptop")
    assert format_device_key(key) == FILE
    assert str(key.unlock.public) == "x25519:MoJtHN2GdWBPjJSAF+nOJWOaSU/ZaPhnQDV4drqg+UI="
    assert key.public == "ed25519:cRXo7K9zNHREi+yYeg9NehcdrreBIKoNtacF88VuITI="


def test_a_label_may_be_left_out():
    key = make_device_key("alice", bytes(32))
    assert parse_device_key(format_device_key(key)) == key
    assert "label" not in format_device_key(key)


def test_a_device_key_is_in_no_repr():
    assert repr(bytes(range(32))) not in repr(parse_device_key(FILE))
    assert "seed" not in repr(parse_device_key(FILE))


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("custodian/device-key/v1", "custodian/device-key/v2"),
        ("owner: alice", "owner: Alice"),
        ("owner: alice", "owner:alice"),
        ("owner: alice\n", ""),
        ("owner: alice", "owner: alice\nowner: bob"),
        ("Hh8=", "Hh8"),
        ("AAEC", "AA!EC"),
        ("AAEC", "AAECAAEC"),
        ("AwQF", ""),
        ("label: alice's laptop", "label: "),
        ("label: alice's laptop", "label: é"),
        ("label: alice's laptop", "label: " + "x" * 65),
        ("laptop\n", "laptop"),
        ("laptop\n", "laptop\n\n"),
        ("\n", "\r\n"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_without_a_word_of_it(line, other):
    with pytest.raises(FormatError) as error:
        parse_device_key(FILE.replace(line, other))
    assert "AAEC" not in str(error.value)


# --- where the pages are


@pytest.mark.parametrize(
    ("origin", "rp_id"),
    [
        ("https://custodian.example.com", "custodian.example.com"),
        ("https://custodian.example.com:8443", "custodian.example.com"),
        ("https://localhost:8443", "localhost"),
        ("http://localhost:8080", "localhost"),
        ("http://a.localhost", "a.localhost"),
        ("https://intranet", "intranet"),
    ],
)
def test_an_origin_gives_the_domain_of_passkeys(origin, rp_id):
    assert parse_site(origin) == Site(origin, rp_id)


@pytest.mark.parametrize(
    "origin",
    [
        "https://127.0.0.1:8443",
        "https://[::1]:8443",
        "https://10.1",
        "http://custodian.example.com",
        "https://custodian.example.com/",
        "https://custodian.example.com/pages",
        "https://custodian.example.com:443",
        "http://localhost:80",
        "https://custodian.example.com:0443",
        "https://custodian.example.com:65536",
        "https://Custodian.example.com",
        "https://custodian..example.com",
        "https://-custodian.example.com",
        "https://user@example.com",
        "https://münchen.example",
        "https://custodian.example.com\n",
        "custodian.example.com",
        "ftp://custodian.example.com",
        "",
    ],
)
def test_an_origin_that_has_no_passkeys_or_is_none_is_refused(origin):
    with pytest.raises(BadInput, match=r"^origin: must"):
        parse_site(origin)


def test_where_only_this_machine_connects_the_site_is_localhost():
    assert default_site("127.0.0.1", 8443) == Site("https://localhost:8443", "localhost")
    assert default_site("::1", 443) == Site("https://localhost", "localhost")
    assert default_site("0.0.0.0", 8443) == Site("https://0.0.0.0:8443", "")  # noqa: S104
    assert default_site("fd00::1", 8443) == Site("https://[fd00::1]:8443", "")
