"""A custodian on a working day: keys, requests, loans, refusals and signatures, for pages to show."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from running import World

from custodian.encoding import encode_base64, format_instant

ROOT, ISSUING = "root-ca-2026", "issuing-ca-eu"
DAY = 86_400


@dataclass(frozen=True)
class Scene:
    world: World
    waiting: str  # the request that waits for alice


def play(world: World) -> Scene:
    """Let everybody do what they do."""
    for owner in ("dave", "erin"):
        world.enrol("owner", owner)
    world.invite("auditor", "second-auditor")
    _seal(world, ISSUING, "2 of (alice, bob, carol)")
    _seal(world, ROOT, "3 of (alice, bob, carol, dave, erin)", veto=("erin",))
    _an_earlier_opening(world)
    waiting = _ask(
        world,
        ROOT,
        uses=40,
        reason="New point of presence, change CHG-8812",
        on_behalf="Mara Voss",
        constraints={"profiles": ["server"], "names": ["*.db.osaka.internal"], "max_validity": 90 * DAY},
    )
    answer = {"key": ROOT, "request": waiting, "uses": 40, "duration": "1h"}
    world.person("bob", "POST", "/delegations", {"signer": "ca-1"} | answer).ok()
    decline = {"reason": "not in my change window"}
    world.person("dave", "POST", f"/requests/{waiting}/decline", decline).ok()
    _ask(world, ISSUING, uses=1, reason="Publish the monthly revocation list", duration="15m")
    world.delegate("alice", key=ISSUING, uses=3, duration="40m").ok()
    revoked = world.delegate("alice", key=ISSUING, uses=5, duration="2h").ok()["id"]
    world.person("alice", "DELETE", f"/delegations/{revoked}").ok()
    return Scene(world, waiting)


def _ask(world: World, key: str, **changes: Any) -> str:
    usual = {"key": key, "signer": "ca-1", "duration": "1h"}
    return str(world.signer.call("POST", "/requests", usual | changes).ok()["id"])


def _an_earlier_opening(world: World) -> None:
    """A request that was answered, signatures under it, and one that its asker took back."""
    request = _ask(
        world, ISSUING, uses=5, reason="Renew the mail gateways, change CHG-8790", on_behalf="Jun Tanaka"
    )
    lent = {"key": ISSUING, "signer": "ca-1", "uses": 5, "duration": "1h", "request": request}
    for owner in ("alice", "carol"):
        world.person(owner, "POST", "/delegations", lent).ok()
    lease = world.signer.ask(key=ISSUING, uses=3).ok()["id"]
    records = [
        {
            "lease": lease,
            "number": number,
            "tbs_sha256": os.urandom(32).hex(),
            "serial": os.urandom(16).hex(),
            "profile": "server",
            "names": [f"mx-{number}.example.com"],
            "not_after": format_instant(datetime.now(UTC) + timedelta(days=90)),
        }
        for number in (1, 2)
    ]
    world.signer.call("POST", "/records", {"records": records}).ok()
    world.signer.call("POST", f"/leases/{lease}/close", {"used": 2}).ok()
    asked = {"key": ROOT, "signer": "ca-1", "uses": 1, "duration": "15m", "reason": "a mistake"}
    taken_back = world.person("carol", "POST", "/requests", asked).ok()["id"]
    world.person("carol", "POST", f"/requests/{taken_back}/withdraw", {}).ok()


def _seal(world: World, name: str, policy: str, **rules: Any) -> None:
    envelope = encode_base64(bytes(world.envelope(name, policy, **rules)))
    world.signer.call("POST", "/keys", {"envelope": envelope, "certificate": _certificate(name)}).ok()


def _certificate(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


PAGES = {
    "requests": "/requests",
    "request": "/requests/{waiting}",
    "ask": "/ask",
    "quorum": "/quorum",
    "delegations": "/delegations",
    "history": "/history",
    "setup": "/setup",
    "me": "/me",
}
SIGNED_OUT = {"sign-in": "/sign-in", "enrol": "/enrol"}
