import hashlib
import json
from dataclasses import replace

import pytest
from examples import private_key, random_from

from custodian.encoding import canonical_json, encode_base64
from custodian.errors import BadInput, CannotOpen, FormatError
from custodian.slots import (
    Kdf,
    Slot,
    check_password,
    derive,
    kdf_parameters,
    login_verifier,
    make_slot,
    parse_kdf,
    parse_slot,
)

KDF = Kdf(bytes(range(16)), memory_kib=8_192, passes=1, lanes=1)
OWNER = private_key("alice")
PASSKEY = {"credential": "Y3JlZA==", "salt": encode_base64(bytes(32))}
PARAMETERS = {"password": kdf_parameters(KDF), "passkey": PASSKEY, "device": {"label": "alice's laptop"}}


def slot(kind: str = "device", place: tuple[str, str] = ("alice", "laptop")) -> Slot:
    return make_slot(OWNER, (*place, kind), private_key("slot").public, **PARAMETERS[kind])


def edited(usual: str = "device", /, **changes: object) -> bytes:
    value = json.loads(bytes(slot(usual))) | changes
    return canonical_json({name: each for name, each in value.items() if each is not ...})


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_slot_of_any_kind_opens_to_its_owners_key(kind):
    assert parse_slot(bytes(slot(kind))).open(private_key("slot")) == OWNER


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_slot_reads_back_what_it_wrote(kind):
    made = slot(kind)
    assert parse_slot(bytes(made)) == made


def test_a_password_opens_its_slot_and_another_does_not():
    derived = derive("correct horse battery", KDF)
    made = make_slot(OWNER, ("alice", "password", "password"), derived.unlock.public, **kdf_parameters(KDF))
    stored = parse_slot(bytes(made))
    kdf = parse_kdf(stored.parameters)
    assert stored.open(derive("correct horse battery", kdf).unlock) == OWNER
    with pytest.raises(CannotOpen):
        stored.open(derive("correct horse batterY", kdf).unlock)


def test_a_password_is_proved_by_its_verifier_and_another_is_not():
    verifier = login_verifier(derive("correct horse battery", KDF))
    assert login_verifier(derive("correct horse battery", KDF)) == verifier
    assert login_verifier(derive("correct horse batterY", KDF)) != verifier
    assert login_verifier(derive("correct horse battery", replace(KDF, salt=bytes(16)))) != verifier


def test_what_proves_a_password_does_not_open_its_slot():
    derived = derive("correct horse battery", KDF)
    assert derived.login != derived.unlock.raw
    assert login_verifier(derived) not in (derived.login, derived.unlock.raw)


def test_one_password_typed_in_two_ways_is_one_password():
    """Keyboards differ in how they compose: NFC makes them one."""
    assert derive("cafe\u0301 au lait!", KDF).login == derive("caf\u00e9 au lait!", KDF).login


def test_every_cost_of_the_derivation_counts():
    usual = derive("correct horse battery", KDF).login
    for change in ({"memory_kib": 8_200}, {"passes": 2}, {"lanes": 2}, {"salt": bytes(16)}):
        assert derive("correct horse battery", replace(KDF, **change)).login != usual


def test_what_is_derived_does_not_show_itself():
    derived = derive("correct horse battery", KDF)
    for text in (repr(derived), str(derived)):
        assert repr(derived.login) not in text
        assert derived.login.hex() not in text


def test_a_slot_moved_to_another_owner_or_place_does_not_open():
    for moved in (
        replace(slot(), owner="bob"),
        replace(slot(), id="phone"),
        replace(slot(), owner_public=private_key("bob").public),
    ):
        with pytest.raises(CannotOpen):
            parse_slot(bytes(moved)).open(private_key("slot"))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("device", {"parameters": {"label": "another laptop"}}),
        ("device", {"kind": "passkey", "parameters": PASSKEY}),
        ("device", {"public": private_key("another slot").public}),
        ("passkey", {"parameters": PASSKEY | {"credential": "b3RoZXI="}}),
        ("passkey", {"parameters": PASSKEY | {"salt": encode_base64(bytes(31))}}),
        ("password", {"kind": "device", "parameters": PARAMETERS["device"]}),
        *(
            ("password", {"parameters": PARAMETERS["password"] | {name: value}})
            for name, value in {"memory_kib": 8_193, "passes": 2, "lanes": 2, "salt": "A" * 22 + "=="}.items()
        ),
    ],
)
def test_no_word_of_a_slot_can_be_changed(kind, changes):
    """Not even by who can still make its unlocking key."""
    altered = parse_slot(bytes(replace(slot(kind), **changes)))
    with pytest.raises(CannotOpen):
        altered.open(private_key("slot"))


def test_what_a_slot_says_is_the_info_of_its_seal():
    said = json.loads(bytes(slot()))
    del said["sealed"]
    assert slot().info == b"custodian/slot/v1\0" + hashlib.sha256(canonical_json(said)).digest()


def test_a_key_planted_in_a_slot_is_refused():
    """Anyone can seal to a slot; what it opens must be the private half of the owner's public key."""
    mallory = private_key("mallory")
    for planted in (mallory.raw, b"", OWNER.raw[:31], OWNER.raw + b"\0"):
        forged = replace(slot(), sealed=private_key("slot").public.seal(planted, slot().info))
        with pytest.raises(CannotOpen, match="another key"):
            parse_slot(bytes(forged)).open(private_key("slot"))


def test_every_flipped_bit_of_a_slot_is_refused():
    data, unlock = bytes(slot()), private_key("slot")
    opened = []
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            opened.append((bit, parse_slot(bytes(changed)).open(unlock)))
        except (FormatError, CannotOpen):
            continue
    assert opened == []


def test_every_truncation_of_a_slot_is_refused():
    data = bytes(slot())
    for changed in [*(data[:size] for size in range(len(data))), data + b"\n"]:
        with pytest.raises(FormatError):
            parse_slot(changed)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "custodian/slot/v2"}, "slot.type"),
        ({"type": 1}, "slot"),
        ({"type": ...}, "slot"),
        ({"note": "x"}, "slot"),
        ({"owner": "Alice"}, "slot.owner"),
        ({"owner": "alice\n"}, "slot.owner"),
        ({"id": ""}, "slot.id"),
        ({"kind": "retina"}, "slot.parameters"),
        ({"kind": "passkey"}, "slot.parameters"),
        ({"parameters": []}, "slot.parameters"),
        ({"parameters": {}}, "slot.parameters"),
        ({"parameters": {"label": 1}}, "slot.parameters"),
        ({"parameters": {"label": ""}}, "slot.parameters.label"),
        ({"parameters": {"label": "\u001b[2J"}}, "slot.parameters.label"),
        ({"parameters": {"label": "l" * 65}}, "slot.parameters.label"),
        ({"parameters": {"label": "x", "also": "y"}}, "slot.parameters"),
        ({"public": "x25519:"}, "slot.public"),
        ({"owner_public": "x25519:" + "A" * 43 + "="}, "slot.owner_public"),
        ({"sealed": "AB=="}, "slot.sealed"),
    ],
)
def test_what_is_not_a_slot_is_refused_and_the_field_is_named(changes, field):
    with pytest.raises(FormatError) as refusal:
        parse_slot(edited(**changes))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"memory_kib": 8_191}, "memory_kib"),
        ({"memory_kib": 1_048_577}, "memory_kib"),
        ({"passes": 0}, "passes"),
        ({"passes": 17}, "passes"),
        ({"lanes": 0}, "lanes"),
        ({"lanes": 17}, "lanes"),
        ({"salt": encode_base64(bytes(15))}, "salt"),
        ({"salt": "!"}, "salt"),
    ],
)
def test_a_slot_cannot_ask_for_too_little_or_too_much_work(changes, field):
    with pytest.raises(FormatError) as refusal:
        parse_slot(edited("password", parameters=kdf_parameters(KDF) | changes))
    assert refusal.value.field == f"slot.parameters.{field}"
    with pytest.raises(FormatError, match="wrong types"):
        parse_slot(edited("password", parameters=kdf_parameters(KDF) | {"lanes": True}))


def test_the_default_work_is_rfc_9106s_second_recommendation():
    assert kdf_parameters(Kdf(bytes(16))) == {
        "memory_kib": 65_536,
        "passes": 3,
        "lanes": 4,
        "salt": "A" * 22 + "==",
    }


@pytest.mark.parametrize("changes", [{"credential": "="}, {"credential": ""}, {"salt": "AB=="}])
def test_the_parameters_of_a_passkey_are_base64(changes):
    with pytest.raises(FormatError, match=r"^slot.parameters"):
        parse_slot(edited("passkey", parameters=PASSKEY | changes))


@pytest.mark.parametrize(
    "password", ["0123456789", "p" * 1024, "\u00e9" * 512, "with blanks and \u00fcmlauts"]
)
def test_a_password_may_be_used(password):
    assert check_password(password) == password


@pytest.mark.parametrize("password", ["", "012345678", "p" * 1025, "\u00e9" * 513, "half a pair \ud800"])
def test_a_password_is_refused_without_being_repeated(password):
    with pytest.raises(BadInput) as refusal:
        check_password(password)
    assert refusal.value.field == "password"
    assert not password or password not in str(refusal.value)


def test_slots_of_one_owner_are_independent():
    random = random_from("slots")
    unlocks = [private_key(random(4).hex()) for _ in range(3)]
    slots = [
        make_slot(OWNER, ("alice", f"s{n}", "device"), key.public, label="l") for n, key in enumerate(unlocks)
    ]
    for n, made in enumerate(slots):
        assert made.open(unlocks[n]) == OWNER
        with pytest.raises(CannotOpen):
            made.open(unlocks[n - 1])
