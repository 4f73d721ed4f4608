"""What opens an owner's shares and proves who they are: added, lost and removed at the terminal."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from middleman import middleman
from running import SECRET, World, password_of
from terminals import LEND, KeyTerminal, delegations, found, make_ssh_key, needs_ssh, secrets_of


def ways(terminal: KeyTerminal) -> dict[str, str]:
    """Return id -> what it does, as alice's list of slots shows it."""
    lines = terminal.say("slot", "list", "--device-key", "alice.key").splitlines()[1:]
    return {
        line.split()[0]: " and ".join(word for word in ("opens", "proves") if word in line) for line in lines
    }


# -- adding


def test_a_device_key_is_a_file_that_only_its_owner_reads(terminal: KeyTerminal) -> None:
    file = terminal.directory / "alice.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first, owner, seed, label = file.read_text().splitlines()
    assert (first, owner, label) == ("custodian/device-key/v1", "owner: alice", "label: laptop")
    assert seed.startswith("seed: ")
    assert ways(terminal) == {"device-laptop": "opens and proves", "password": "opens and proves"}


def test_with_a_password_the_custodian_makes_the_slot_and_that_is_said(
    terminal: KeyTerminal, world: World
) -> None:
    with middleman(world.daemon) as (man, url):
        add = ("slot", "add", "--device", "phone", "-o", "phone.key", *terminal.with_password("alice"))
        result = terminal.run(*add, CUSTODIAN_URL=url)
    assert result.exit_code == 0, result.output
    assert result.stderr == "The custodian sees your password, and what it opens, for this moment.\n"
    secrets = secrets_of(world, terminal.key("phone.key"))
    assert found(secrets, man.spoken()) == ["password"]
    terminal.say(*LEND, "--device-key", "phone.key")
    assert len(delegations(world)) == 1


def test_an_old_device_makes_a_new_one_and_the_custodian_sees_no_secret(
    terminal: KeyTerminal, world: World
) -> None:
    with middleman(world.daemon) as (man, url):
        add = ("slot", "add", "--device", "spare", "-o", "spare.key", "--device-key", "alice.key")
        terminal.say(*add, CUSTODIAN_URL=url)
    both = secrets_of(world, terminal.key()) | {"spare": terminal.key("spare.key").seed}
    assert found(both, man.spoken()) == []
    terminal.say(*LEND, "--device-key", "spare.key")
    assert len(delegations(world)) == 1


@needs_ssh
def test_an_ssh_key_and_a_password_that_stays_here_make_a_device_key(
    terminal: KeyTerminal, world: World
) -> None:
    make_ssh_key(terminal.directory / "id")
    terminal.say("slot", "add", "--ssh", "id.pub", "--device-key", "alice.key")
    by_ssh = ("--ssh-key", "id", *terminal.with_password("alice"))
    terminal.say("slot", "add", "--device", "spare", "-o", "spare.key", *by_ssh)
    terminal.say(*LEND, "--device-key", "spare.key")
    assert sorted(ways(terminal).values()) == [*["opens and proves"] * 3, "proves"]


def test_a_file_that_is_there_is_never_written_over(terminal: KeyTerminal) -> None:
    before = (terminal.directory / "alice.key").read_bytes()
    add = ("slot", "add", "--device", "spare", "-o", "alice.key", *terminal.with_password("alice"))
    assert terminal.refusal(*add) == "alice.key: is there already; no key is written over another"
    assert (terminal.directory / "alice.key").read_bytes() == before
    assert set(ways(terminal)) == {"device-laptop", "password"}


def test_a_refusal_leaves_no_file_behind(terminal: KeyTerminal) -> None:
    add = ("slot", "add", "--device", "laptop", "-o", "again.key", *terminal.with_password("alice"))
    assert terminal.refusal(*add) == "alice has device-laptop already; choose another id"
    assert not (terminal.directory / "again.key").exists()


@pytest.mark.parametrize("name", ["my laptop", "Laptop", "a/b", "x" * 64, "é"])
def test_a_device_has_a_name_that_can_be_typed(terminal: KeyTerminal, name: str) -> None:
    add = ("slot", "add", "--device", name, "-o", "spare.key", *terminal.with_password("alice"))
    assert ": " in terminal.refusal(*add)
    assert not (terminal.directory / "spare.key").exists()


@pytest.mark.parametrize(
    "options", [(), ("--device", "x"), ("-o", "x.key"), ("--ssh", "id.pub", "--device", "x", "-o", "x.key")]
)
def test_what_to_add_has_to_be_said(terminal: KeyTerminal, options: tuple[str, ...]) -> None:
    result = terminal.run("slot", "add", *options, "--device-key", "alice.key")
    assert (result.exit_code, "say either --device NAME -o FILE" in result.stderr) == (2, True)


def test_a_custodian_that_makes_a_slot_of_its_own_is_found_out(terminal: KeyTerminal, world: World) -> None:
    with middleman(world.daemon) as (man, url):
        man.lies["POST /me/slots"] = without_the_new_slot
        add = ("slot", "add", "--device", "phone", "-o", "phone.key", *terminal.with_password("alice"))
        refusal = terminal.refusal(*add, CUSTODIAN_URL=url)
    assert refusal == "the custodian made no slot device-phone; tell an administrator"
    assert not (terminal.directory / "phone.key").exists()


def without_the_new_slot(me: Any) -> Any:
    return me | {"slots": me["slots"][:0]}


# -- losing and removing


def test_a_lost_device_is_removed_and_opens_and_proves_nothing(terminal: KeyTerminal) -> None:
    terminal.say("slot", "add", "--device", "spare", "-o", "spare.key", "--device-key", "alice.key")
    said = terminal.say("slot", "remove", "device-laptop", "--device-key", "spare.key")
    assert said == "device-laptop is removed.\n"
    refusal = terminal.refusal(*LEND, "--device-key", "alice.key")
    assert refusal == "the name or the signature is not right"
    terminal.say(*LEND, "--device-key", "spare.key")


def test_a_password_removes_a_device_too(terminal: KeyTerminal) -> None:
    terminal.say("slot", "remove", "device-laptop", *terminal.with_password("alice"))
    assert "signature is not right" in terminal.refusal("status", "--device-key", "alice.key")


def test_the_list_is_there_for_programs(terminal: KeyTerminal) -> None:
    listed = json.loads(terminal.say("slot", "list", "--json", "--device-key", "alice.key"))
    assert [each["id"] for each in listed["credentials"]] == ["device-laptop"]
    assert listed["name"] == "alice"


# -- without a password from the start


@pytest.fixture
def invited(world: World, tmp_path: Path) -> tuple[KeyTerminal, str]:
    """A terminal with an owner's invitation in the file code, and the owner's name."""
    name = f"dave-{os.urandom(4).hex()}"
    (tmp_path / "code").write_text(world.invite("owner", name) + "\n")
    return KeyTerminal(world.daemon, tmp_path), name


ENROL = ("enrol", "--invitation-file", "code", "--device-key", "my.key", "--device", "desk")


def test_an_owner_without_a_password_lends(invited: tuple[KeyTerminal, str], world: World) -> None:
    terminal, name = invited
    said = terminal.say(*ENROL)
    assert said.startswith(f"You are enrolled as {name}, owner.\n")
    assert "  custodian slot add --device spare -o spare.key --device-key my.key\n" in said
    assert terminal.key("my.key").owner == name
    world.seal_key(f"key-of-{name}", f"2 of (alice, {name})")
    terminal.say("delegate", f"key-of-{name}", *LEND[2:], "--device-key", "my.key")
    world.lend("alice", key=f"key-of-{name}")
    assert world.signer.join(world.signer.ask(key=f"key-of-{name}").ok()) == SECRET


def test_no_password_is_that_of_an_owner_without_one(invited: tuple[KeyTerminal, str], world: World) -> None:
    terminal, name = invited
    terminal.say(*ENROL)
    for guess in (password_of(name), " ", terminal.key("my.key").seed.hex()):
        (terminal.directory / "guess").write_text(guess + "\n")
        refusal = terminal.refusal("status", "-u", name, "--password-file", "guess")
        assert refusal == "the name or the password is not right"


def test_the_last_way_in_is_not_removed(invited: tuple[KeyTerminal, str]) -> None:
    terminal, _ = invited
    terminal.say(*ENROL)
    assert "last" in terminal.refusal("slot", "remove", "device-desk", "--device-key", "my.key")
    terminal.say("slot", "list", "--device-key", "my.key")


def test_an_invitation_enrols_once_and_a_refused_one_leaves_no_file(invited: tuple[KeyTerminal, str]) -> None:
    terminal, _ = invited
    terminal.say(*ENROL)
    again = ("enrol", "--invitation-file", "code", "--device-key", "again.key")
    assert "this invitation is not valid" in terminal.refusal(*again)
    assert not (terminal.directory / "again.key").exists()


def test_a_custodian_that_enrols_another_key_is_found_out(
    invited: tuple[KeyTerminal, str], world: World
) -> None:
    terminal, _ = invited
    with middleman(world.daemon) as (man, url):
        man.lies["POST /enrolments/devices"] = lambda answer: answer | {"public": "x25519:another"}
        refusal = terminal.refusal(*ENROL, CUSTODIAN_URL=url)
    assert refusal == "the custodian enrolled another key than yours; tell an administrator"


def test_only_owners_enrol_with_a_device_key(world: World, tmp_path: Path) -> None:
    terminal = KeyTerminal(world.daemon, tmp_path)
    (tmp_path / "code").write_text(world.invite("auditor", "audrey") + "\n")
    refusal = terminal.refusal(*ENROL)
    assert refusal == "--device-key: is for owners; audrey enrols with a password"
    assert not (tmp_path / "my.key").exists()


def test_who_enrols_with_a_password_is_told_of_a_second_way(
    invited: tuple[KeyTerminal, str], world: World
) -> None:
    terminal, name = invited
    terminal.with_password(name)
    said = terminal.say("enrol", "--invitation-file", "code", "--password-file", f"password-{name}")
    assert f"  custodian slot add --device spare -o spare.key -u {name}\n" in said
