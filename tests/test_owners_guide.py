"""docs/owners.md and the runbook's sections for owners work as they stand: every command, in their order."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from running import ADMIN, World
from terminals import KeyTerminal, delegations, make_ssh_key, needs_ssh
from test_docs import commands

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = (DOCS / "owners.md").read_text()
RUNBOOK = (DOCS / "runbook.md").read_text()
ASKED = {"key": "ca", "signer": "ca-1", "uses": 2, "duration": "30m", "reason": "renew the front ends"}


def section(text: str, title: str) -> list[list[str]]:
    """Return the commands below a heading."""
    part = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = [words for words in commands(part) if words[:2] != ["custodian", "serve"]]
    assert found, title
    return found


class Reader:
    """Types what a document says, with ids that exist in place of its examples."""

    def __init__(self, world: World, terminal: KeyTerminal) -> None:
        self.world, self.terminal = world, terminal
        self.ids: dict[str, str] = {"~": str(terminal.directory)}

    def type(self, words: list[str]) -> str:
        text = [re.sub(r"^~|^[dr]-[0-9a-f]+$", self._id, word) for word in words[1:]]
        password = self.terminal.with_password("alice")[2:] if "-u" in text else ()
        return self.terminal.say(*text, *password)

    def _id(self, match: re.Match[str]) -> str:
        return self.ids[match[0][:2]]

    def read(self, text: str, title: str) -> list[str]:
        return [self.type(words) for words in section(text, title)]


@pytest.fixture
def reader(world: World, tmp_path: Path) -> Reader:
    (tmp_path / "code").write_text(world.invite("owner", f"dave-{os.urandom(3).hex()}"))
    return Reader(world, KeyTerminal(world.daemon, tmp_path))


@needs_ssh
def test_every_command_of_the_owners_guide_does_what_it_says(reader: Reader, world: World) -> None:
    """In one go, but that the password is removed, and lent and declined, at the end, when it can be."""
    terminal = reader.terminal
    (terminal.directory / ".ssh").mkdir()
    make_ssh_key(terminal.directory / ".ssh" / "id_ed25519")
    get = section(GUIDE, "Get a device key")
    removes = next(words for words in get if "remove" in words)
    enrols = next(words for words in get if "enrol" in words)
    for words in get:
        if words not in (removes, enrols):
            reader.type(words)
    reader.type([*enrols, "--invitation-file", "code"])
    lend, show, revoke = section(GUIDE, "Lend")
    reader.ids["d-"] = re.findall("d-[0-9a-f]{24}", reader.type(lend))[0]
    assert reader.ids["d-"] in reader.type(show)
    assert "is revoked" in reader.type(revoke)
    answer(reader, world)
    reader.read(GUIDE, "With an SSH key")
    *_, shown, posted = reader.read(GUIDE, "Where there is no network")
    assert shown.count("Checked: ") == 2
    assert posted.startswith("Lent: ")
    assert len(delegations(world)) == 3
    clean_up(terminal, world)


def answer(reader: Reader, world: World) -> None:
    """Answer one request, decline another."""
    listed, shown, lends, declines = section(GUIDE, "Answer a request")
    request: Any = world.person(ADMIN, "POST", "/requests", ASKED).ok()
    reader.ids["r-"] = request["id"]
    assert request["id"] in reader.type(listed)
    assert " ".join(request["words"]) in reader.type(shown)
    assert "Lent: " in reader.type(lends)
    other: Any = world.person(ADMIN, "POST", "/requests", ASKED | {"uses": 9}).ok()
    reader.ids["r-"] = other["id"]
    assert "You declined" in reader.type(declines)


def clean_up(terminal: KeyTerminal, world: World) -> None:
    for each in world.person("alice", "GET", "/me").ok()["credentials"]:
        world.person("alice", "POST", f"/me/slots/{each['id']}/remove", {}).ok()


def test_the_runbook_replaces_a_lost_device_key(reader: Reader, world: World) -> None:
    terminal = reader.terminal
    for name, file in (("laptop", "alice.key"), ("spare", "spare.key")):
        terminal.say("slot", "add", "--device", name, "-o", file, *terminal.with_password("alice"))
    (terminal.directory / "alice.key").unlink()
    before, removed, _, _ = reader.read(RUNBOOK, "An owner lost a device key")
    assert "device-laptop" in before
    assert removed == "device-laptop is removed.\n"
    assert "device-laptop-2" in terminal.say("slot", "list", "--device-key", "alice.key")
    clean_up(terminal, world)


def test_the_runbook_removes_a_password(reader: Reader, world: World) -> None:
    """As an owner of its own: a password that was removed does not come back."""
    terminal = reader.terminal
    terminal.with_password("dave")
    enrolled = terminal.say(
        "enrol", "--invitation-file", "code", "--password-file", "password-dave", "--json"
    )
    name = re.findall(r'"name": "(dave-\w+)"', enrolled)[0]
    by_password = ("-u", name, "--password-file", "password-dave")
    terminal.say("slot", "add", "--device", "laptop", "-o", "alice.key", *by_password)
    [words] = section(RUNBOOK, "An owner forgot the password, or somebody else knows it")
    assert words in section(GUIDE, "Get a device key")
    assert reader.type(words) == "password is removed.\n"
    assert terminal.refusal("status", *by_password) == "the name or the password is not right"
    assert terminal.say("slot", "list", "--device-key", "alice.key").count("\n") == 2


def test_no_section_of_the_guide_is_left_out() -> None:
    titles = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
    with_commands = [each for each in titles if re.search("^custodian ", part(each), re.MULTILINE)]
    assert with_commands == [
        "Get a device key",
        "Lend",
        "Answer a request",
        "With an SSH key",
        "Where there is no network",
    ]


def part(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
