"""Lending at the terminal without a password leaving it: device keys, SSH keys, grants that are carried."""

import os
import pty
import re
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from examples import NOW, private_key
from middleman import middleman, secret_forms
from running import SECRET, World
from terminals import LEND, KeyTerminal, delegations, found, make_ssh_key, needs_ssh, secrets_of

from custodian.devicekey import format_device_key, make_device_key
from custodian.encoding import decode_base64, encode_base64, format_instant
from custodian.envelope import Envelope, parse_envelope
from custodian.identity import Identity, announce
from custodian.slots import make_slot, parse_slot

EVE = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)


# -- lending with a device key


def test_a_share_lent_with_a_device_key_opens_the_key_for_its_signer(
    terminal: KeyTerminal, world: World
) -> None:
    said = terminal.say(*LEND, "--name", "*.example.com", "--device-key", "alice.key")
    delegation = re.findall(r"d-[0-9a-f]{24}", said)[0]
    assert said.endswith(f"To take it back:  custodian revoke {delegation} --device-key alice.key\n")
    world.lend("bob")
    assert world.signer.join(world.signer.ask().ok()) == SECRET
    granted = next(each for each in world.history() if each.get("id") == delegation)
    assert granted["evidence"]["kind"] == "device"
    assert granted["evidence"]["credential"] == "device-laptop"


def test_what_is_lent_is_said_to_the_second_before_it_is_agreed_to(
    terminal: KeyTerminal, world: World
) -> None:
    result = terminal.run(*LEND, "--request", "ticket 7", "--device-key", "alice.key")
    start, end = re.findall(r"(\d{4}-\S+Z)", result.stdout)[:2]
    announced = format_instant(world.signer.announced)
    assert f"from {start} until {end}; whatever its profiles allow.\n" in result.stderr
    assert "You lend your share of ca to ca-1: 5 signatures,\n" in result.stderr
    assert f"Only ca-1 as it runs since {announced} can open it: recipient " in result.stderr
    assert "It answers: ticket 7\n" in result.stderr


@pytest.mark.parametrize(
    "command",
    [("status",), ("key", "list"), ("delegations",), ("history",), ("owner", "list"), ("slot", "list")],
)
def test_a_device_key_signs_in_for_whatever_is_read(
    terminal: KeyTerminal, world: World, command: tuple[str, ...]
) -> None:
    with middleman(world.daemon) as (man, url):
        result = terminal.run(*command, "--device-key", "alice.key", CUSTODIAN_URL=url)
    assert result.exit_code in (0, 2), result.output  # 2: a key is closed
    called = man.called()
    assert called[:2] == ["GET /sessions/statement", "POST /sessions"]
    assert called[-1] == "DELETE /sessions"


def test_a_device_key_takes_back_what_it_lent(terminal: KeyTerminal, world: World) -> None:
    terminal.say(*LEND, "--device-key", "alice.key")
    [lent] = delegations(world)
    said = terminal.say("revoke", lent["id"], "--device-key", "alice.key")
    assert said == f"{lent['id']} is revoked; 0 leases ended.\n"


# -- what leaves


@needs_ssh
def test_neither_password_nor_seed_nor_share_leaves_the_device(terminal: KeyTerminal, world: World) -> None:
    make_ssh_key(terminal.directory / "id")
    with middleman(world.daemon) as (man, url):
        terminal.environment["CUSTODIAN_URL"] = url
        terminal.say("slot", "add", "--ssh", "id.pub", "--device-key", "alice.key")
        terminal.say(*LEND, "--device-key", "alice.key")
        terminal.say(*LEND, "--ssh-key", "id", "--device-key", "alice.key")
        terminal.say(*LEND, "--ssh-key", "id", *terminal.with_password("alice"))
        by_ssh = ("--ssh-key", "id", *terminal.with_password("alice"))
        terminal.say("slot", "add", "--device", "spare", "-o", "spare.key", *by_ssh)
        terminal.say("slot", "remove", "device-spare", "--device-key", "alice.key")
    assert len(delegations(world)) == 3
    posted = [each for each in man.heard if each.startswith(b"POST /api/v1/grants ")]
    assert len(posted) == 3
    assert b"Authorization" not in b"".join(posted)  # the evidence is enough
    secrets = secrets_of(world, terminal.key()) | {"spare": terminal.key("spare.key").seed}
    assert found(secrets, man.spoken()) == []


def test_the_search_finds_what_the_password_path_sends(terminal: KeyTerminal, world: World) -> None:
    """Or the test above could not fail."""
    with middleman(world.daemon) as (man, url):
        terminal.say(*LEND, *terminal.with_password("alice"), CUSTODIAN_URL=url)
    secrets = secrets_of(world, terminal.key())
    assert found(secrets, man.spoken()) == ["password"]
    sent = b"".join(secret_form for secret in secrets.values() for secret_form in secret_forms(secret))
    assert found(secrets, sent) == list(secrets)


# -- a custodian that lies


def other_identity(_: World) -> tuple[str, Callable[[Any], Any], str]:
    recipient = private_key("eve").public
    said = {
        "recipient": str(recipient),
        "announced": format_instant(NOW),
        "announcement": encode_base64(announce(EVE, "ca-1", recipient, NOW)),
    }
    return "GET /signers", lambda signers: [each | said for each in signers], "not announced by the identity"


def other_recipient(_: World) -> tuple[str, Callable[[Any], Any], str]:
    said = {"recipient": str(private_key("eve").public)}
    return "GET /signers", lambda signers: [each | said for each in signers], "not announced by the identity"


def envelope_of(answer: Any) -> Envelope:
    return parse_envelope(decode_base64(answer["envelope"], "envelope"))


def changed_facts(world: World) -> tuple[str, Callable[[Any], Any], str]:
    """Who may be lent the key, before the other owners' eyes unchanged."""

    def lie(answer: Any) -> Any:
        raw = bytes(envelope_of(answer)).replace(b"policy: 2 of", b"policy: 3 of")
        return answer | {"envelope": encode_base64(raw)}

    return "GET /keys/ca", lie, "does not open: the envelope is not as it was sealed"


def planted_identity(world: World) -> tuple[str, Callable[[Any], Any], str]:
    """The custodian is eve: her identity in the key's facts, her announcement of her recipient."""
    eve = Identity(EVE.public_key().public_bytes_raw())

    def lie(answer: Any) -> Any:
        raw = bytes(envelope_of(answer)).replace(str(world.signer.identity).encode(), str(eve).encode())
        return answer | {"envelope": encode_base64(raw)}

    return "GET /keys/ca", lie, "does not open: the envelope is not as it was sealed"


def another_key(world: World) -> tuple[str, Callable[[Any], Any], str]:
    if not any(each["name"] == "other" for each in world.person("alice", "GET", "/keys").ok()):
        world.seal_key("other")
    other = world.person("alice", "GET", "/keys/other").ok()
    return "GET /keys/ca", lambda _: other, "for lending other to ca-1, not ca to ca-1"


def swapped_share(world: World) -> tuple[str, Callable[[Any], Any], str]:
    """The custodian seals something of its own to alice, as if it were her share."""

    def lie(answer: Any) -> Any:
        envelope = envelope_of(answer)
        alice = envelope.holdings["alice"]
        sealed = alice.public.seal(bytes(48), envelope.facts.share_info("alice"))
        old, new = (encode_base64(each).encode() for each in (alice.sealed, sealed))
        return answer | {"envelope": encode_base64(bytes(envelope).replace(old, new))}

    return "GET /keys/ca", lie, "is not the one that was dealt"


def others_slot(world: World) -> tuple[str, Callable[[Any], Any], str]:
    bobs = world.person("bob", "GET", "/me").ok()["slots"]
    return "GET /me", lambda me: me | {"slots": bobs}, "no slot of yours for this device key"


def planted_owner_key(_: World) -> tuple[str, Callable[[Any], Any], str]:
    """Anyone can seal to a device's slot key; what is sealed must be what the share was dealt to."""

    def lie(me: Any) -> Any:
        slots = [parse_slot(decode_base64(each, "slot")) for each in me["slots"]]
        old = next(each for each in slots if each.kind == "device")
        made = make_slot(private_key("eve"), ("alice", old.id, "device"), old.public, **old.parameters)
        return me | {"slots": [encode_base64(bytes(made))]}

    return "GET /me", lie, "does not open: the envelope is not as it was sealed"


def terms_as_statement(_: World) -> tuple[str, Callable[[Any], Any], str]:
    """Were the statement signed, it would be alice's word for whatever the custodian wrote."""
    lie = {"statement": '{"type":"custodian/terms/v1"}'}
    return "GET /sessions/statement", lambda _: lie, "no statement to sign in"


LIES = [
    other_identity,
    other_recipient,
    changed_facts,
    planted_identity,
    another_key,
    swapped_share,
    others_slot,
    planted_owner_key,
    terms_as_statement,
]


@pytest.mark.parametrize("make", LIES)
def test_a_custodian_that_lies_is_refused_by_the_owners_side(
    terminal: KeyTerminal, world: World, make: Callable[[World], tuple[str, Callable[[Any], Any], str]]
) -> None:
    with middleman(world.daemon) as (man, url):
        call, lie, why = make(world)
        man.lies[call] = lie
        if make is planted_identity:
            man.lies["GET /signers"] = other_identity(world)[1]
        refusal = terminal.refusal(*LEND, "--device-key", "alice.key", CUSTODIAN_URL=url)
        assert why in refusal
        assert "POST /grants" not in man.called()
        man.lies.clear()
        terminal.say(*LEND, "--device-key", "alice.key", CUSTODIAN_URL=url)


# -- at a terminal, and what cannot be right


def test_at_a_terminal_one_is_asked_and_no_means_no(terminal: KeyTerminal, world: World) -> None:
    assert "Lend this? [y/N]: " in on_a_terminal(terminal, "n", *LEND, "--device-key", "alice.key")
    assert delegations(world) == []
    assert "Lent: d-" in on_a_terminal(terminal, "y", *LEND, "--device-key", "alice.key")
    shown = on_a_terminal(terminal, "", *LEND, "--device-key", "alice.key", "--yes")
    assert "Lent: d-" in shown
    assert "Lend this?" not in shown


def on_a_terminal(terminal: KeyTerminal, answer: str, *arguments: str) -> str:
    """Run a command on a pseudo terminal, answer when it asks; return what was shown."""
    child, ours = pty.fork()
    if not child:
        os.chdir(terminal.directory)
        said = {name: value for name, value in terminal.environment.items() if value}
        os.execve(sys.executable, [sys.executable, "-m", "custodian", *arguments], os.environ | said)  # noqa: S606
    shown = b""
    while select.select([ours], [], [], 20)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:
            break
        if shown.endswith(b"[y/N]: "):
            os.write(ours, f"{answer}\n".encode())
    os.waitpid(child, 0)
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_a_device_key_that_others_can_read_is_not_used(terminal: KeyTerminal) -> None:
    (terminal.directory / "alice.key").chmod(0o640)
    refusal = terminal.refusal("status", "--device-key", "alice.key")
    assert refusal == "alice.key: can be read by others; run: chmod 600 alice.key"


def test_a_device_key_that_is_none_is_refused_without_a_word_of_it(terminal: KeyTerminal) -> None:
    file = terminal.directory / "alice.key"
    file.write_text(file.read_text().replace("seed: ", "seed: !"))
    refusal = terminal.refusal("status", "--device-key", "alice.key")
    assert "seed" in refusal
    assert encode_base64(seed_in(file)) not in refusal


def seed_in(file: Path) -> bytes:
    return decode_base64(file.read_text().splitlines()[2].removeprefix("seed: !"), "seed")


def test_a_device_key_is_its_owners_and_nobody_elses(terminal: KeyTerminal) -> None:
    result = terminal.run("status", "--device-key", "alice.key", "-u", "bob")
    assert (result.exit_code, "the device key is alice's, not bob's" in result.stderr) == (2, True)
    stranger = make_device_key("alice", bytes(32), "laptop")
    file = terminal.directory / "stranger.key"
    file.write_text(format_device_key(stranger))
    file.chmod(0o600)
    assert (
        terminal.refusal("status", "--device-key", "stranger.key") == "the name or the signature is not right"
    )


def test_who_calls_has_to_be_said(terminal: KeyTerminal) -> None:
    result = terminal.run("status")
    assert (result.exit_code, "say who you are: -u NAME, or --device-key FILE" in result.stderr) == (2, True)


def test_a_grant_needs_something_to_sign_with(terminal: KeyTerminal) -> None:
    result = terminal.run(*LEND, "-o", "grant.json", *terminal.with_password("alice"))
    assert (result.exit_code, "--device-key or --ssh-key is needed" in result.stderr) == (2, True)
