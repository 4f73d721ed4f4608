"""The command line, against a real custodian: what people type, what they read, how it ends."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner, Result
from examples import NOW
from running import ADMIN, World, password_of

from custodian.__main__ import main
from custodian.events import Event
from custodian.telling import SENTENCES, count, duration, how_many_short, plain, said, sentence, time_left


class Terminal:
    """Runs commands as one person, with the environment a person would set."""

    def __init__(self, world: World, name: str, directory: Path) -> None:
        self.name = name
        self.file = directory / f"password-{name}"
        self.file.write_text(f"{password_of(name)}\n")
        self.environment = {
            "CUSTODIAN_URL": world.daemon.url,
            "CUSTODIAN_CA": str(world.daemon.directory / "tls.pem"),
            "CUSTODIAN_USER": name,
            "CUSTODIAN_PASSWORD_FILE": str(self.file),
        }

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner(env=self.environment).invoke(main, arguments, input=stdin)

    def say(self, *arguments: str) -> str:
        """Run a command that must succeed; return what it prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.say(*arguments, "--json"))


@pytest.fixture
def alice(world: World, tmp_path: Path) -> Terminal:
    return Terminal(world, "alice", tmp_path)


@pytest.fixture
def admin(world: World, tmp_path: Path) -> Terminal:
    return Terminal(world, ADMIN, tmp_path)


LEND = ("delegate", "ca", "--signer", "ca-1", "--uses", "5", "--for", "1h")


# -- lending and taking back


def test_an_owner_lends_and_takes_back(alice: Terminal, world: World) -> None:
    said = alice.say(*LEND, "--name", "*.example.com", "--request", "ticket 7")
    delegation = re.findall(r"d-[0-9a-f]{24}", said)[0]
    assert f"To take it back:  custodian revoke {delegation} -u alice" in said
    kept = world.person("auditor", "GET", f"/delegations/{delegation}").ok()
    assert (kept["uses"], kept["constraints"]["names"], kept["request"]) == (5, ["*.example.com"], "ticket 7")
    assert alice.say("revoke", delegation) == f"{delegation} is revoked; 0 leases ended.\n"


def test_every_limit_that_can_be_typed_arrives(alice: Terminal) -> None:
    options = ("--profile", "server", "--profile", "client", "--max-validity", "90d", "--allow-ca")
    granted = alice.json(*LEND, *options, "--start", _soon())
    assert granted["constraints"] == {
        "profiles": ["server", "client"],
        "names": [],
        "max_validity": 90 * 86_400,
        "ca": True,
    }
    assert granted["state"] == "pending"


def _soon() -> str:
    return datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_will_be_lent_is_said_before_the_password_is_asked_for(world: World, alice: Terminal) -> None:
    environment = os.environ | alice.environment
    environment.pop("CUSTODIAN_PASSWORD_FILE")
    shown, status = on_a_terminal([*LEND, "--max-validity", "1d"], environment, password_of("alice"))
    statement = (
        "You lend your share of ca to ca-1: 5 signatures, for 1h from now; certificates of at most 1d."
    )
    assert shown.index(statement) < shown.index("Password of alice (hidden): ")
    assert password_of("alice") not in shown
    assert (status, "Lent: d-" in shown) == (0, True)


def on_a_terminal(arguments: list[str], environment: dict[str, str], typed: str) -> tuple[str, int]:
    """Run a command on a pseudo terminal, type when it asks; return what was shown and its status."""
    child, terminal = pty.fork()
    if not child:
        os.execve(sys.executable, [sys.executable, "-m", "custodian", *arguments], environment)  # noqa: S606
    shown = b""
    while select.select([terminal], [], [], 20)[0]:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            break
        shown += chunk
        if shown.endswith(b"(hidden): "):
            os.write(terminal, f"{typed}\n".encode())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n"), status


# -- looking


def test_status_says_who_is_missing_and_ends_with_2_until_a_quorum_is_live(
    alice: Terminal, world: World
) -> None:
    closed = alice.run("status")
    assert closed.exit_code == 2
    assert "ca is two owners short: 2 of alice, bob, carol (for ca-1)" in closed.stdout
    world.lend("alice")
    one = alice.run("status", "ca")
    assert (one.exit_code, "ca is one owner short: bob or carol (for ca-1)" in one.stdout) == (2, True)
    assert re.search(r"  alice: 10 uses left, 59 min \d+ s\n", one.stdout)
    world.lend("bob")
    world.signer.ask().ok()
    opened = alice.run("status")
    assert opened.exit_code == 0
    assert re.match(r"ca is open to ca-1 for 59 min \d+ s; 1 lease held\n", opened.stdout)


def test_status_of_a_key_that_is_not_there_is_an_error(alice: Terminal) -> None:
    result = alice.run("status", "not-there")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: there is no key not-there; `custodian key list` shows them\n",
    )


def test_keys_are_listed_and_shown(alice: Terminal) -> None:
    lines = alice.say("key", "list").splitlines()
    assert lines[0].split() == ["NAME", "ALGORITHM", "POLICY", "SIGNERS"]
    assert "2 of (alice, bob, carol)" in lines[1]
    shown = alice.say("key", "show", "ca")
    assert "policy:    2 of (alice, bob, carol)" in shown
    assert shown.endswith("-----END CERTIFICATE-----\n")
    assert alice.json("key", "show", "ca")["envelope"]


def test_the_rules_of_a_key_are_shown_and_told(alice: Terminal, world: World) -> None:
    assert "veto:      -\n" in alice.say("key", "show", "ca")
    start = world.size()
    world.seal_key("strict", veto=("bob", "carol"), no_self_approval=True)
    shown = alice.say("key", "show", "strict")
    assert "veto:      bob, carol\n" in shown
    assert "rule:      no self-approval" in shown
    assert "no self-approval" not in alice.say("key", "show", "ca")
    told = alice.say("history", "--start", str(start))
    assert "2 of (alice, bob, carol); bob or carol alone can stop a request; no self-approval" in told
    [sealed] = [each for each in world.history(start) if each["type"] == "key.sealed"]
    assert (sealed["veto"], sealed["no_self_approval"]) == (["bob", "carol"], 1)
    detail = alice.json("key", "show", "strict")
    assert (detail["veto"], detail["no_self_approval"]) == (["bob", "carol"], True)


def test_the_history_is_told_in_sentences(alice: Terminal, world: World) -> None:
    world.lend("alice", "bob", uses=7)
    world.signer.ask(uses=2).ok()
    told = alice.say("history", "--start", "0")
    assert "the history begins; its key is custodian.local/history+" in told
    assert "alice lent their share of ca to ca-1 for 7 uses" in told
    assert re.search(r"ca-1 was leased ca for 2 uses until .*; uses left: alice 7→5, bob 7→5", told)
    assert [line.split()[0] for line in told.splitlines()] == [str(n) for n in range(len(told.splitlines()))]


def test_the_last_fifty_entries_are_told_unless_asked_otherwise(alice: Terminal, world: World) -> None:
    told = alice.say("history").splitlines()
    assert len(told) == min(50, world.size())
    assert told[-1].split()[0] == str(world.size() - 1)


def test_the_history_as_json_is_one_entry_a_line(alice: Terminal) -> None:
    entries = [json.loads(line) for line in alice.say("history", "--start", "0", "--json").splitlines()]
    assert entries[0]["type"] == "log.started"


def test_following_shows_what_is_added(alice: Terminal, world: World) -> None:
    follower = subprocess.Popen(
        [sys.executable, "-m", "custodian", "history", "--follow", "--start", str(world.size())],
        env=os.environ | alice.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    world.lend("bob")
    assert "bob lent their share" in follower.stdout.readline()
    world.lend("carol")
    assert "carol lent their share" in follower.stdout.readline()
    follower.kill()
    follower.wait()
    follower.stdout.close()


# -- people and signers


def test_from_invitation_to_first_login(admin: Terminal, world: World, tmp_path: Path) -> None:
    said = admin.say("owner", "invite", "dora")
    code = next(line.strip() for line in said.splitlines() if line.startswith("    "))
    assert f"custodian enrol --url {world.daemon.url} --ca tls.pem" in said
    (tmp_path / "code").write_text(f"{code}\n")
    dora = Terminal(world, "dora", tmp_path)
    assert "You are enrolled as dora, owner." in dora.say(
        "enrol", "--invitation-file", str(tmp_path / "code")
    )
    assert "dora" in dora.say("owner", "list")
    assert "dora is disabled; what dora lent is revoked (0 leases ended)." in admin.say(
        "owner", "disable", "dora"
    )
    assert re.search(r"dora +owner +.*disabled\n", admin.say("owner", "list", "--all"))
    assert dora.run("key", "list").exit_code == 1


def test_an_invitation_and_a_new_password_can_be_typed(admin: Terminal, world: World) -> None:
    code = admin.json("owner", "invite", "eve", "--role", "auditor")["code"]
    admin.environment.pop("CUSTODIAN_PASSWORD_FILE")
    typed = f"{code}\n{password_of('eve')}\n{password_of('eve')}\n"
    result = admin.run("enrol", stdin=typed)
    assert "You are enrolled as eve, auditor." in result.stdout
    assert code not in result.output
    assert password_of("eve") not in result.output


def test_a_new_password_typed_differently_is_asked_for_again(admin: Terminal, world: World) -> None:
    code = admin.json("owner", "invite", "fay", "--role", "auditor")["code"]
    admin.environment.pop("CUSTODIAN_PASSWORD_FILE")
    typed = f"{code}\none password typed\nanother password\n{password_of('fay')}\n{password_of('fay')}\n"
    result = admin.run("enrol", stdin=typed)
    assert "The two entered values do not match" in result.output
    assert result.exit_code == 0


def test_a_signer_is_invited_with_the_words_its_operator_needs(admin: Terminal, world: World) -> None:
    said = admin.say("signer", "enrol", "ca-9")
    assert f"signer enrol --name ca-9 --url {world.daemon.url} --ca tls.pem" in said
    listed = admin.say("signer", "list")
    assert re.search(r"ca-1\s+ed25519:", listed)
    assert "ca-9" not in listed


# -- refusals


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("delegate", "ca", "--signer", "ca-1", "--uses", "0", "--for", "1h"), 2, "x>=1"),
        (
            ("delegate", "ca", "--signer", "ca-1", "--uses", "1", "--for", "10y"),
            1,
            "--for: is not a duration like",
        ),
        (
            ("delegate", "ca", "--signer", "ca-1", "--uses", "1", "--for", "3652d"),
            1,
            "must be at most 31 days",
        ),
        (("delegate", "ca", "--signer", "ca-1", "--for", "1h"), 2, "say --signer, --uses and --for"),
        (("delegate", "nokey", "--signer", "ca-1", "--uses", "1", "--for", "1h"), 1, "there is no key nokey"),
        (
            ("delegate", "ca", "--signer", "ca-2", "--uses", "1", "--for", "1h"),
            1,
            "ca is not sealed for the signer ca-2",
        ),
        (("revoke", "d-0"), 1, "there is no delegation d-0"),
        (("owner", "invite", "zoe"), 1, "this call is for admins, not for owners"),
        (("history", "--start", "-1"), 2, "x>=0"),
        (("no-such-command",), 2, "No such command"),
        (("key", "show"), 2, "Missing argument"),
    ],
)
def test_a_refusal_is_one_sentence_and_a_status(
    alice: Terminal, arguments: tuple[str, ...], status: int, said: str
) -> None:
    result = alice.run(*arguments)
    assert result.exit_code == status, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_name_cannot_lead_to_another_path(alice: Terminal) -> None:
    for name in ("../status", "ca/../../status", "ca?x=1", "ca#x", "%2e%2e"):
        result = alice.run("key", "show", name)
        assert (result.exit_code, result.stdout) == (1, ""), name


def test_a_custodian_that_does_not_answer_is_named(alice: Terminal) -> None:
    alice.environment["CUSTODIAN_URL"] = "https://127.0.0.1:1"
    result = alice.run("key", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: https://127.0.0.1:1 does not answer: ")


def test_a_custodian_that_is_not_trusted_gets_no_password(alice: Terminal) -> None:
    alice.environment.pop("CUSTODIAN_CA")
    result = alice.run("key", "list")
    assert (result.exit_code, "is not trusted" in result.stderr) == (1, True)


def test_no_password_goes_over_plain_http(alice: Terminal) -> None:
    result = alice.run("key", "list", "--url", "http://127.0.0.1:1")
    assert (result.exit_code, result.stderr) == (1, "Error: url: must start with https://\n")


def test_a_wrong_password_is_a_sentence(alice: Terminal) -> None:
    alice.file.write_text("not the password")
    result = alice.run("key", "list")
    assert (result.exit_code, result.stderr) == (1, "Error: the name or the password is not right\n")


def test_a_password_comes_from_standard_input_too(alice: Terminal) -> None:
    result = alice.run("key", "list", "--password-file", "-", stdin=f"{password_of('alice')}\n")
    assert result.exit_code == 0, result.output


def test_a_password_file_that_is_not_there_is_named(alice: Terminal) -> None:
    result = alice.run("key", "list", "--password-file", "/not/there")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: /not/there: cannot be read: No such file or directory\n",
    )


# -- init and help


def test_init_says_what_to_keep_and_what_to_do_next(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse battery\n")
    run = CliRunner().invoke
    made = run(main, ["init", "--dir", str(tmp_path / "c"), "--password-file", str(tmp_path / "password")])
    assert made.exit_code == 0, made.output
    assert "custodian.local/history+" in made.stdout
    assert f"Start it:  custodian serve --dir {tmp_path / 'c'}" in made.stdout
    again = run(main, ["init", "--dir", str(tmp_path / "c")])
    assert (again.exit_code, again.stderr) == (
        1,
        f"Error: {tmp_path / 'c'} holds a custodian already; it was not touched\n",
    )


def test_serve_needs_to_know_what() -> None:
    assert CliRunner().invoke(main, ["serve"]).exit_code == 2


def test_help_teaches_every_command_by_an_example() -> None:
    for path, command in commands(main, "custodian"):
        text = CliRunner().invoke(main, [*path.split()[1:], "--help"]).stdout
        if not hasattr(command, "commands"):
            assert re.search(rf"Examples?:\s+{path} ", text), path


def commands(group: Any, path: str) -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        found.append((f"{path} {name}", command))
        found += commands(command, f"{path} {name}") if hasattr(command, "commands") else []
    return found


def test_no_command_takes_a_secret_as_an_argument() -> None:
    for path, command in commands(main, "custodian"):
        names = {each.name for each in command.params}
        assert names & {"password", "code", "invitation", "secret", "token"} == set(), path


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'aiohttp', 'pydantic', 'cryptography'}"
    code = f"import sys, custodian.__main__; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


# -- sentences


def test_every_event_has_its_sentence() -> None:
    union = get_args(get_args(Event)[0])
    assert {each.model_fields["type"].default for each in union} == set(SENTENCES)


def test_an_event_from_a_later_version_is_still_told() -> None:
    entry = {
        "seq": 7,
        "time": "2026-11-23T12:00:00Z",
        "actor": {"role": "admin", "name": "root"},
        "type": "new.event",
    }
    assert sentence(entry).split(None, 2)[2] == "root: new.event"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            {
                "type": "request.made",
                "request": "r-1",
                "key": "ca",
                "signer": "ca-1",
                "on_behalf": "mara",
                "uses": 40,
                "seconds": 3600,
                "constraints": {"profiles": ["server"], "names": [], "max_validity": 0, "ca": 0},
                "reason": "CHG-8812",
            },
            'alice asked for mara for 40 uses of ca through ca-1 within 1h; profile server: "CHG-8812" [r-1]',
        ),
        ({"type": "request.declined", "request": "r-1", "reason": "no", "veto": 1}, 'alice vetoed r-1: "no"'),
        (
            {"type": "request.ended", "request": "r-1", "outcome": "expired"},
            "r-1 expired without enough owners",
        ),
        (
            {"type": "slot.added", "owner": "alice", "slot": "passkey-1", "kind": "passkey"},
            "alice added a way to unlock the shares of alice: passkey passkey-1",
        ),
        ({"type": "history.exported", "size": 12}, "alice exported the history, entries 0 to 11"),
    ],
)
def test_an_event_is_told_in_one_sentence(event: dict[str, Any], text: str) -> None:
    assert said({"actor": {"role": "owner", "name": "alice"}} | event) == text


def test_a_grant_says_how_its_owner_agreed() -> None:
    grant = {
        "type": "delegation.granted",
        "actor": {"role": "owner", "name": "alice"},
        "key": "ca",
        "signer": "ca-1",
        "uses": 1,
        "start": "…",
        "end": "…",
        "constraints": {"profiles": [], "names": [], "max_validity": 0, "ca": 0},
        "request": "r-1",
        "id": "d-1",
    }
    evidence = {"kind": "passkey", "credential": "passkey-1"}
    assert said(grant | {"evidence": evidence}).endswith("(r-1), with passkey passkey-1 [d-1]")
    assert said(grant | {"evidence": {"kind": "password", "credential": ""}}).endswith("with password [d-1]")


def test_names_in_certificates_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\nc\u202ed") == "a�[2Jb�c�d"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "over"),
        (1, "1 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_000, "1 d 1 h"),
        (86_399, "23 h 59 min"),
    ],
)
def test_time_left_is_told_in_two_units(seconds: int, text: str) -> None:
    end = datetime.fromtimestamp(NOW.timestamp() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert time_left(end, NOW) == text


def test_small_words_agree_with_their_numbers() -> None:
    assert [count(1, "use"), count(2, "use")] == ["1 use", "2 uses"]
    assert how_many_short("ca", 2, ["a", "b"]) == "ca is two owners short: a, b"
    assert how_many_short("ca", 4, ["a", "b", "c", "d", "e"]) == "ca is 4 owners short: 4 of a, b, c, d, e"
    assert [duration(each) for each in (0, 59, 3600, 90_061)] == ["0s", "59s", "1h", "1d1h1m1s"]
