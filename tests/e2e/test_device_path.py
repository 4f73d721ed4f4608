"""Owners lend from their own machines: nobody sees a password or a share, and a real signer signs."""

import json
from pathlib import Path
from typing import Any

import pytest
from signing import OWNERS, Site
from terminals import KeyTerminal, delegations, make_ssh_key, needs_ssh

from custodian.devicekey import DeviceKey
from custodian.encoding import decode_base64, encode_base64

# more than the signer takes in one lease
LEND = ("delegate", "ca", "--signer", "ca-1", "--uses", "100", "--for", "1h")


@pytest.fixture(scope="module")
def home(running: Site, tmp_path_factory: pytest.TempPathFactory) -> KeyTerminal:
    """A terminal where each owner has a device key, `alice.key` and so on, made by their password."""
    made = KeyTerminal(running.daemon, tmp_path_factory.mktemp("home"))
    for owner in OWNERS:
        add = ("slot", "add", "--device", "laptop", "-o", f"{owner}.key")
        made.say(*add, *made.with_password(owner))
    return made


def granted(site: Site, start: int) -> list[tuple[str, str]]:
    """Return who agreed with what, of the delegations in the history from `start` on."""
    entries = site.world.history(start)
    return [
        (each["owner"], each["evidence"]["kind"]) for each in entries if each["type"] == "delegation.granted"
    ]


def test_a_quorum_of_device_keys_lets_the_ca_sign_and_one_takes_it_back(
    site: Site, home: KeyTerminal
) -> None:
    start = site.world.size()
    assert site.signer.refusal()["quorum"]["needed"] == 2
    home.say(*LEND, "--name", "*.example.com", "--device-key", "alice.key")
    assert site.signer.refusal()["quorum"]["any_of"] == ["bob", "carol"]
    said = home.say(*LEND, "--device-key", "bob.key")
    certificate = site.signer.issue()
    certificate.verify_directly_issued_by(site.ca)
    assert granted(site, start) == [("alice", "device"), ("bob", "device")]
    home.say(*said.strip().splitlines()[-1].partition("custodian ")[2].split())
    assert site.signer.refusal()["quorum"]["needed"] == 1


@needs_ssh
def test_an_ssh_key_agrees_for_one_owner_and_a_carried_grant_for_another(
    site: Site, home: KeyTerminal
) -> None:
    start = site.world.size()
    make_ssh_key(home.directory / "id")
    home.say("slot", "add", "--ssh", "id.pub", "--device-key", "alice.key")
    home.say(*LEND, "--ssh-key", "id", *home.with_password("alice"))
    write_grant(home, "carol")
    assert site.signer.refusal()["quorum"]["any_of"] == ["bob", "carol"]
    home.say("grant", "post", "grant.json")
    site.signer.issue().verify_directly_issued_by(site.ca)
    assert granted(site, start) == [("alice", "ssh"), ("carol", "device")]


def write_grant(home: KeyTerminal, owner: str) -> None:
    """Make grant.json where the custodian cannot be reached, of material made where it can."""
    device = ("--device-key", f"{owner}.key")
    home.say("grant", "material", "ca", "--signer", "ca-1", "-o", "material.json", *device)
    carry = (*LEND, "--material", "material.json", "-o", "grant.json", *device)
    home.say(*carry, CUSTODIAN_URL="https://127.0.0.1:1")


def test_a_share_that_was_altered_on_the_way_names_its_owner_and_costs_no_use(
    site: Site, home: KeyTerminal
) -> None:
    """Whoever carries a grant can spoil it, and no more: nobody but the signer can tell."""
    write_grant(home, "alice")
    spoil(home.directory / "grant.json")
    home.say("grant", "post", "grant.json")
    home.say(*LEND, "--device-key", "bob.key")
    assert "share of alice" in site.signer.refusal()["message"]
    assert [each["left"] for each in delegations(site.world)] == [100, 100]
    assert site.signer.keyholders() == []


def spoil(file: Path) -> None:
    grant: Any = json.loads(file.read_bytes())
    [(recipient, share)] = grant["sealed"].items()
    raw = bytearray(decode_base64(share, "share"))
    raw[-1] ^= 1
    grant["sealed"] = {recipient: encode_base64(bytes(raw))}
    file.write_text(json.dumps(grant))


def test_neither_seeds_nor_passwords_are_in_what_the_custodian_keeps(site: Site, home: KeyTerminal) -> None:
    home.say(*LEND, "--device-key", "alice.key")
    kept = b"".join(file.read_bytes() for file in site.daemon.directory.iterdir() if file.is_file())
    assert b"device-laptop" in kept
    for owner in OWNERS:
        key: DeviceKey = home.key(f"{owner}.key")
        for secret in (key.seed, key.unlock.raw):
            assert secret not in kept
            assert encode_base64(secret).encode() not in kept
