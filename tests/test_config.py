"""Configuration, `init` and how the daemon starts and stops: one sentence for each impossible set-up."""

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from running import ADMIN, COSTS, Daemon, World, basic, make_daemon, make_world, password_of, wait_until

from custodian.config import Settings, parse_listen, read_settings
from custodian.errors import BadInput, Conflict, CustodianError
from custodian.init import Plan, create_custodian
from custodian.note import SigningKey
from custodian.site import Site
from custodian.tls import server_context

EXAMPLE = Path(__file__).parent.parent / "config" / "custodian.toml"


def settings(directory: Path, text: str = "") -> Settings:
    path = directory / "custodian.toml"
    path.write_text(text)
    return read_settings(path)


# -- the file


def test_an_empty_file_and_the_example_mean_the_same(tmp_path: Path) -> None:
    assert settings(tmp_path) == settings(tmp_path, EXAMPLE.read_text())


def test_the_origin_of_the_pages_gives_the_domain_of_passkeys(tmp_path: Path) -> None:
    site = settings(tmp_path, '[pages]\norigin = "https://ca.example.com:8443"').site
    assert site == Site("https://ca.example.com:8443", "ca.example.com")
    assert settings(tmp_path).site is None


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    read = settings(tmp_path, 'database = "d/x.db"\nhistory_key = "/etc/history.key"')
    assert (read.database, read.history_key) == (tmp_path / "d/x.db", Path("/etc/history.key"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("listn = 1", "listn: there is no such setting"),
        ("[passwords]\nmemory = 1", "passwords.memory: there is no such setting"),
        ("database = 7", "database: input should be a valid string"),
        (
            "[passwords]\nmemory_kib = 4",
            "passwords.memory_kib: input should be greater than or equal to 8192",
        ),
        ('[passwords]\npasses = "3"', "passwords.passes: input should be a valid integer"),
        ("[bodies]\nmax_bytes = 999999999", "bodies.max_bytes: input should be less than or equal"),
        ("[bodies]\nseconds = 0", "bodies.seconds: input should be greater"),
        ("listen = ", "is not TOML"),
        ('listen = "localhost"', "listen: must end with a port"),
        ('[pages]\norigin = "https://127.0.0.1:8443"', "pages.origin: must name a host"),
        ('[pages]\norigin = "http://ca.example.com"', "pages.origin: must be https"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        settings(tmp_path, text)
    assert named in refused.value.detail


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"custodian\.toml: cannot be read: No such file"):
        read_settings(tmp_path / "custodian.toml")


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8443", ("::1", 8443)), ("[::]:1", ("::", 1))],
)
def test_where_to_listen_is_an_address_and_a_port(text: str, place: tuple[str, int]) -> None:
    assert parse_listen(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "8443",
        "127.0.0.1",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "here:8443",
        "127.0.0.1:+1",
        "127.0.0.1:²",
    ],
)
def test_anything_else_is_nowhere_to_listen(text: str) -> None:
    with pytest.raises(BadInput, match="listen"):
        parse_listen(text)


# -- init


def found(directory: Path, **plan: object) -> str:
    usual = {"listen": "127.0.0.1:0", "costs": COSTS}
    return create_custodian(directory, Plan(**usual | plan), password_of(ADMIN))  # type: ignore[arg-type]


def test_init_makes_what_only_its_owner_reads(tmp_path: Path) -> None:
    found(tmp_path / "state")
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "state").iterdir()}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert set(modes) == {
        "custodian.toml",
        "custodian.db",
        "custodian.lock",
        "history.key",
        "tls.pem",
        "tls.key",
    }
    assert (modes["history.key"], modes["tls.key"], modes["custodian.db"]) == (0o600, 0o600, 0o600)


def test_the_history_begins_with_its_key_and_the_administrator(tmp_path: Path) -> None:
    vkey = found(tmp_path / "state", admin="root", origin="example.org/custody")
    with closing(sqlite3.connect(tmp_path / "state" / "custodian.db")) as database:
        entries = [json.loads(body) for (body,) in database.execute("SELECT body FROM entry ORDER BY seq")]
    assert [each["type"] for each in entries] == ["log.started", "account.enrolled"]
    assert (entries[0]["vkey"], entries[1]["account"]) == (vkey, "root")
    assert vkey.startswith("example.org/custody+")


def test_a_second_init_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    found(tmp_path / "state")
    before = {each.name: each.read_bytes() for each in (tmp_path / "state").iterdir()}
    with pytest.raises(Conflict, match="holds a custodian already; it was not touched"):
        found(tmp_path / "state")
    assert before == {each.name: each.read_bytes() for each in (tmp_path / "state").iterdir()}


def test_init_takes_an_empty_directory_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found(tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(Conflict, match="is not an empty directory"):
        found(tmp_path / "full")
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "wrong",
    [{"admin": "Root"}, {"hosts": ["b\u00fccher.example"]}, {"listen": "nowhere"}, {"origin": "two words"}],
)
def test_an_init_that_fails_leaves_nothing(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(CustodianError):
        found(tmp_path / "state", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_an_init_that_is_killed_leaves_no_custodian_and_can_be_done_again(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; import custodian.init as i\n"
        "i._write_first_entries = lambda *_: os.kill(os.getpid(), 9)\n"
        "i.create_custodian(Path(sys.argv[1]), i.Plan(), 'correct horse battery')"
    )
    child = subprocess.run([sys.executable, "-c", code, tmp_path / "state"], check=False)
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "state").exists()
    found(tmp_path / "state")


def test_a_weak_password_for_the_administrator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 10 characters"):
        create_custodian(tmp_path / "state", Plan(), "short")


# -- TLS


def test_the_certificate_holds_by_the_strictest_rules(running_world: World) -> None:
    context = ssl.create_default_context(cafile=running_world.daemon.directory / "tls.pem")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    running_world.daemon.tls = context
    assert running_world.daemon.call("GET", "/healthz", root="").status == 200


def test_it_is_for_every_host_that_was_named(tmp_path: Path) -> None:
    found(tmp_path / "state", hosts=["ca.example.com", "192.0.2.7"])
    text = ssl._ssl._test_decode_cert(str(tmp_path / "state" / "tls.pem"))  # type: ignore[attr-defined]
    assert ("DNS", "ca.example.com") in text["subjectAltName"]
    assert ("IP Address", "192.0.2.7") in text["subjectAltName"]
    assert ("DNS", "localhost") in text["subjectAltName"]


def test_old_tls_is_refused(running_world: World) -> None:
    context = server_context(*(running_world.daemon.directory / name for name in ("tls.pem", "tls.key")))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_who_does_not_trust_the_certificate_is_not_answered(running_world: World) -> None:
    running_world.daemon.tls, trusted = ssl.create_default_context(), running_world.daemon.tls
    try:
        with pytest.raises(ssl.SSLCertVerificationError):
            running_world.daemon.call("GET", "/healthz", root="")
    finally:
        running_world.daemon.tls = trusted


# -- starting


def refuse(daemon: Daemon) -> str:
    """Start a daemon that must not start; return the one sentence it says."""
    child = subprocess.run(
        [sys.executable, "-m", "custodian", "serve", "--dir", daemon.directory],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (child.returncode, child.stdout) == (1, "")
    sentences = [line for line in child.stderr.splitlines() if not line.startswith("INFO")]
    assert len(sentences) == 1, child.stderr
    return sentences[0]


def replace_key(daemon: Daemon) -> None:
    key = SigningKey.from_seed("custodian.local/history", bytes(32))
    (daemon.directory / "history.key").write_text(f"{key.format_private()}\n")


def set_listen(daemon: Daemon, place: str) -> None:
    path = daemon.directory / "custodian.toml"
    path.write_text(path.read_text().replace("127.0.0.1:0", place))


# ruff: noqa: E501 - a case a line
IMPOSSIBLE: dict[str, tuple[Callable[[Daemon], object], str]] = {
    "no database": (lambda d: (d.directory / "custodian.db").unlink(), "there is no database"),
    "no history key": (lambda d: (d.directory / "history.key").unlink(), "history.key: cannot be read"),
    "a history key others read": (lambda d: (d.directory / "history.key").chmod(0o640), "run chmod 600"),
    "a history key of junk": (lambda d: (d.directory / "history.key").write_text("x"), "signing key: does not start"),
    "another history key": (replace_key, "is not the key of the history in the database"),
    "a TLS key others read": (lambda d: (d.directory / "tls.key").chmod(0o644), "tls.key can be read by others|run chmod"),
    "no certificate": (lambda d: (d.directory / "tls.pem").unlink(), "tls.pem: cannot be read"),
    "a certificate of junk": (lambda d: (d.directory / "tls.pem").write_text("x"), "tls.pem: does not fit"),
    "a port below 1": (lambda d: set_listen(d, "127.0.0.1:-1"), "must end with a port"),
    "somebody else's address": (lambda d: set_listen(d, "192.0.2.1:8443"), "cannot listen on 192.0.2.1:8443"),
    "a database of junk": (lambda d: (d.directory / "custodian.db").write_text("x" * 5000), "is not a custodian's database"),
    "an address as the origin": (lambda d: (d.directory / "custodian.toml").write_text('[pages]\norigin = "https://10.0.0.1"\n'), "must name a host"),
    "an empty database": (lambda d: (d.directory / "custodian.db").write_text(""), "is not a custodian's database"),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_an_impossible_set_up_is_refused_with_one_sentence(tmp_path: Path, what: str) -> None:
    spoil, sentence = IMPOSSIBLE[what]
    daemon = make_daemon(tmp_path / "state")
    spoil(daemon)
    said = refuse(daemon)
    assert any(part in said for part in sentence.split("|")), said


def test_a_second_daemon_is_refused_and_the_first_goes_on(running_world: World) -> None:
    assert "one daemon per database" in refuse(running_world.daemon)
    assert running_world.person(ADMIN, "GET", "/keys").status == 200


# -- running and stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_orderly_and_in_the_history(tmp_path: Path, number: int) -> None:
    daemon = make_daemon(tmp_path / "state").start()
    assert (daemon.directory / "address").read_text() == f"{daemon.url}\n"
    assert daemon.stop(number) == 0
    assert not (daemon.directory / "address").exists()
    with closing(sqlite3.connect(daemon.directory / "custodian.db")) as database:
        types = [
            json.loads(body)["type"] for (body,) in database.execute("SELECT body FROM entry ORDER BY seq")
        ]
    assert types == ["log.started", "account.enrolled", "daemon.started", "daemon.stopped"]
    assert "Traceback" not in daemon.log.read_text()


def test_a_stop_ends_the_streams_of_signers_and_is_not_held_up_by_them(tmp_path: Path) -> None:
    world = make_world(tmp_path / "state")
    news = world.signer.news()
    assert news.next() == ("live", {"leases": []})
    started = time.monotonic()
    assert world.daemon.stop() == 0
    assert time.monotonic() - started < 4, "the patience for calls in flight is 5 seconds"
    assert news.next() is None
    news.close()
    assert "Traceback" not in world.daemon.log.read_text()


def test_a_signer_that_goes_away_leaves_no_trace_in_the_log(running_world: World) -> None:
    news = running_world.signer.news()
    news.next()
    news.close()
    running_world.signer.news().close()
    wait_until(lambda: running_world.daemon.call("GET", "/healthz", root="").status == 200)
    assert "Traceback" not in running_world.daemon.log.read_text()


def test_the_daemon_leaves_no_core_and_lets_nobody_of_its_user_look_in(running_world: World) -> None:
    limits = Path(f"/proc/{running_world.daemon.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert Path(f"/proc/{running_world.daemon.pid}/mem").stat().st_uid == 0, "not dumpable: root's"
    if os.getuid() == 0:
        assert "not dumpable: closed" in running_world.daemon.log.read_text()


def test_what_was_started_with_a_given_file_is_served(running_world: World, tmp_path: Path) -> None:
    assert running_world.daemon.call("GET", "/keys", authorization=basic("alice")).status == 200
