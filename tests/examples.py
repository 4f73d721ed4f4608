"""Ready-made values for the tests of the core: three owners, one key, one signer, one moment."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from typing import TypeVar

from custodian.envelope import Envelope, KeyFacts, seal
from custodian.identity import Identity
from custodian.policy import parse_policy
from custodian.quorum import Ask, Delegation
from custodian.sealing import PrivateKey
from custodian.terms import Constraints, Purpose, Terms

T = TypeVar("T")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
KEY_ID = "00112233445566778899aabbccddeeff"
OTHER_ID = "ffeeddccbbaa99887766554433221100"
SECRET = b"the DER of a private key"
PURPOSE = Purpose(profile="server", names=("www.example.com",), validity=86_400)


def random_from(seed: str) -> Callable[[int], bytes]:
    """Return a source of bytes that looks random and repeats itself for the same `seed`."""
    calls = 0

    def random(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(f"{seed} {calls}".encode()).digest(size)

    return random


def private_key(name: str, suite: str = "x25519") -> PrivateKey:
    return PrivateKey(suite, hashlib.sha256(name.encode()).digest())


def identity(name: str = "ca-1") -> Identity:
    return Identity(hashlib.sha256(f"identity {name}".encode()).digest())


def facts(policy: str = "2 of (alice, bob, carol)", **changes: object) -> KeyFacts:
    usual = KeyFacts(
        name="ca",
        id=KEY_ID,
        created=NOW,
        algorithm="ecdsa-p256",
        public=bytes(range(32)),
        subject=b"0\x0d1\x0b0\x09\x06\x03U\x04\x03\x0c\x02CA",
        policy=parse_policy(policy),
        signers={"ca-1": identity()},
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def sealed_key(policy: str = "2 of (alice, bob, carol)", **changes: object) -> Envelope:
    return seal_facts(facts(policy, **changes))


def seal_facts(about: KeyFacts, seed: str = "envelope") -> Envelope:
    owners = {owner: private_key(owner).public for owner in about.policy.owners()}
    return seal(about, owners, SECRET, random_from(seed))


def opened_shares(envelope: Envelope, owners: Iterable[str]) -> dict[str, bytes]:
    info = envelope.facts.share_info
    return {owner: private_key(owner).open(envelope.holdings[owner].sealed, info(owner)) for owner in owners}


def terms(owner: str = "alice", **changes: object) -> Terms:
    usual = Terms(
        key="ca",
        key_id=KEY_ID,
        owner=owner,
        signer="ca-1",
        recipients=(private_key("recipient").public,),
        uses=10,
        start=NOW,
        end=NOW + HOUR,
        constraints=Constraints(),
        request="r-1",
        nonce=hashlib.sha256(owner.encode()).hexdigest()[:32],
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def delegation(
    owner: str = "alice", *, left: int = 10, revoked: bool = False, **changes: object
) -> Delegation:
    return Delegation(terms(owner, **changes), left, revoked)


def ask(**changes: object) -> Ask:
    usual = Ask(
        key_id=KEY_ID,
        signer="ca-1",
        recipient=private_key("recipient").public,
        purpose=PURPOSE,
        uses=1,
        until=NOW + HOUR,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def subsets(items: Sequence[T]) -> Iterable[tuple[T, ...]]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def remade(envelope: Envelope, *edits: tuple[str, str]) -> bytes:
    text = bytes(envelope).decode()
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text.encode()
