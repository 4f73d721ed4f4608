"""Grants that are carried: made where there is no network, sent by anybody, altered by nobody."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples import private_key
from middleman import opened
from running import SECRET, World
from terminals import LEND, KeyTerminal, delegations, found, secrets_of

from custodian.devicekey import make_device_key
from custodian.encoding import decode_base64, encode_base64


@pytest.fixture
def grant(terminal: KeyTerminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grant made where there is no network, of material that was made where there is."""
    terminal.say(
        "grant", "material", "ca", "--signer", "ca-1", "-o", "material.json", "--device-key", "alice.key"
    )
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", no_network)
        lend = (*LEND, "--device-key", "alice.key", "--material", "material.json", "-o", "grant.json")
        terminal.say(*lend, CUSTODIAN_CA="/nowhere/tls.pem")
    return terminal.directory / "grant.json"


def no_network(*_: object) -> None:
    raise OSError("there is no network")


def test_a_grant_made_without_a_network_is_sent_by_anybody(
    terminal: KeyTerminal, world: World, grant: Path
) -> None:
    said = terminal.say("grant", "post", "grant.json")
    [lent] = delegations(world)
    assert said.startswith(f"Lent: {lent['id']}, ")
    back = f"custodian revoke {lent['id']} -u alice  (or --device-key FILE)"
    assert said.endswith(f"alice takes it back with:  {back}\n")
    world.lend("bob")
    assert world.signer.join(world.signer.ask().ok()) == SECRET


def test_neither_grant_nor_material_holds_a_secret(terminal: KeyTerminal, world: World, grant: Path) -> None:
    secrets = secrets_of(world, terminal.key())
    for file in (grant, terminal.directory / "material.json"):
        assert found(secrets, opened(b"\r\n\r\n" + file.read_bytes()) + file.read_bytes()) == []


def test_a_grant_is_taken_once(terminal: KeyTerminal, world: World, grant: Path) -> None:
    terminal.say("grant", "post", "grant.json")
    assert terminal.refusal("grant", "post", "grant.json") == "these terms were granted already"
    assert len(delegations(world)) == 1


def more_uses(grant: Any) -> None:
    terms = decode_base64(grant["terms"], "terms")
    grant["terms"] = encode_base64(terms.replace(b'"uses":5', b'"uses":9'))


def another_owner(grant: Any) -> None:
    terms = decode_base64(grant["terms"], "terms")
    grant["terms"] = encode_base64(terms.replace(b'"owner":"alice"', b'"owner":"bob"'))


def another_recipient(grant: Any) -> None:
    [(recipient, share)] = grant["sealed"].items()
    eve = str(private_key("eve").public)
    terms = decode_base64(grant["terms"], "terms")
    grant["terms"] = encode_base64(terms.replace(recipient.encode(), eve.encode()))
    grant["sealed"] = {eve: share}


def another_seal(grant: Any) -> None:
    [(_, share)] = grant["sealed"].items()
    grant["sealed"] = {str(private_key("eve").public): share}


def another_signature(grant: Any) -> None:
    stranger = make_device_key("alice", bytes(32), "laptop")
    signed = stranger.agree(decode_base64(grant["terms"], "terms"), "device-laptop")
    grant["evidence"] = signed.model_dump()


def another_credential(grant: Any) -> None:
    grant["evidence"]["credential"] = "device-other"


NOT_AGREED = "no credential of {} here agreed to these terms; make the grant anew by one of them"
ALTERED = [
    (more_uses, NOT_AGREED.format("alice")),
    (another_owner, NOT_AGREED.format("bob")),
    (another_recipient, NOT_AGREED.format("alice")),
    (another_seal, "sealed: must hold the share sealed to each recipient"),
    (another_signature, NOT_AGREED.format("alice")),
    (another_credential, NOT_AGREED.format("alice")),
]


@pytest.mark.parametrize(("alter", "why"), ALTERED, ids=lambda each: getattr(each, "__name__", ""))
def test_an_altered_grant_is_refused(
    terminal: KeyTerminal, world: World, grant: Path, alter: Callable[[Any], None], why: str
) -> None:
    altered = json.loads(grant.read_bytes())
    alter(altered)
    grant.write_text(json.dumps(altered))
    assert terminal.refusal("grant", "post", "grant.json") == why
    assert delegations(world) == []
    if alter is not another_credential:
        shown = terminal.run("grant", "show", "grant.json", "--material", "material.json")
        assert shown.exit_code == 1 or "Not checked: by whom" in shown.output


def test_a_grant_is_shown_with_what_was_checked_and_what_was_not(
    terminal: KeyTerminal, world: World, grant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", no_network)
    shown = terminal.say("grant", "show", "grant.json")
    assert shown.startswith("alice lends their share of ca to ca-1:\n5 signatures, from ")
    assert "Not checked: by whom, and to whom; say --material" in shown
    checked = terminal.say("grant", "show", "grant.json", "--material", "material.json")
    assert "Checked:    ca-1 announced this recipient, by the identity that the key names" in checked
    assert "Checked:    alice agreed to exactly this, with device device-laptop" in checked


def test_a_grant_dies_with_the_signer_it_was_made_for(
    terminal: KeyTerminal, world: World, grant: Path
) -> None:
    world.signer.announce()
    assert "has restarted since" in terminal.refusal("grant", "post", "grant.json")
    again = (*LEND, "--device-key", "alice.key", "--material", "material.json", "-o", "grant.json")
    terminal.say(*again)  # the material is of the old one
    assert "has restarted since" in terminal.refusal("grant", "post", "grant.json")
    material = ("grant", "material", "ca", "--signer", "ca-1", "-o", "material.json")
    terminal.say(*material, "--device-key", "alice.key")
    refusal = terminal.refusal("grant", "show", "grant.json", "--material", "material.json")
    assert refusal == "the grant is sealed to something else than what ca-1 announced last"


def test_material_is_for_one_key_and_one_signer(terminal: KeyTerminal, grant: Path) -> None:
    lend = ("--uses", "5", "--for", "1h", "--device-key", "alice.key", "--material", "material.json")
    refusal = terminal.refusal("delegate", "ca", "--signer", "ca-2", *lend, "-o", "other.json")
    assert refusal == "this is for lending ca to ca-1, not ca to ca-2"
    assert not (terminal.directory / "other.json").exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"type":"custodian/grant/v2"}'])
def test_a_file_that_is_no_grant_is_refused_in_a_sentence(terminal: KeyTerminal, content: bytes) -> None:
    (terminal.directory / "grant.json").write_bytes(content)
    for command in ("show", "post"):
        assert ": " in terminal.refusal("grant", command, "grant.json")
    assert (
        terminal.refusal("grant", "show", "none.json")
        == "none.json: cannot be read: No such file or directory"
    )
