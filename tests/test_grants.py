"""Grants: a delegation made on the owner's side, carried by anyone, believed for its evidence alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from authenticators import (
    SITE,
    Passkey,
    SshKeygen,
    device,
    device_credential,
    device_slot,
    needs_ssh_keygen,
)
from bench import ADMIN, Bench
from examples import HOUR, NOW, SECOND, private_key
from owners import Owner, wired
from running import SECRET, Answer, World

from custodian import accounts, delegations, keys, ownerslots, proofs
from custodian.encoding import decode_base64, encode_base64
from custodian.errors import BadInput, CannotOpen, Conflict, CustodianError, Forbidden, FormatError
from custodian.events import Evidence
from custodian.evidence import check, slot_added
from custodian.lending import seal_share
from custodian.sealing import PublicKey
from custodian.terms import MAX_LIFE, Constraints, Terms

DEVICE, PASSKEY = device(), Passkey()


@pytest.fixture
def enrolled(bench: Bench) -> Bench:
    """The bench, where alice proves by a device key and by a passkey."""
    bench.do(ownerslots.add, "alice", device_slot(DEVICE, private_key("alice")), device_credential(DEVICE))
    bench.do(ownerslots.add, "alice", None, PASSKEY.credential())
    return bench


def made(bench: Bench, **changes: Any) -> tuple[Terms, dict[str, str]]:
    """Make terms and a sealed share on alice's side."""
    terms = bench.draft("alice", **changes)
    return terms, seal_share(bench.look(keys.find_key, "ca").envelope, terms, private_key("alice"))


def grant(bench: Bench, terms: Terms, sealed: dict[str, str], evidence: Evidence | None = None) -> int:
    evidence = evidence or DEVICE.agree(bytes(terms), "device-laptop")
    return bench.do(proofs.grant, terms, sealed, evidence, SITE)


def refused(bench: Bench, kind: type[CustodianError], *args: Any) -> str:
    size, before = bench.size, bench.look(delegations.list_delegations)
    with pytest.raises(kind) as error:
        grant(bench, *args)
    assert bench.size == size
    assert bench.look(delegations.list_delegations) == before
    return error.value.detail


def test_terms_that_a_device_signed_are_granted_and_the_evidence_is_kept(enrolled: Bench):
    terms, sealed = made(enrolled)
    entry = grant(enrolled, terms, sealed)
    told = enrolled.entries(entry)[0]
    assert (told["type"], told["actor"]) == ("delegation.granted", {"role": "owner", "name": "alice"})
    check(Evidence(**told["evidence"]), device_credential(DEVICE), bytes(terms), SITE)
    assert enrolled.look(delegations.find_delegation, terms.id).delegation.left == 10


def test_terms_that_a_passkey_signed_are_granted(enrolled: Bench):
    terms, sealed = made(enrolled)
    entry = grant(enrolled, terms, sealed, PASSKEY.agree(bytes(terms)))
    evidence = Evidence(**enrolled.entries(entry)[0]["evidence"])
    check(evidence, PASSKEY.credential(), bytes(terms), SITE)
    assert evidence.kind == "passkey"


def test_a_grant_counts_once(enrolled: Bench):
    terms, sealed = made(enrolled)
    grant(enrolled, terms, sealed)
    assert "granted already" in refused(enrolled, Conflict, terms, sealed)
    other = PASSKEY.agree(bytes(terms))
    assert "granted already" in refused(enrolled, Conflict, terms, sealed, other)


@pytest.mark.parametrize(
    "change",
    [
        {"uses": 11},
        {"end": NOW + 2 * HOUR},
        {"request": "r-other"},
        {"nonce": "00" * 16},
        {"owner": "bob"},
        {"signer": "ca-2"},
        {"constraints": Constraints(ca=True)},
    ],
)
def test_terms_that_were_changed_after_they_were_signed_are_refused(enrolled: Bench, change: dict[str, Any]):
    terms, sealed = made(enrolled)
    for evidence in (DEVICE.agree(bytes(terms), "device-laptop"), PASSKEY.agree(bytes(terms))):
        refused(enrolled, Forbidden, replace(terms, **change), sealed, evidence)


def test_terms_that_another_owner_signed_are_refused(enrolled: Bench):
    terms, sealed = made(enrolled)
    bobs = device("bob")
    enrolled.do(ownerslots.add, "bob", None, device_credential(bobs))
    refused(enrolled, Forbidden, terms, sealed, bobs.agree(bytes(terms), "device-laptop"))


def test_evidence_of_a_password_or_of_nobody_is_refused(enrolled: Bench):
    terms, sealed = made(enrolled)
    refused(enrolled, Forbidden, terms, sealed, Evidence(kind="password"))
    unknown = DEVICE.agree(bytes(terms), "device-other")
    refused(enrolled, Forbidden, terms, sealed, unknown)
    stranger = replace(terms, owner="nobody")
    refused(enrolled, Forbidden, stranger, sealed, DEVICE.agree(bytes(stranger), "device-laptop"))


@pytest.mark.parametrize(
    "change", [{"flags": 1}, {"origin": "https://evil.example"}, {"type": "webauthn.create"}]
)
def test_a_passkey_that_agreed_elsewhere_or_without_its_owner_is_refused(
    enrolled: Bench, change: dict[str, Any]
):
    terms, sealed = made(enrolled)
    refused(enrolled, Forbidden, terms, sealed, PASSKEY.agree(bytes(terms), **change))


def test_a_credential_that_was_removed_grants_nothing(enrolled: Bench):
    terms, sealed = made(enrolled)
    enrolled.do(ownerslots.remove, "alice", "passkey-1")
    refused(enrolled, Forbidden, terms, sealed, PASSKEY.agree(bytes(terms)))


def test_an_owner_who_is_shut_out_grants_nothing(enrolled: Bench):
    terms, sealed = made(enrolled)
    enrolled.do(accounts.disable, "alice", ADMIN)
    refused(enrolled, Forbidden, terms, sealed)


def test_a_grant_for_a_signer_that_started_anew_is_refused(enrolled: Bench):
    terms, sealed = made(enrolled)
    enrolled.announce("second")
    assert "restarted" in refused(enrolled, Conflict, terms, sealed)


def test_a_grant_that_is_over_is_refused(enrolled: Bench):
    terms, sealed = made(enrolled)
    enrolled.clock.advance(hours=1)
    assert "ended already" in refused(enrolled, BadInput, terms, sealed)


def test_a_grant_begins_within_a_month_as_every_delegation_does(enrolled: Bench):
    """Drafted by the custodian it had to; made at home it could begin in the year 9950."""
    start = NOW + MAX_LIFE
    soon, later = (replace(made(enrolled)[0], start=at, end=at + HOUR) for at in (start, start + SECOND))
    share = next(iter(made(enrolled)[1].values()))
    assert "within 31 days" in refused(enrolled, BadInput, later, {str(later.recipients[0]): share})
    grant(enrolled, soon, {str(soon.recipients[0]): share})


def test_a_stranger_does_not_learn_from_a_refused_grant_who_there_is(enrolled: Bench):
    """One sentence said that a credential was unknown, another that it had not signed: that told names."""
    terms, sealed = made(enrolled)
    nobody = replace(terms, owner="nobody")
    tried = [
        (terms, device("bob").agree(bytes(terms), "device-laptop")),
        (terms, DEVICE.agree(bytes(terms), "device-other")),
        (terms, DEVICE.agree(bytes(terms), "passkey-1")),
        (terms, Evidence(kind="device", credential="device-laptop", signature="!")),
        (terms, PASSKEY.agree(bytes(terms), origin="https://evil.example")),
        (nobody, DEVICE.agree(bytes(nobody), "device-laptop")),
    ]
    told = {refused(enrolled, Forbidden, said, sealed, by).replace(said.owner, "OWNER") for said, by in tried}
    assert len(told) == 1


@pytest.mark.parametrize(
    "sealed",
    [{}, {"x25519:AAAA": "AAAA"}, "", "AAAA", "!", encode_base64(bytes(95)), encode_base64(bytes(97))],
)
def test_what_cannot_be_a_sealed_share_is_refused(enrolled: Bench, sealed: Any):
    terms, _ = made(enrolled)
    (recipient,) = map(str, terms.recipients)
    refused(enrolled, FormatError, terms, sealed if isinstance(sealed, dict) else {recipient: sealed})


def test_a_share_for_somebody_else_beside_it_is_refused(enrolled: Bench):
    terms, sealed = made(enrolled)
    other = str(private_key("other").public)
    refused(enrolled, BadInput, terms, sealed | {other: next(iter(sealed.values()))})


@pytest.mark.parametrize("suite", ["x25519", "mlkem768-x25519"])
def test_the_size_of_a_seal_is_known_before_it_is_made(suite: str):
    public: PublicKey = private_key("any", suite).public
    for size in (0, 1, 48):
        assert len(public.seal(bytes(size), b"info")) == public.sealed_size(size)


# --- over the wire


@pytest.fixture(scope="module")
def lenders(running_world: World) -> tuple[Owner, Owner]:
    """Alice and bob with device keys, which they added by their passwords."""
    alice, bob = (Owner(running_world, name) for name in ("alice", "bob"))
    for each in (alice, bob):
        each.call("/me/slots", each.device_by_password()).ok()
    return alice, bob


def carry(world: World, body: Any) -> Answer:
    """Post a grant as anyone: no name, no password."""
    return world.daemon.call("POST", "/grants", body)


def test_a_quorum_of_grants_opens_the_key(world: World, lenders: tuple[Owner, Owner]):
    granted = [carry(world, each.grant()) for each in lenders]
    assert [each.status for each in granted] == [201, 201]
    assert [each.json["owner"] for each in granted] == ["alice", "bob"]
    assert granted[0].json["state"] == "live"
    assert world.signer.join(world.signer.ask().ok()) == SECRET


def test_a_grant_and_a_password_delegation_make_a_quorum(world: World, lenders: tuple[Owner, Owner]):
    carry(world, lenders[0].grant()).ok()
    world.lend("carol")
    assert world.signer.join(world.signer.ask().ok()) == SECRET


def test_a_grant_is_revoked_like_any_delegation(world: World, lenders: tuple[Owner, Owner]):
    granted = carry(world, lenders[0].grant()).ok()["id"]
    world.person("alice", "DELETE", f"/delegations/{granted}").ok()
    assert carry(world, lenders[0].grant()).status == 201


def test_whoever_carries_a_grant_can_change_nothing_in_it(world: World, lenders: tuple[Owner, Owner]):
    body, other = lenders[0].grant(), lenders[0].grant(uses=1)
    size = world.size()
    changed = [
        body | {"terms": other["terms"]},
        body | {"evidence": other["evidence"]},
        body | {"evidence": lenders[1].grant()["evidence"]},
        body | {"sealed": {}},
        body | {"type": "custodian/grant/v2"},
        body | {"terms": body["terms"][:-4]},
        body | {"more": 1},
        {},
    ]
    for each in changed:
        assert carry(world, each).status in (400, 403), each
    assert world.size() == size
    carry(world, body).ok()
    assert carry(world, body).status == 409
    assert world.size() == size + 1


def test_a_share_of_another_grant_is_stored_but_opens_nothing(world: World, lenders: tuple[Owner, Owner]):
    """The custodian cannot tell one seal from another; the recipient can, and names the owner."""
    body, other = lenders[0].grant(), lenders[0].grant(uses=1)
    carry(world, body | {"sealed": other["sealed"]}).ok()
    carry(world, lenders[1].grant()).ok()
    lease = world.signer.ask().ok()
    with pytest.raises(CannotOpen):
        world.signer.join(lease)


def test_a_grant_that_is_too_large_is_not_read(world: World):
    answer = carry(world, b"{" + b" " * 70_000 + b"}")
    assert (answer.status, answer.json["type"]) == (413, "too-many")


@needs_ssh_keygen
def test_terms_signed_by_an_ssh_key_are_granted(world: World, lenders: tuple[Owner, Owner], tmp_path: Path):
    """The share is opened by the device key or a password; the SSH key says who agreed."""
    alice, keygen = lenders[0], SshKeygen(tmp_path, "ed25519")
    possession = keygen.agree(slot_added("alice", "", f"ssh {keygen.public}")).model_dump()
    alice.call("/me/slots", {"credential": wired(keygen.credential()), "possession": possession}).ok()
    body = alice.grant()
    terms = decode_base64(body["terms"], "terms")
    assert carry(world, body | {"evidence": keygen.agree(terms).model_dump()}).status == 201
