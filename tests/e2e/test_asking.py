"""A signing call without a quorum asks the owners; what they answer decides the next call."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import password_of, wait_until
from signing import KEY, POLICY, PROFILES, SOON, Signer, Site, alive, enrol_signer, run

from custodian.encoding import decode_base64
from custodian.petition import parse_petition


@contextmanager
def waiting(site: Site, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """`signer request --wait`, as it runs beside us."""
    command = [sys.executable, "-m", "signer", "request", "--dir", str(site.signer.directory), "--wait"]
    process = subprocess.Popen(
        [*command, "--uses", "5", "--for", "1h", "--reason", "renew the front ends", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def custodian(site: Site, directory: Path, owner: str, *arguments: str, expect: int = 0) -> str:
    """Run `custodian …` as an owner does."""
    password = directory / owner
    password.write_text(password_of(owner) + "\n")
    return run(
        "custodian",
        *arguments,
        expect=expect,
        CUSTODIAN_URL=site.daemon.url,
        CUSTODIAN_CA=site.daemon.directory / "tls.pem",
        CUSTODIAN_USER=owner,
        CUSTODIAN_PASSWORD_FILE=password,
    )


def asked(process: "subprocess.Popen[str]") -> tuple[str, list[str]]:
    """Return the id and the check words that the asker is shown."""
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    found = re.match(r"Asked: (r-[0-9a-f]{12}), until ", first)
    assert found, (first, second, process.stderr and process.stderr.read())
    return found[1], second.rpartition(": ")[2].split()


def state(site: Site, request: str) -> str:
    return str(site.world.person("auditor", "GET", f"/requests/{request}").ok()["state"])


def test_a_refusal_asks_two_owners_answer_and_the_next_call_signs(site: Site, tmp_path: Path) -> None:
    refusal = site.signer.refusal()
    request = refusal["quorum"]["request"]
    assert refusal["message"].endswith(f"; request {request} asks them")
    assert site.signer.refusal()["quorum"]["request"] == request
    shown = custodian(site, tmp_path, "alice", "request", "show", request)
    words = parse_petition(
        decode_base64(site.world.person("alice", "GET", f"/requests/{request}").ok()["body"], "body")
    ).words
    assert f"check words  {' '.join(words)}\n" in shown
    assert "a signing call found no quorum" in shown
    line = next(each for each in shown.splitlines() if each.startswith("To answer:"))
    for owner in ("alice", "bob"):
        custodian(site, tmp_path, owner, *line.replace("-u alice", "").split()[3:])
    assert state(site, request) == "answered"
    assert site.signer.sign("server").status == 200


def test_it_says_of_an_owner_what_they_lent_is_no_more_than_was_asked(site: Site, tmp_path: Path) -> None:
    request = site.signer.refusal()["quorum"]["request"]
    custodian(site, tmp_path, "alice", "delegate", KEY, "--request", request)
    (answer,) = site.world.person("alice", "GET", f"/requests/{request}").ok()["answers"]
    lent = site.world.person("alice", "GET", f"/delegations/{answer['delegation']}").ok()
    petition = site.world.person("alice", "GET", f"/requests/{request}").ok()
    assert (lent["uses"], lent["constraints"]) == (petition["uses"], petition["constraints"])


def test_a_person_at_the_signer_waits_for_the_answer(site: Site, tmp_path: Path) -> None:
    with waiting(site, "--by", "eve", "--name", "*.wait.example") as asker:
        request, words = asked(asker)
        shown = custodian(site, tmp_path, "bob", "request", "show", request)
        assert f"check words  {' '.join(words)}\n" in shown
        assert "signer ca-1 for eve" in shown
        for owner in ("alice", "bob"):
            custodian(site, tmp_path, owner, "delegate", KEY, "--request", request)
        assert asker.wait(SOON + 5) == 0
        assert asker.stdout is not None
        assert asker.stdout.read() == f"{request} is answered by alice, bob\n"


def test_who_waits_hears_of_a_refusal_and_why(site: Site, tmp_path: Path) -> None:
    with waiting(site, "--name", "*.declined.example") as asker:
        request, _ = asked(asker)
        for owner in ("alice", "bob"):
            custodian(site, tmp_path, owner, "request", "decline", request, "--reason", f"{owner} says no")
        assert asker.wait(SOON + 5) == 1
        assert asker.stderr is not None
        said = asker.stderr.read()
        assert f"{request} is not answered: declined (alice: alice says no; bob: bob says no)" in said


def test_who_waits_hears_when_time_is_over(site: Site) -> None:
    with waiting(site, "--name", "*.late.example", "--expires-in", "1s") as asker:
        asked(asker)
        assert asker.wait(SOON + 5) == 1
        assert asker.stderr is not None
        assert "is not answered: expired" in asker.stderr.read()


def test_what_was_declined_is_not_asked_again_by_the_next_call(site: Site, tmp_path: Path) -> None:
    request = site.signer.refusal("client")["quorum"]["request"]
    for owner in ("bob", "carol"):
        custodian(site, tmp_path, owner, "request", "decline", request, "--reason", "not today")
    again = site.signer.refusal("client")
    assert "request" not in again["quorum"]
    assert again["message"].startswith("2 more of the owners of ca must delegate")


def test_who_asks_for_what_is_not_there_changes_nothing(site: Site) -> None:
    size = site.world.size()
    asked = ("--uses", "5", "--for", "1h", "--reason", "x", "--key", "nothing")
    complaint = run("signer", "request", "--dir", site.signer.directory, *asked, expect=1)
    assert "there is no key nothing" in complaint
    assert "request.made" not in site.world.events(size)  # a lease of before may end meanwhile


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--for", "1 hour", "duration"),
        ("--name", "é.example.com", "names"),
        ("--reason", "", "reason"),
        ("--by", "two\nlines", "on_behalf"),
        ("--expires-in", "32d", "expires_in"),
    ],
)
def test_wrong_wishes_are_refused_in_a_sentence(site: Site, option: str, value: str, said: str) -> None:
    usual = {"--uses": "5", "--for": "1h", "--reason": "renew"} | {option: value}
    arguments = [word for pair in usual.items() for word in pair]
    complaint = run("signer", "request", "--dir", site.signer.directory, *arguments, expect=1)
    assert complaint.startswith("Error: ")
    assert said in complaint


# -- a veto, of a key with rules of its own


@pytest.fixture(scope="module")
def strict(running: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The custodian with another signer, whose key carol can keep shut and nobody lends unasked."""
    directory = tmp_path_factory.mktemp("strict")
    signer = Signer(directory / "signer")
    enrol_signer(signer.directory, running.daemon, running.world.invite("signer", "ca-2"), "ca-2")
    (directory / "profiles").write_text(json.dumps(PROFILES))
    rules = ("--policy", POLICY, "--veto", "carol", "--no-self-approval")
    ca = ("--key", "strict", "--cn", "Strict CA", "--profiles", directory / "profiles", *rules)
    run("signer", "init-ca", "--dir", signer.directory, *ca)
    signer.configure(listen={"port": 0})
    signer.start()
    yield Site(running.world, signer)
    signer.stop()


def test_a_veto_kills_the_key_in_use_and_keeps_it_shut(strict: Site, tmp_path: Path) -> None:
    request = strict.signer.refusal()["quorum"]["request"]
    for owner in ("alice", "bob"):
        custodian(strict, tmp_path, owner, "delegate", "strict", "--request", request)
    strict.signer.issue()
    (keyholder,) = strict.signer.keyholders()
    refused = custodian(strict, tmp_path, "bob", "request", "veto", request, "--reason", "no", expect=1)
    assert "bob alone cannot stop a request for strict; they may decline it" in refused
    said = custodian(strict, tmp_path, "carol", "request", "veto", request, "--reason", "not in the freeze")
    assert said == f"You stopped {request}; it is vetoed.\n"
    wait_until(lambda: not alive(keyholder), SOON)
    again = strict.signer.refusal()
    assert again["quorum"]["needed"] == 2
    assert "request" not in again["quorum"]
    late = custodian(strict, tmp_path, "alice", "delegate", "strict", "--request", request, expect=1)
    assert f"request {request} has ended: vetoed" in late


def test_nobody_lends_unasked_what_must_be_asked_for(strict: Site, tmp_path: Path) -> None:
    options = ("delegate", "strict", "--signer", "ca-2", "--uses", "1", "--for", "1h")
    assert "is lent only for what somebody else asked for" in custodian(
        strict, tmp_path, "alice", *options, expect=1
    )


def test_an_owner_does_not_answer_what_they_asked_for(strict: Site, tmp_path: Path) -> None:
    wanted = ("--uses", "1", "--for", "1h", "--reason", "a test", "--name", "*.self.example")
    custodian(strict, tmp_path, "alice", "request", "ask", "strict", "--signer", "ca-2", *wanted)
    listed = custodian(strict, tmp_path, "alice", "request", "list", "--state", "waiting", "--json")
    request = next(each["id"] for each in json.loads(listed) if each["asker"] == "alice")
    said = custodian(strict, tmp_path, "alice", "delegate", "strict", "--request", request, expect=1)
    assert f"alice asked for {request}; another owner of strict has to answer it" in said
    custodian(strict, tmp_path, "alice", "request", "withdraw", request)
