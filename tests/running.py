"""A real custodian, run as a process on a free port of this host, and real callers of it.

Passwords cost little here (8 MiB, one pass), so that a test can log in a hundred times.
"""

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custodian.api import make_app
from custodian.config import Bodies
from custodian.encoding import decode_base64, encode_base64, format_instant
from custodian.envelope import Envelope, KeyFacts, open_payload, parse_envelope, seal
from custodian.identity import Identity, announce
from custodian.init import Plan, create_custodian
from custodian.policy import parse_policy
from custodian.sealing import PrivateKey, parse_public_key
from custodian.shares import join
from custodian.slots import Kdf
from custodian.terms import parse_terms

COSTS = Kdf(bytes(16), memory_kib=8_192, passes=1, lanes=1)
ADMIN = "admin"
OWNERS = ("alice", "bob", "carol")
SECRET = b"not really the DER of a private key"
CERTIFICATE = (
    f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(bytes(48)).decode()}\n-----END CERTIFICATE-----\n"
)
PURPOSE = {"profile": "server", "names": ["www.example.com"], "validity": 86_400}
STARTS_WITHIN = 20  # seconds, on a busy machine


def password_of(name: str) -> str:
    return f"correct horse battery {name}"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def ok(self) -> Any:
        """Return the JSON of an answer that must be a success."""
        assert 200 <= self.status < 300, (self.status, self.body)
        return self.json


class Served:
    """A daemon of ours as a process, which says where it listens in its first line."""

    log: Path
    url: str
    process: subprocess.Popen[bytes] | None = None

    def launch(self, program: str, directory: Path, says: str) -> None:
        """Start `program serve` and wait until it says where it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", program, "serve", "--dir", directory],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline().decode()
        assert said.startswith(says), self.log.read_text()
        self.url = said.split()[-1]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit status."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.process.stdout.close()
        self.process = None
        return status


class Daemon(Served):
    """`custodian serve` as a process; its log is in `log`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.tls = ssl.create_default_context(cafile=directory / "tls.pem")

    def start(self) -> "Daemon":
        (self.directory / "address").unlink(missing_ok=True)  # of one that was killed
        self.launch("custodian", self.directory, "custodian listens on https://")
        return self

    def connect(self, source: str = "127.0.0.1", timeout: float = 30) -> http.client.HTTPSConnection:
        at = urlsplit(self.url)
        return http.client.HTTPSConnection(
            str(at.hostname), at.port, context=self.tls, timeout=timeout, source_address=(source, 0)
        )

    def call(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        authorization: str = "",
        source: str = "127.0.0.1",
        root: str = "/api/v1",
    ) -> Answer:
        """Make one call; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": authorization} if authorization else {}
        connection = self.connect(source)
        try:
            connection.request(verb, root + path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


def basic(name: str, password: str = "") -> str:
    credentials = f"{name}:{password or password_of(name)}".encode()
    return f"Basic {base64.b64encode(credentials).decode()}"


class Borrower:
    """A signer, played: an identity, a recipient, a token."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon, self.name = daemon, name
        self.key = Ed25519PrivateKey.generate()
        self.identity = Identity(self.key.public_key().public_bytes_raw())
        self.recipient = PrivateKey("x25519", os.urandom(32))
        self.announced = datetime.now(UTC) - timedelta(days=1)
        self.token = ""

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"

    def call(self, verb: str, path: str, body: Any = None) -> Answer:
        return self.daemon.call(verb, path, body, authorization=self.authorization)

    def enrol(self, code: str) -> None:
        body = {"invitation": code, "identity": str(self.identity)}
        self.token = self.daemon.call("POST", "/enrolments", body).ok()["token"]

    def announcement(self) -> dict[str, str]:
        signature = announce(self.key, self.name, self.recipient.public, self.announced)
        return {
            "recipient": str(self.recipient.public),
            "announced": format_instant(self.announced),
            "signature": encode_base64(signature),
        }

    def announce(self) -> Any:
        """Announce a new recipient, as a signer does when it starts."""
        self.recipient = PrivateKey("x25519", os.urandom(32))
        self.announced = max(datetime.now(UTC), self.announced + timedelta(seconds=1))
        return self.call("PUT", f"/signers/{self.name}/recipient", self.announcement()).ok()

    def question(self, request: str = "", **changes: Any) -> dict[str, Any]:
        usual = {
            "request": request or os.urandom(8).hex(),
            "key": "ca",
            "recipient": str(self.recipient.public),
            "purpose": PURPOSE,
            "uses": 1,
            "seconds": 60,
        }
        return usual | changes

    def ask(self, request: str = "", **changes: Any) -> Answer:
        return self.call("POST", "/leases", self.question(request, **changes))

    def join(self, lease: Mapping[str, Any]) -> bytes:
        """Do what a keyholder does with a lease: open the shares, join them, open the envelope."""
        envelope = parse_envelope(decode_base64(lease["envelope"], "envelope"))
        shares = {}
        for lent in lease["shares"]:
            terms = parse_terms(decode_base64(lent["terms"], "terms"))
            shares[terms.owner] = self.recipient.open(
                decode_base64(lent["sealed"], "sealed"), terms.share_info
            )
        seed = join(envelope.facts.policy, envelope.facts.id, envelope.commitments, shares)
        return bytes(open_payload(envelope, seed))

    def news(self) -> "News":
        return News(self)


class News:
    """The stream a signer follows, read event by event."""

    def __init__(self, borrower: Borrower) -> None:
        self.connection = borrower.daemon.connect(timeout=10)
        path = f"/api/v1/signers/{borrower.name}/news"
        self.connection.request("GET", path, headers={"Authorization": borrower.authorization})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()

    def next(self) -> tuple[str, Any] | None:
        """Return the next event and its data, pings left out; None at the end."""
        end = time.monotonic() + 10
        while line := self.response.readline():
            assert time.monotonic() < end, "only pings"
            event = line.decode().removeprefix("event: ").strip()
            data = json.loads(self.response.readline().decode().removeprefix("data: "))
            self.response.readline()
            if event != "ping":
                return event, data
        return None

    def close(self) -> None:
        self.connection.close()


@dataclass
class World:
    """A custodian with an administrator, three owners, an auditor, two signers and a key."""

    daemon: Daemon
    signers: dict[str, Borrower] = field(default_factory=dict)
    vkey: str = ""

    @property
    def signer(self) -> Borrower:
        return self.signers["ca-1"]

    def person(self, name: str, verb: str, path: str, body: Any = None) -> Answer:
        return self.daemon.call(verb, path, body, authorization=basic(name))

    def sign_in(self, name: str) -> str:
        """Return the token of a new session."""
        body = {"name": name, "password": password_of(name)}
        return str(self.daemon.call("POST", "/sessions", body).ok()["token"])

    def invite(self, role: str, name: str) -> str:
        return str(self.person(ADMIN, "POST", "/invitations", {"role": role, "name": name}).ok()["code"])

    def enrol(self, role: str, name: str) -> Any:
        body = {"invitation": self.invite(role, name), "password": password_of(name)}
        return self.daemon.call("POST", "/enrolments", body).ok()

    def add_signer(self, name: str) -> Borrower:
        borrower = Borrower(self.daemon, name)
        borrower.enrol(self.invite("signer", name))
        borrower.announce()
        self.signers[name] = borrower
        return borrower

    def envelope(self, name: str, policy: str = "2 of (alice, bob, carol)", **rules: Any) -> Envelope:
        """Seal a key for the owners and the first signer, as `signer init-ca` does."""
        people = self.person(ADMIN, "GET", "/owners").ok()
        public = {each["name"]: parse_public_key(each["public"], "public") for each in people}
        facts = KeyFacts(
            name=name,
            id=os.urandom(16).hex(),
            created=datetime.now(UTC).replace(microsecond=0),
            algorithm="ecdsa-p256",
            public=os.urandom(32),
            subject=b"0\x0d1\x0b0\x09\x06\x03U\x04\x03\x0c\x02CA",
            policy=parse_policy(policy),
            signers={"ca-1": self.signer.identity},
            **rules,
        )
        return seal(facts, public, SECRET, os.urandom)

    def seal_key(self, name: str = "ca", policy: str = "2 of (alice, bob, carol)", **rules: Any) -> Any:
        envelope = encode_base64(bytes(self.envelope(name, policy, **rules)))
        return self.signer.call("POST", "/keys", {"envelope": envelope, "certificate": CERTIFICATE}).ok()

    def delegate(self, owner: str, **changes: Any) -> Answer:
        usual = {"key": "ca", "signer": "ca-1", "uses": 10, "duration": "1h"}
        return self.person(owner, "POST", "/delegations", usual | changes)

    def lend(self, *owners: str, **changes: Any) -> list[str]:
        """Delegate as each of `owners`; return the delegations' ids."""
        return [self.delegate(owner, **changes).ok()["id"] for owner in owners or ("alice", "bob")]

    def revoke_all(self) -> None:
        """Revoke whatever is lent by those with passwords, so that a test starts from nothing."""
        for each in self.person("auditor", "GET", "/delegations").ok():
            if each["state"] in ("live", "pending") and each["owner"] in OWNERS:
                self.person(each["owner"], "DELETE", f"/delegations/{each['id']}").ok()

    def left(self, *delegations: str) -> list[int]:
        known = {each["id"]: each["left"] for each in self.person("auditor", "GET", "/delegations").ok()}
        return [known[each] for each in delegations]

    def history(self, start: int = 0) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        while page := self.person("auditor", "GET", f"/history?start={start + len(entries)}&limit=1000").ok()[
            "entries"
        ]:
            entries += page
        return entries

    def size(self) -> int:
        return int(self.person("auditor", "GET", "/history?limit=0").ok()["size"])

    def events(self, start: int) -> list[str]:
        """Return the types of the entries from `start` on."""
        return [each["type"] for each in self.history(start)]


def make_daemon(directory: Path, costs: Kdf = COSTS) -> Daemon:
    """Found a custodian at `directory` that listens on any free port of this host; not started."""
    create_custodian(directory, Plan(listen="127.0.0.1:0", costs=costs), password_of(ADMIN))
    with (directory / "custodian.toml").open("a") as config:
        config.write("[bodies]\nseconds = 1\n")
    return Daemon(directory)


def make_world(directory: Path) -> World:
    """Start a custodian and enrol everybody."""
    return populate(World(make_daemon(directory).start()))


def populate(world: World) -> World:
    """Enrol everybody and seal a key."""
    for owner in OWNERS:
        world.vkey = world.enrol("owner", owner)["vkey"]
    world.enrol("auditor", "auditor")
    world.add_signer("ca-1")
    world.add_signer("ca-2")
    world.seal_key()
    return world


def wait_until(true: Any, seconds: float = 10) -> None:
    """Wait for a condition that another process brings about."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def free_addresses() -> Iterable[str]:
    """Yield addresses of this host, a new one each time: each has its own count of failed logins."""
    for number in range(256, 4096):
        yield f"127.0.{number // 256}.{number % 256}"


def routes() -> set[str]:
    """Return every verb and path of the daemon."""
    app = make_app(None, Bodies())  # type: ignore[arg-type] - only the routes are looked at
    return {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if isinstance(route.resource, web.Resource)
    }


def raw_connection(daemon: Daemon) -> ssl.SSLSocket:
    """Open a TLS connection to write HTTP on by hand."""
    at = urlsplit(daemon.url)
    plain = socket.create_connection((str(at.hostname), at.port), timeout=10)
    return daemon.tls.wrap_socket(plain, server_hostname=str(at.hostname))
