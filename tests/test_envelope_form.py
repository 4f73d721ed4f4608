"""An envelope has one spelling: what is not in it is refused, and the field is named."""

import pytest
from examples import (
    KEY_ID,
    identity,
    remade,
    sealed_key,
)

from custodian.encoding import encode_base64
from custodian.envelope import (
    MAX_SIZE,
    parse_envelope,
    parse_key_id,
)
from custodian.errors import FormatError


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("envelope/v1", "envelope/v2", "envelope"),
        ("custodian/envelope", "Custodian/envelope", "envelope"),
        ("\nname: ca\n", "\nname: Ca\n", "envelope.name"),
        ("\nname: ca\n", "\nname:ca\n", "envelope.name"),
        ("\nname: ca\n", "\nname:  ca\n", "envelope.name"),
        ("\nname: ca\n", "\nname: ca \n", "envelope.name"),
        ("\nname: ca\n", "\nname: ca\r\n", "envelope.name"),
        (KEY_ID, KEY_ID[:-1], "envelope.id"),
        ("12:00:00Z", "12:00:00+00:00", "envelope.created"),
        ("ecdsa-p256", "ECDSA-P256", "envelope.algorithm"),
        ("public: 00", "public: ", "envelope.public"),
        ("public: 0001020304050607", "public: 000102030405060A", "envelope.public"),
        ("policy: 2 of (alice, bob, carol)", "policy: 2 of (alice,bob, carol)", "envelope"),
        ("policy: 2 of (alice, bob, carol)", "policy: 2 of (alice, carol, bob)", "envelope.owner"),
        ("policy: 2 of (alice, bob, carol)", "policy: 2 of (alice, bob)", "envelope.owner"),
        ("policy: 2 of (alice, bob, carol)", "policy: 1 of (alice, bob, carol)", "policy"),
        ("owner: bob ", "owner: bob  ", "envelope.owner"),
        ("owner: bob ", "owner: dave ", "envelope.owner"),
        ("owner: bob ", "holder: bob ", "envelope.owner"),
        ("owner: bob x25519", "owner: bob x448", "envelope.owner"),
        ("\nowner: alice", "\nnote: x\nowner: alice", "envelope.owner"),
        ("\n\n", "\nnote: x\n\n", "envelope"),
        ("\n\n", "\n", "envelope"),
        ("\n\n", "\r\n\r\n", "envelope.owner"),
        ("\n\n", "\n\n\n", "envelope"),
        ("name: ca", "name: c\u00e4", "envelope"),
    ],
)
def test_what_is_not_an_envelope_is_refused_and_the_field_is_named(old, new, field):
    with pytest.raises(FormatError) as refusal:
        parse_envelope(remade(sealed_key(), (old, new)))
    assert refusal.value.field == field


def test_a_doubled_signer_is_refused():
    line = f"signer: ca-1 {identity()}\n"
    with pytest.raises(FormatError, match="canonical"):
        parse_envelope(remade(sealed_key(), (line, line + line)))


def test_a_doubled_owner_is_refused():
    text = bytes(sealed_key())
    row = next(line for line in text.splitlines(keepends=True) if line.startswith(b"owner: bob"))
    with pytest.raises(FormatError, match="canonical"):
        parse_envelope(text.replace(row, row + row))


def test_a_payload_in_lines_of_another_length_is_refused():
    text = bytes(sealed_key())
    head, _, body = text.partition(b"\n\n")
    joined = body.replace(b"\n", b"")
    for lines in (joined, joined + b"\n\n", joined[:10] + b"\n" + joined[10:] + b"\n"):
        with pytest.raises(FormatError):
            parse_envelope(head + b"\n\n" + lines)


def test_a_payload_too_short_for_a_secret_is_refused():
    head = bytes(sealed_key()).partition(b"\n\n")[0]
    with pytest.raises(FormatError, match="too short"):
        parse_envelope(head + b"\n\n" + encode_base64(bytes(28)).encode() + b"\n")


def test_an_envelope_too_large_is_refused_before_any_work():
    with pytest.raises(FormatError, match="larger than"):
        parse_envelope(b"\xff" * (MAX_SIZE + 1))


@pytest.mark.parametrize("text", ["", KEY_ID + "\n", KEY_ID.upper(), KEY_ID + "0", "g" * 32])
def test_a_key_id_is_32_hexadecimal_digits(text):
    assert parse_key_id(KEY_ID, "id") == KEY_ID
    with pytest.raises(FormatError, match=r"^id: "):
        parse_key_id(text, "id")
