"""A store with three owners, a signer and a key, in the process of the test, under a clock of its own."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from examples import HOUR, KEY_ID, NOW, PURPOSE, SECRET, facts, private_key

from custodian import accounts, delegations, ending, granting, keys, leases, signers
from custodian.envelope import seal
from custodian.events import AccountDisabled, Actor, LogStarted
from custodian.identity import Identity, announce
from custodian.lending import Wish
from custodian.note import SigningKey
from custodian.quorum import Missing
from custodian.sealing import PrivateKey
from custodian.slots import Kdf, make_slot
from custodian.store import Store, create_database
from custodian.terms import Constraints

P = ParamSpec("P")
R = TypeVar("R")
KEY = SigningKey.from_seed("custodian.test/history", bytes(range(32)))
KDF = Kdf(bytes(16), memory_kib=8_192, passes=1, lanes=1)
ADMIN = Actor(role="admin", name="admin")
OWNERS = ("alice", "bob", "carol")
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


class FakeClock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def open_store(path: Path, clock: Callable[[], datetime], **more: Any) -> Store:
    return Store(path, key=KEY, clock=clock, random=os.urandom, **more)


@dataclass
class Bench:
    store: Store
    clock: FakeClock
    path: Path
    recipient: PrivateKey

    def do(self, step: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one change in its own transaction."""
        with self.store.transaction() as tx:
            return step(tx, *args, **kwargs)

    def look(self, step: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self.store.reading() as tx:
            return step(tx, *args, **kwargs)

    def entries(self, start: int = 0) -> list[dict[str, Any]]:
        with self.store.reading() as tx:
            rows = tx.rows("SELECT body FROM entry WHERE seq >= ? ORDER BY seq", start)
        return [json.loads(row["body"]) for row in rows]

    def events(self, start: int = 0) -> list[str]:
        return [entry["type"] for entry in self.entries(start)]

    @property
    def size(self) -> int:
        return int(self.look(lambda tx: tx.first))

    def enrol(self, name: str, role: str = "owner") -> None:
        code = self.do(accounts.invite, role, name, ADMIN)
        unlock = private_key(f"unlock {name}")
        place = (name, "password", "password")
        parameters = {"memory_kib": 8_192, "passes": 1, "lanes": 1, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="}
        slot = make_slot(private_key(name), place, unlock.public, **parameters) if role == "owner" else None
        self.do(accounts.enrol, code, KDF, name.encode().ljust(32), slot)

    def announce(self, seed: str) -> list[tuple[str, str]]:
        """Start the signer anew: another recipient."""
        self.recipient = private_key(f"recipient {seed}")
        signer = self.look(signers.find_signer, "ca-1")
        last = signer.announced or self.clock.now - timedelta(days=1)
        at = max(self.clock.now, last + timedelta(seconds=1))
        signature = announce(SIGNER, "ca-1", self.recipient.public, at)
        return self.do(signers.announce, "ca-1", self.recipient.public, announced=at, signature=signature)

    def wish(self, **changes: Any) -> Wish:
        usual: dict[str, Any] = {
            "signer": "ca-1",
            "uses": 10,
            "start": None,
            "duration": HOUR,
            "constraints": Constraints(),
            "request": "",
        }
        return Wish(**usual | changes)

    def draft(self, owner: str, **changes: Any) -> Any:
        key = self.look(keys.find_key, "ca")
        return self.look(delegations.draft, owner, key, self.wish(**changes), self.recipient.public)

    def lend(self, owner: str, **changes: Any) -> str:
        terms = self.draft(owner, **changes)
        self.do(granting.grant, owner, terms, {str(each): "sealed" for each in terms.recipients})
        return str(terms.id)

    def left(self, delegation: str) -> int:
        return self.look(delegations.find_delegation, delegation).delegation.left

    def request(self, request: str = "request-1", **changes: Any) -> leases.LeaseRequest:
        usual: dict[str, Any] = {
            "id": request,
            "key": "ca",
            "recipient": self.recipient.public,
            "purpose": PURPOSE,
            "uses": 1,
            "duration": timedelta(minutes=5),
        }
        return leases.LeaseRequest(**usual | changes)

    def ask(self, request: str = "request-1", **changes: Any) -> str | Missing:
        return self.do(leases.lease, "ca-1", self.request(request, **changes))

    def lease(self, request: str = "request-1", **changes: Any) -> str:
        """Ask for a lease that must be granted; return its id."""
        lease = self.ask(request, **changes)
        assert isinstance(lease, str), lease
        return lease

    def revoke(self, owner: str, delegation: str) -> list[tuple[str, str]]:
        return self.do(ending.revoke, owner, delegation)


def make_bench(path: Path, clock: FakeClock) -> Bench:
    create_database(path)
    bench = Bench(open_store(path, clock), clock, path, private_key("none"))
    bench.do(lambda tx: tx.append(LogStarted(vkey=str(KEY.verify_key))))
    bench.do(accounts.create_account, "admin", "admin", KDF, b"admin".ljust(32))
    for owner in OWNERS:
        bench.enrol(owner)
    identity = Identity(SIGNER.public_key().public_bytes_raw())
    code = bench.do(accounts.invite, "signer", "ca-1", ADMIN)
    bench.do(signers.enrol_signer, code, str(identity))
    bench.announce("first")
    about = facts(signers={"ca-1": identity}, id=KEY_ID)
    owners = {owner: private_key(owner).public for owner in OWNERS}
    envelope = seal(about, owners, SECRET, os.urandom)
    bench.do(keys.seal_key, "ca-1", bytes(envelope), "PEM")
    return bench


def append(store: Store, name: str = "one") -> int:
    with store.transaction() as tx:
        return tx.append(AccountDisabled(account=name))


def entry(store: Store, index: int) -> bytes:
    with store.reading() as tx:
        return bytes(tx.rows("SELECT body FROM entry WHERE seq = ?", index)[0]["body"])


def size(store: Store) -> int:
    with store.reading() as tx:
        return tx.first
