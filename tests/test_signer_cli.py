"""The `signer` command, as people type it: what it does, what it says, and what it leaves behind."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from running import wait_until
from signing import POLICY, Site, enrol_signer, make_site, run, running_site

from custodian.encoding import decode_base64
from custodian.envelope import parse_envelope
from signer.__main__ import main


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running custodian; the signer that the ceremony made is not started."""
    made = make_site(tmp_path_factory.mktemp("cli"))
    yield made
    made.stop()


def refused(*words: object) -> str:
    """Type a `signer` command that must fail; return its complaint."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    return result.stderr


def everything(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory and what is in them."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# -- enrol


def test_enrolling_makes_a_signer_whose_secrets_are_its_own(site: Site, tmp_path: Path) -> None:
    said = enrol_signer(tmp_path / "s", site.daemon, site.world.invite("signer", "ca-7"), "ca-7")
    assert "ca-7 is enrolled" in said
    names = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()}
    assert (names["identity.pem"], names["token"]) == (0o600, 0o600)
    assert {"custodian-ca.pem", "history.vkey", "signer.toml"} <= set(names)


def refused_enrolment(site: Site, directory: Path, code: str, name: str = "ca-8") -> str:
    """Try to enrol; return the complaint. Nothing but the file with the code may be new or changed."""
    (directory.parent / "code").write_text(code + "\n")
    before = everything(directory.parent)
    at = ("--dir", directory, "--url", site.daemon.url, "--ca", site.daemon.directory / "tls.pem")
    complaint = refused("enrol", *at, "--name", name, "--invitation-file", directory.parent / "code")
    assert everything(directory.parent) == before
    return complaint


def test_a_directory_is_enrolled_once(site: Site, tmp_path: Path) -> None:
    enrol_signer(tmp_path / "s", site.daemon, site.world.invite("signer", "ca-9"), "ca-9")
    assert "is a signer already" in refused_enrolment(site, tmp_path / "s", "whatever-code", "ca-9")


def test_a_wrong_invitation_enrols_nobody(site: Site, tmp_path: Path) -> None:
    complaint = refused_enrolment(site, tmp_path / "s", "not-an-invitation")
    assert "invitation" in complaint
    assert not (tmp_path / "s").exists()


def test_an_invitation_enrols_once(site: Site, tmp_path: Path) -> None:
    code = site.world.invite("signer", "ca-10")
    enrol_signer(tmp_path / "first", site.daemon, code, "ca-10")
    assert "invitation" in refused_enrolment(site, tmp_path / "second", code, "ca-10")


def test_an_invitation_for_another_name_is_refused(site: Site, tmp_path: Path) -> None:
    code = site.world.invite("signer", "ca-11")
    assert "the invitation is for ca-11, not for ca-12" in refused_enrolment(
        site, tmp_path / "s", code, "ca-12"
    )


def test_a_custodian_with_another_certificate_is_not_spoken_to(site: Site, tmp_path: Path) -> None:
    shutil.copyfile(site.signer.directory / "ca.pem", tmp_path / "other.pem")
    (tmp_path / "code").write_text("some-invitation\n")
    before = everything(tmp_path)
    at = ("--dir", tmp_path / "s", "--url", site.daemon.url, "--ca", tmp_path / "other.pem")
    complaint = refused("enrol", *at, "--name", "ca-8", "--invitation-file", tmp_path / "code")
    assert "its certificate is not the pinned one" in complaint
    assert everything(tmp_path) == before


def test_a_pin_that_is_no_certificate_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_text("not PEM\n")
    (tmp_path / "code").write_text("some-invitation\n")
    at = ("--dir", tmp_path / "s", "--url", site.daemon.url, "--ca", tmp_path / "other.pem")
    complaint = refused("enrol", *at, "--name", "ca-8", "--invitation-file", tmp_path / "code")
    assert "is not a certificate in PEM" in complaint
    assert not (tmp_path / "s").exists()


def test_a_directory_with_something_in_it_is_left_alone_and_the_invitation_unused(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/notes").write_text("mine")
    code = site.world.invite("signer", "ca-13")
    assert "is not empty" in refused_enrolment(site, tmp_path / "s", code, "ca-13")
    enrol_signer(tmp_path / "t", site.daemon, code, "ca-13")


# -- init-ca


@pytest.fixture(scope="module")
def enrolled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("enrolled") / "s"
    enrol_signer(directory, site.daemon, site.world.invite("signer", "ca-20"), "ca-20")
    return directory


def refused_ca(site: Site, directory: Path, **changes: str) -> str:
    """Try to make a CA; return the complaint. Neither signer nor custodian may have changed."""
    wanted = {"key": "other", "policy": POLICY, "cn": "Other CA"} | changes
    options = [word for name, value in wanted.items() for word in (f"--{name}", value)]
    before = everything(directory), site.world.person("auditor", "GET", "/keys").ok(), site.world.size()
    complaint = refused("init-ca", "--dir", directory, *options)
    assert (
        everything(directory),
        site.world.person("auditor", "GET", "/keys").ok(),
        site.world.size(),
    ) == before
    return complaint


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"policy": "2 of (alice, bob, mallory)"}, "mallory is not an owner at the custodian"),
        ({"policy": "1 of (alice, bob)"}, "policy"),
        ({"policy": "alice | bob"}, "policy"),
        ({"policy": "3 of (alice, bob)"}, "policy"),
        ({"policy": "2 of (alice, alice)"}, "policy"),
        ({"policy": "everybody!"}, "policy"),
        ({"key": "ca"}, "ca"),
        ({"key": "Über"}, "key"),
        ({"cn": "x" * 65}, "cn: must have 1 to 64 characters"),
        ({"cn": ""}, "cn: must have 1 to 64 characters"),
        ({"org": "x" * 65}, "org: must have 0 to 64 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_ca_that_cannot_be_is_refused_and_nothing_is_half_made(
    site: Site, enrolled: Path, changes: dict[str, str], why: str
) -> None:
    assert why in refused_ca(site, enrolled, **changes)


def test_nobody_who_holds_no_share_is_given_a_veto(site: Site, enrolled: Path) -> None:
    assert "veto: carol is not an owner of the policy" in refused_ca(
        site, enrolled, policy="2 of (alice, bob)", veto="carol"
    )
    assert "mallory is not an owner of the policy" in refused_ca(site, enrolled, veto="mallory")


def test_the_rules_of_a_key_are_sealed_with_it_and_told(site: Site, tmp_path: Path) -> None:
    enrol_signer(tmp_path / "s", site.daemon, site.world.invite("signer", "ca-21"), "ca-21")
    wanted = ("--key", "strict", "--policy", POLICY, "--cn", "Strict CA", "--no-self-approval")
    vetoes = ("--veto", "carol", "--veto", "bob", "--veto", "carol")
    said = run("signer", "init-ca", "--dir", tmp_path / "s", *wanted, *vetoes)
    assert "bob alone can stop a request.\ncarol alone can stop a request.\n" in said
    assert "only to answer a request that somebody else made" in said
    key = site.world.person("auditor", "GET", "/keys/strict").ok()
    assert (key["veto"], key["no_self_approval"]) == (["bob", "carol"], True)
    facts = parse_envelope(decode_base64(key["envelope"], "envelope")).facts
    assert (facts.veto, facts.no_self_approval) == (("bob", "carol"), True)
    [usual] = [each for each in site.world.person("auditor", "GET", "/keys").ok() if each["name"] == "ca"]
    assert (usual["veto"], usual["no_self_approval"]) == ([], False)


def test_a_signer_has_one_ca(site: Site) -> None:
    assert "this signer signs with ca already" in refused_ca(site, site.signer.directory)


def test_no_ca_is_made_for_a_directory_that_is_no_signer(tmp_path: Path) -> None:
    words = ("--dir", tmp_path, "--key", "k", "--policy", POLICY, "--cn", "x")
    assert "`signer enrol` makes it" in refused("init-ca", *words)
    assert list(tmp_path.iterdir()) == []


def test_the_key_of_a_ca_is_in_no_file(site: Site) -> None:
    for path, content in everything(site.signer.directory).items():
        assert b"PRIVATE KEY" not in content or path.endswith("identity.pem")
    assert b"PRIVATE KEY" not in (site.daemon.directory / "custodian.db").read_bytes()


# -- serve and status


def test_without_a_ca_there_is_nothing_to_serve(enrolled: Path) -> None:
    assert "`signer init-ca` makes a key" in run("signer", "serve", "--dir", enrolled, expect=1)


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site.signer.configure(listen={"port": taken.getsockname()[1]})
        assert "cannot be used" in run("signer", "serve", "--dir", site.signer.directory, expect=1)
    site.signer.configure(listen={"port": 0})


@pytest.mark.parametrize("missing", ["token", "ca.pem"])
def test_a_missing_file_is_named(site: Site, tmp_path: Path, missing: str) -> None:
    shutil.copytree(site.signer.directory, tmp_path / "s")
    (tmp_path / "s" / missing).unlink()
    assert missing in run("signer", "serve", "--dir", tmp_path / "s", expect=1)


def test_status_of_what_does_not_run_says_so(site: Site, tmp_path: Path) -> None:
    assert "has no running signer" in refused("status", "--dir", tmp_path)


def test_status_tells_what_is_open_and_what_took(tmp_path: Path) -> None:
    with running_site(tmp_path / "site", lease={"secret_memory": False}) as site:
        at = ("--dir", site.signer.directory)
        closed = run("signer", "status", *at, expect=2)
        assert "ca-1 signs with ca; the custodian is connected." in closed
        assert "no key is open" in closed
        assert "NO  secret memory: switched off by who started this process" in closed
        site.world.lend(uses=10)
        site.signer.issue()
        said = run("signer", "status", *at)
        assert "9 of 10 uses left" in said
        assert "yes seccomp" in said
        report: Any = json.loads(run("signer", "status", *at, "--json"))
        [lease] = report["keyholders"]["open"]
        assert (lease["uses"], lease["left"]) == (10, 9)
        assert [each["name"] for each in lease["not_taken"]] == ["secret memory"]
        assert {each["name"] for each in report["keyholders"]["measures"]} >= {"landlock", "seccomp"}
        assert "PRIVATE" not in json.dumps(report)
        wait_until(lambda: site.signer.status()["records_owed"] == 0)
        site.signer.stop()
        assert run("signer", "status", *at, expect=1)
