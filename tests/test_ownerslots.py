"""Slots open and credentials prove: who may add and remove them, and that nobody locks themselves out."""

import os
from dataclasses import replace
from typing import Any

import pytest
from authenticators import SITE, Passkey, SshKeygen, device, device_credential, device_slot, needs_ssh_keygen
from bench import ADMIN, KDF, Bench
from examples import private_key
from owners import Owner, wired
from running import World, basic, password_of

from custodian import accounts, ownerslots, sessions
from custodian.encoding import decode_base64, encode_base64
from custodian.errors import Conflict, Forbidden, FormatError, NotFound, Unauthenticated
from custodian.evidence import enrolled, slot_added, slot_removed
from custodian.ownerslots import Newcomer
from custodian.sealing import PrivateKey
from custodian.site import Site
from custodian.slots import make_slot, parse_slot

DEVICE, PASSKEY = device(), Passkey()
ALICE = private_key("alice")
CREDENTIAL, SLOT = device_credential(DEVICE), device_slot(DEVICE, ALICE)


def held(bench: Bench, owner: str = "alice") -> tuple[list[str], list[str]]:
    slots = bench.look(accounts.owner_slots, owner)
    credentials = bench.look(ownerslots.list_credentials, owner)
    return [each.id for each in slots], [each.credential.id for each in credentials]


def refused(bench: Bench, kind: type[Exception], step: Any, *args: Any) -> str:
    """Check that a change is refused and changes nothing."""
    before = (held(bench), bench.size)
    with pytest.raises(kind) as error:
        bench.do(step, *args)
    assert (held(bench), bench.size) == before
    return str(error.value)


# --- adding


def test_a_slot_and_its_credential_come_together_and_are_told(bench: Bench):
    start = bench.size
    bench.do(ownerslots.add, "alice", SLOT, CREDENTIAL)
    assert held(bench) == (["device-laptop", "password"], ["device-laptop"])
    assert bench.events(start) == ["slot.added", "credential.added"]
    slot, credential = bench.entries(start)
    assert (slot["slot"], slot["kind"], slot["public"]) == ("device-laptop", "device", str(SLOT.public))
    assert (credential["credential"], credential["public"]) == ("device-laptop", DEVICE.public)
    assert slot["actor"] == {"role": "owner", "name": "alice"}
    opened = bench.look(accounts.owner_slots, "alice")[0].open(DEVICE.unlock)
    assert opened == ALICE


def test_a_credential_may_come_without_a_slot_and_a_slot_without_a_credential(bench: Bench):
    bench.do(ownerslots.add, "alice", None, PASSKEY.credential("passkey-1"))
    bench.do(ownerslots.add, "alice", SLOT, None)
    assert held(bench) == (["device-laptop", "password"], ["passkey-1"])


def test_an_id_is_given_once_and_a_key_too(bench: Bench):
    bench.do(ownerslots.add, "alice", SLOT, CREDENTIAL)
    other = PASSKEY.credential("device-laptop")
    assert "already" in refused(bench, Conflict, ownerslots.add, "alice", SLOT, None)
    assert "already" in refused(bench, Conflict, ownerslots.add, "alice", None, other)
    again = replace(CREDENTIAL, id="device-again")
    assert "another id" in refused(bench, Conflict, ownerslots.add, "alice", None, again)
    password = replace(other, id="password")
    assert "already" in refused(bench, Conflict, ownerslots.add, "alice", None, password)


def test_what_comes_together_has_one_id(bench: Bench):
    refused(bench, FormatError, ownerslots.add, "alice", SLOT, PASSKEY.credential("passkey-1"))
    refused(bench, FormatError, ownerslots.add, "alice", None, None)


def test_a_slot_holds_the_key_of_its_owner(bench: Bench):
    bobs = device_slot(device("bob"), private_key("bob"))
    with_other_key = device_slot(DEVICE, private_key("bob"))
    of_bob_with_her_key = device_slot(device("bob"), ALICE)
    for slot in (bobs, with_other_key, of_bob_with_her_key):
        assert "key of alice" in refused(bench, FormatError, ownerslots.add, "alice", slot, None)


def test_a_password_slot_is_made_by_the_custodian_only(bench: Bench):
    old = bench.look(accounts.owner_slots, "alice")[0]
    slot = make_slot(ALICE, ("alice", "password-2", "password"), DEVICE.unlock.public, **old.parameters)
    refused(bench, FormatError, ownerslots.add, "alice", slot, None)


def test_an_owner_has_16_at_most(bench: Bench):
    for number in range(15):
        bench.do(ownerslots.add, "alice", None, Passkey().credential(f"passkey-{number}"))
    assert "remove one first" in refused(
        bench, Conflict, ownerslots.add, "alice", None, Passkey().credential("passkey-15")
    )


@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_only_owners_have_credentials(bench: Bench, name: str):
    with pytest.raises(Forbidden):
        bench.do(ownerslots.add, name, None, CREDENTIAL)


def test_who_is_shut_out_adds_and_removes_nothing(bench: Bench):
    bench.do(ownerslots.add, "alice", SLOT, CREDENTIAL)
    bench.do(accounts.disable, "alice", ADMIN)
    refused(bench, Forbidden, ownerslots.add, "alice", None, PASSKEY.credential())
    refused(bench, Forbidden, ownerslots.remove, "alice", "device-laptop")
    with pytest.raises(Forbidden):
        bench.look(ownerslots.prove, "alice", DEVICE.agree(b"x", "device-laptop"), b"x", SITE)


# --- removing


def test_the_last_slot_stays(bench: Bench):
    bench.do(ownerslots.add, "alice", None, CREDENTIAL)
    assert "last slot" in refused(bench, Conflict, ownerslots.remove, "alice", "password")
    bench.do(ownerslots.remove, "alice", "device-laptop")
    assert held(bench) == (["password"], [])


def test_the_last_way_to_prove_stays(bench: Bench):
    bench.do(ownerslots.add, "alice", SLOT, None)
    assert "could not prove" in refused(bench, Conflict, ownerslots.remove, "alice", "password")
    bench.do(ownerslots.add, "alice", None, PASSKEY.credential())
    bench.do(ownerslots.remove, "alice", "password")
    assert "could not prove" in refused(bench, Conflict, ownerslots.remove, "alice", "passkey-1")
    assert held(bench) == (["device-laptop"], ["passkey-1"])


def test_what_was_removed_proves_nothing_any_more(bench: Bench):
    bench.do(ownerslots.add, "alice", SLOT, CREDENTIAL)
    start = bench.size
    evidence = DEVICE.agree(b"x", "device-laptop")
    bench.look(ownerslots.prove, "alice", evidence, b"x", SITE)
    bench.do(ownerslots.remove, "alice", "device-laptop")
    assert bench.events(start) == ["slot.removed"]
    with pytest.raises(Forbidden):
        bench.look(ownerslots.prove, "alice", evidence, b"x", SITE)


def test_without_its_slot_the_password_proves_nothing(bench: Bench):
    bench.do(ownerslots.add, "alice", SLOT, CREDENTIAL)
    before = bench.look(accounts.find_account, "alice").verifier
    bench.do(ownerslots.remove, "alice", "password")
    assert bench.look(accounts.find_account, "alice").verifier != before


def test_what_is_not_there_cannot_be_removed(bench: Bench):
    refused(bench, NotFound, ownerslots.remove, "alice", "device-laptop")


def test_removing_ends_the_sessions_that_somebody_else_may_have(bench: Bench):
    bench.do(ownerslots.add, "alice", SLOT, CREDENTIAL)
    mine, session = bench.do(sessions.start, "alice")
    thiefs, _ = bench.do(sessions.start, "alice")
    bobs, _ = bench.do(sessions.start, "bob")
    bench.do(ownerslots.remove, "alice", "device-laptop", session.id)
    bench.look(sessions.find, mine)
    bench.look(sessions.find, bobs)
    with pytest.raises(Unauthenticated):
        bench.look(sessions.find, thiefs)


# --- enrolling without a password

DORA = private_key("dora")
DORAS_DEVICE = device("dora")


def newcomer(**changes: Any) -> Newcomer:
    message = enrolled("dora", str(DORA.public))
    usual = Newcomer(
        DORA.public,
        [device_slot(DORAS_DEVICE, DORA), PASSKEY.slot("dora", DORA)],
        [device_credential(DORAS_DEVICE), PASSKEY.credential()],
        [DORAS_DEVICE.agree(message, "device-laptop"), PASSKEY.agree(message)],
    )
    return replace(usual, **changes)


@pytest.fixture
def code(bench: Bench) -> str:
    return bench.do(accounts.invite, "owner", "dora", ADMIN)


def test_an_owner_enrols_without_a_password(bench: Bench, code: str):
    start = bench.size
    account = bench.do(ownerslots.enrol, code, KDF, newcomer(), SITE)
    assert (account.name, account.role, account.public) == ("dora", "owner", str(DORA.public))
    assert held(bench, "dora") == (["device-laptop", "passkey-1"], ["device-laptop", "passkey-1"])
    told = ["account.enrolled", "slot.added", "credential.added", "slot.added", "credential.added"]
    assert bench.events(start) == told
    with pytest.raises(Forbidden, match="not valid"):
        bench.do(ownerslots.enrol, code, KDF, newcomer(), SITE)


def test_no_two_passwordless_accounts_have_one_verifier(bench: Bench, code: str):
    first = bench.do(ownerslots.enrol, code, KDF, newcomer(), SITE).verifier
    assert len(first) == 32
    assert first != bytes(32)


WRONG: dict[str, Any] = {
    "no possession": {"possession": []},
    "possession of one only": {"possession": newcomer().possession[:1]},
    "possession of another owner's key": {
        "possession": [
            DORAS_DEVICE.agree(enrolled("dora", str(ALICE.public)), "device-laptop"),
            newcomer().possession[1],
        ]
    },
    "possession for another name": {
        "possession": [
            DORAS_DEVICE.agree(enrolled("alice", str(DORA.public)), "device-laptop"),
            newcomer().possession[1],
        ]
    },
    "possession by another key": {
        "possession": [
            DEVICE.agree(enrolled("dora", str(DORA.public)), "device-laptop"),
            newcomer().possession[1],
        ]
    },
    "a first slot of another": {"slots": [SLOT]},
    "a second slot of another": {"slots": [newcomer().slots[0], replace(SLOT, id="device-2")]},
    "a slot with another key": {"slots": [device_slot(DORAS_DEVICE, ALICE)]},
    "a slot twice": {"slots": [newcomer().slots[0]] * 2},
    "a credential twice": {
        "credentials": [newcomer().credentials[0]] * 2,
        "possession": [newcomer().possession[0]] * 2,
    },
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_who_enrols_proves_each_credential_and_owns_each_slot(bench: Bench, code: str, changes: Any):
    refused(bench, (Forbidden, FormatError, Conflict), ownerslots.enrol, code, KDF, newcomer(**changes), SITE)
    assert bench.look(accounts.look_at_invitation, code) == ("owner", "dora")


@pytest.mark.parametrize("role", ["admin", "auditor", "signer"])
def test_others_than_owners_enrol_with_a_password_or_an_identity(bench: Bench, role: str):
    code = bench.do(accounts.invite, role, "dora", ADMIN)
    refused(bench, Conflict, ownerslots.enrol, code, KDF, newcomer(), SITE)


# --- over the wire


@pytest.fixture(scope="module")
def owner(running_world: World) -> Owner:
    running_world.enrol("owner", "erin")
    return Owner(running_world, "erin")


def test_an_owner_adds_a_device_by_password_then_a_passkey_by_the_device_then_drops_the_password(
    owner: Owner,
):
    """The custodian sees the owner's key never more: what is added later is sealed on the owner's side."""
    assert owner.ids() == (["password"], [])
    me = owner.call("/me/slots", owner.device_by_password()).ok()
    slot = parse_slot(decode_base64(me["slots"][0], "slot"))
    assert (slot.id, slot.kind, dict(slot.parameters)) == ("device-laptop", "device", {"label": "laptop"})
    key = slot.open(owner.device.unlock)
    assert str(key.public) == me["public"]

    made = encode_base64(bytes(owner.passkey.slot(owner.name, key)))
    credential = owner.passkey.credential()
    message = slot_added(owner.name, made, f"passkey {credential.public}")
    body = {
        "slot": made,
        "credential": wired(credential),
        "possession": owner.passkey.agree(message).model_dump(),
        "evidence": owner.device.agree(message, "device-laptop").model_dump(),
    }
    owner.call("/me/slots", body, session=True).ok()
    assert owner.ids() == (["device-laptop", "passkey-1", "password"], ["device-laptop", "passkey-1"])

    token = owner.world.sign_in(owner.name)
    evidence = owner.passkey.agree(slot_removed(owner.name, "password")).model_dump()
    path = "/me/slots/password/remove"
    gone = owner.world.daemon.call("POST", path, {"evidence": evidence}, authorization=f"Bearer {token}")
    assert [each["id"] for each in gone.ok()["credentials"]] == ["device-laptop", "passkey-1"]
    assert owner.world.person(owner.name, "GET", "/me").status == 401


@pytest.fixture(scope="module")
def frank(running_world: World) -> Owner:
    running_world.enrol("owner", "frank")
    return Owner(running_world, "frank")


def test_a_new_credential_proves_itself(frank: Owner):
    other = device("somebody").agree(
        slot_added("frank", "", f"device {frank.device.public}"), "device-laptop"
    )
    assert frank.call("/me/slots", frank.device_by_password(possession=other.model_dump())).status == 403
    assert frank.call("/me/slots", frank.device_by_password(possession=None)).status == 400
    of_erin = device("frank").agree(slot_added("erin", "", f"device {frank.device.public}"), "device-laptop")
    assert frank.call("/me/slots", frank.device_by_password(possession=of_erin.model_dump())).status == 403
    assert frank.ids() == (["password"], [])


def test_evidence_by_a_stranger_adds_and_removes_nothing(frank: Owner):
    new = device_credential(frank.device)
    message = slot_added("frank", "", f"device {new.public}")
    mine = frank.device.agree(message, "device-laptop").model_dump()
    body = {"credential": wired(new), "possession": mine, "evidence": mine}
    answer = frank.call("/me/slots", body, session=True)
    assert (answer.status, answer.json["type"]) == (403, "forbidden")
    evidence = frank.device.agree(slot_removed("frank", "password"), "device-laptop").model_dump()
    assert frank.call("/me/slots/password/remove", {"evidence": evidence}, session=True).status == 403
    assert frank.ids() == (["password"], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"public": "x25519:" + encode_base64(bytes(32))},
        {"public": "x"},
        {"parameters": {}},
        {"parameters": {"label": 1}},
        {"parameters": {"label": "x", "owner_key": "x"}},
        {"parameters": {"owner_key": "x", "place": "y", "public": "z"}},
        {"credential": None, "possession": None},
        {"slot": "e30="},
        {"credential": {"id": "device-laptop", "kind": "device", "label": "x", "public": "ed25519:AAAA"}},
        {"credential": {"id": "Laptop", "kind": "device", "label": "x", "public": "x"}},
        {"evidence": {"kind": "password", "credential": "a", "signature": ""}},
    ],
)
def test_bad_input_adds_nothing(frank: Owner, changes: dict[str, Any]):
    answer = frank.call("/me/slots", frank.device_by_password(**changes))
    assert answer.status in (400, 403)
    assert frank.ids() == (["password"], [])


def test_a_slot_for_the_password_of_somebody_else_is_not_made(running_world: World, frank: Owner):
    """A session says who it is; without the password nothing opens the owner's key."""
    assert frank.call("/me/slots", frank.device_by_password(), session=True).status == 403


def test_an_owner_enrols_with_devices_only_and_no_password_ever_logs_in(running_world: World):
    world = running_world
    site = Site(f"https://localhost:{world.daemon.url.rpartition(':')[2]}", "localhost")
    key, here, passkey = PrivateKey("x25519", os.urandom(32)), device("grace"), Passkey(site)
    message = enrolled("grace", str(key.public))
    body = {
        "invitation": world.invite("owner", "grace"),
        "public": str(key.public),
        "slots": [
            encode_base64(bytes(each)) for each in (device_slot(here, key), passkey.slot("grace", key))
        ],
        "credentials": [wired(device_credential(here)), wired(passkey.credential())],
        "possession": [
            here.agree(message, "device-laptop").model_dump(),
            passkey.agree(message).model_dump(),
        ],
    }
    answer = world.daemon.call("POST", "/enrolments/devices", body)
    assert (answer.status, answer.json["public"]) == (201, str(key.public))
    said = world.daemon.call("GET", "/sessions/statement").ok()["statement"]
    body = {"name": "grace", "statement": said, "evidence": passkey.agree(said.encode()).model_dump()}
    token = world.daemon.call("POST", "/sessions", body).ok()["token"]
    me = world.daemon.call("GET", "/me", authorization=f"Bearer {token}").ok()
    assert [each["id"] for each in me["credentials"]] == ["device-laptop", "passkey-1"]
    assert world.daemon.call("POST", "/sessions", body).status == 401  # good once
    assert world.daemon.call("GET", "/me", authorization=basic("grace", password_of("grace"))).status == 401


@needs_ssh_keygen
def test_an_ssh_key_proves_but_opens_nothing(running_world: World, tmp_path):
    world, owner = running_world, Owner(running_world, "heidi")
    world.enrol("owner", "heidi")
    keygen = SshKeygen(tmp_path, "ed25519")
    message = slot_added("heidi", "", f"ssh {keygen.public}")
    body = {"credential": wired(keygen.credential()), "possession": keygen.agree(message).model_dump()}
    me = owner.call("/me/slots", body).ok()
    assert me["credentials"][0]["public"] == keygen.public.rpartition(" ")[0]
    assert owner.ids() == (["password"], ["ssh-laptop"])
    said = world.daemon.call("GET", "/sessions/statement").ok()["statement"]
    body = {"name": "heidi", "statement": said, "evidence": keygen.agree(said.encode()).model_dump()}
    assert world.daemon.call("POST", "/sessions", body).ok()["name"] == "heidi"
