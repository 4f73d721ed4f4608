"""A real signer beside a real custodian, both set up by the commands people use.

The ceremony runs once for a test run; each file of tests gets a copy of its result, on ports of its own.
"""

import atexit
import functools
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ca_in_memory import key_of, make_csr_pem
from cryptography import x509
from running import ADMIN, OWNERS, Answer, Daemon, Served, World, make_daemon, password_of, wait_until

KEY, SIGNER, AUDITOR, AUTH_KEY = "ca", "ca-1", "auditor", "0123456789abcdef0123456789ABCDEF"
POLICY = "2 of (alice, bob, carol)"
USAGES = ["digital signature", "key encipherment"]
SERVER = {"expiry": "720h", "usages": [*USAGES, "server auth"]}
CLIENT = {"expiry": "24h", "usages": [*USAGES, "client auth"]}
PROFILES = {
    "signing": {
        "default": SERVER,
        "profiles": {
            "server": SERVER,
            "client": CLIENT,
            "sub-ca": {"expiry": "24h", "usages": ["cert sign"], "ca_constraint": {"is_ca": True}},
            "authed": CLIENT | {"auth_key": "key1"},
        },
    },
    "auth_keys": {"key1": {"type": "standard", "key": AUTH_KEY}},
}
SOON = 5  # seconds in which what takes milliseconds must have happened on a busy machine


def run(*command: object, expect: int = 0, **settings: object) -> str:
    """Run a command of ours as people do; return what it said, or its complaint where it is to fail."""
    program, *arguments = map(str, command)
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        env=os.environ | {name: str(value) for name, value in settings.items()},
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, (command, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr if expect == 1 else done.stdout


class Signer(Served):
    """`signer serve` as a process; its log is in `log` in its directory's parent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory.with_name("signer.log")

    def start(self, *, connected: bool = True) -> "Signer":
        self.launch("signer", self.directory, "signer listens on http://")
        if connected:
            wait_until(lambda: self.status()["custodian"] == "connected")
        return self

    def call(self, verb: str, path: str, body: Any = None) -> Answer:
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=40)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(verb, path, data)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def status(self) -> Any:
        return self.call("GET", "/status").ok()

    def sign(self, profile: str = "server", **csr: Any) -> Answer:
        body = {"certificate_request": make_csr_pem(key_of("P-256"), **csr), "profile": profile}
        return self.call("POST", "/api/v1/cfssl/sign", body)

    def issue(self, profile: str = "server", **csr: Any) -> x509.Certificate:
        pem = self.sign(profile, **csr).ok()["result"]["certificate"]
        return x509.load_pem_x509_certificate(pem.encode())

    def refusal(self, profile: str = "server", **csr: Any) -> Any:
        """Return the error of a request that must be refused."""
        answer = self.sign(profile, **csr)
        assert answer.status >= 400, answer.body
        return answer.json["errors"][0] | {"quorum": answer.json.get("quorum")}

    def keyholders(self) -> list[int]:
        return [each["pid"] for each in self.status()["keyholders"]["open"]]

    def configure(self, **sections: dict[str, Any]) -> None:
        """Write settings into signer.toml, keeping the others."""
        path = self.directory / "signer.toml"
        known = tomllib.loads(path.read_text())
        for name, section in sections.items():
            known[name] = known.get(name, {}) | section
        lines = [f"name = {json.dumps(known.pop('name'))}"]
        for name, section in known.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
        path.write_text("\n".join(lines) + "\n")


@dataclass
class Site:
    """A custodian and a signer, running, with the key `ca` in custody 2-of-3."""

    world: World
    signer: Signer

    @property
    def daemon(self) -> Daemon:
        return self.world.daemon

    @property
    def ca(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.signer.directory / f"{KEY}.pem").read_bytes())

    def take_back(self) -> None:
        """Revoke whatever is lent, also where a lease took the last use; wait until no key is open."""
        for each in self.world.person(AUDITOR, "GET", "/delegations").ok():
            if each["state"] not in ("revoked", "ended"):
                self.world.person(each["owner"], "DELETE", f"/delegations/{each['id']}").ok()
        wait_until(lambda: not self.signer.keyholders())

    def stop(self) -> None:
        if self.signer.process is not None:
            self.signer.stop()
        if self.daemon.process is not None:
            self.daemon.stop()


@functools.cache
def ceremony() -> Path:
    """Do the ceremony, with the commands, and return the directory of what it left; nothing runs."""
    base = Path(tempfile.mkdtemp(prefix="ceremony-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    daemon = make_daemon(base / "custodian").start()
    custodian = functools.partial(
        run, "custodian", CUSTODIAN_URL=daemon.url, CUSTODIAN_CA=base / "custodian/tls.pem"
    )
    try:
        as_admin = {
            "CUSTODIAN_USER": ADMIN,
            "CUSTODIAN_PASSWORD_FILE": _file(base / "admin", password_of(ADMIN)),
        }
        for name in (*OWNERS, AUDITOR):
            role = "owner" if name in OWNERS else "auditor"
            invited = custodian("owner", "invite", name, "--role", role, "--json", **as_admin)
            code = _file(base / "code", json.loads(invited)["code"])
            password = _file(base / name, password_of(name))
            custodian("enrol", "--invitation-file", code, "--password-file", password)
        invited = custodian("signer", "enrol", SIGNER, "--json", **as_admin)
        enrol_signer(base / "signer", daemon, json.loads(invited)["code"])
        profiles = _file(base / "profiles", json.dumps(PROFILES))
        ca = ("--key", KEY, "--policy", POLICY, "--cn", "Test CA", "--profiles", profiles)
        run("signer", "init-ca", "--dir", base / "signer", *ca)
    finally:
        daemon.stop()
    return base


def enrol_signer(directory: Path, daemon: Daemon, code: str, name: str = SIGNER, *, expect: int = 0) -> str:
    code_file = _file(directory.with_name("code"), code)
    at = ("--dir", directory, "--url", daemon.url, "--ca", daemon.directory / "tls.pem")
    return run("signer", "enrol", *at, "--name", name, "--invitation-file", code_file, expect=expect)


def make_site(directory: Path, **settings: dict[str, Any]) -> Site:
    """Copy the ceremony's result to `directory`; start its custodian on a port that stays the same."""
    shutil.copytree(ceremony(), directory, dirs_exist_ok=True)
    config = directory / "custodian/custodian.toml"
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    daemon = Daemon(directory / "custodian").start()
    signer = Signer(directory / "signer")
    usual: dict[str, dict[str, Any]] = {"custodian": {"url": daemon.url}, "listen": {"port": 0}}
    signer.configure(**usual | settings)
    return Site(World(daemon), signer)


@contextmanager
def running_site(directory: Path, **settings: dict[str, Any]) -> Iterator[Site]:
    """A custodian and a signer at work; both are stopped at the end."""
    site = make_site(directory, **settings)
    try:
        site.signer.start()
        yield site
    finally:
        site.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def alive(pid: int) -> bool:
    """Is there still a process, one that has not ended and waits for its parent to notice?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _file(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    return path
