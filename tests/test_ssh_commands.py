"""SSH keys that owners have already, with the real ssh-keygen and ssh-agent: they agree, and open nothing."""

import pytest
from middleman import middleman
from running import SECRET, World, password_of
from terminals import LEND, KeyTerminal, delegations, found, make_ssh_key, needs_ssh, ssh_agent


@needs_ssh
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_an_ssh_key_agrees_and_a_password_that_stays_here_opens(
    terminal: KeyTerminal, world: World, kind: str
) -> None:
    make_ssh_key(terminal.directory / "id", kind)
    said = terminal.say("slot", "add", "--ssh", "id.pub", *terminal.with_password("alice"))
    credential = said.split()[0]
    with middleman(world.daemon) as (man, url):
        options = ("--ssh-key", "id", *terminal.with_password("alice"))
        terminal.say(*LEND, *options, CUSTODIAN_URL=url)
    assert found({"password": password_of("alice").encode()}, man.spoken()) == []
    world.lend("bob")
    assert world.signer.join(world.signer.ask().ok()) == SECRET
    granted = next(
        each for each in world.history()[::-1] if each.get("owner") == "alice" and "evidence" in each
    )
    assert (granted["evidence"]["kind"], granted["evidence"]["credential"]) == ("ssh", credential)


@needs_ssh
def test_an_ssh_key_in_an_agent_is_asked_by_its_public_half(terminal: KeyTerminal, world: World) -> None:
    make_ssh_key(terminal.directory / "id")
    with ssh_agent(terminal.directory, terminal.directory / "id") as agent:
        (terminal.directory / "id").unlink()
        terminal.say("slot", "add", "--ssh", "id.pub", "--device-key", "alice.key", SSH_AUTH_SOCK=agent)
        lend = (*LEND, "--ssh-key", "id.pub", "--device-key", "alice.key")
        terminal.say(*lend, SSH_AUTH_SOCK=agent)
    assert len(delegations(world)) == 1
    assert (
        terminal.refusal(*lend, SSH_AUTH_SOCK="") == "ssh-keygen did not sign with id.pub; it said why above"
    )


@needs_ssh
def test_an_ssh_key_that_the_custodian_does_not_know_proves_nothing(terminal: KeyTerminal) -> None:
    make_ssh_key(terminal.directory / "id")
    refusal = terminal.refusal(*LEND, "--ssh-key", "id", *terminal.with_password("alice"))
    assert refusal == "the name or the signature is not right"


@needs_ssh
def test_a_wrong_password_opens_nothing_and_nothing_is_signed(terminal: KeyTerminal, world: World) -> None:
    make_ssh_key(terminal.directory / "id")
    terminal.say("slot", "add", "--ssh", "id.pub", "--device-key", "alice.key")
    (terminal.directory / "wrong").write_text("not the password of alice\n")
    with middleman(world.daemon) as (man, url):
        options = ("-u", "alice", "--ssh-key", "id", "--password-file", "wrong")
        refusal = terminal.refusal(*LEND, *options, CUSTODIAN_URL=url)
    assert refusal == "the seal does not open with this key in this place"
    assert "POST /grants" not in man.called()


def test_where_there_is_no_ssh_keygen_that_is_said(
    terminal: KeyTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINlfHdufSrluDcgbf/4rOlTNHQSeL1dEk/eWJu/14Oc/ alice\n"
    (terminal.directory / "id.pub").write_text(line)
    refusal = terminal.refusal("status", "--ssh-key", "id", "-u", "alice", PATH=str(terminal.directory))
    assert refusal == "ssh-keygen is not there; install OpenSSH 8.1 or later"
