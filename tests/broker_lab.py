"""A real broker with its real keyholders, driven by a test in the API process's place.

The test is the custodian too: it deals the shares, writes the terms and grants the leases, truthfully
or not.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from histories import KEY, History, granted

from custodian.encoding import encode_base64
from custodian.envelope import Envelope, parse_envelope
from custodian.errors import CustodianError
from custodian.policy import Policy
from custodian.sealing import PrivateKey, PublicKey, parse_public_key
from custodian.terms import Constraints, Terms
from signer.ceremony import Plan, make_here

PATIENCE = 20  # seconds, on a busy machine
OWNERS = ("alice", "bob", "carol")


@dataclass(frozen=True)
class Dealt:
    """A CA key in custody, with the shares the test dealt."""

    envelope: Envelope
    shares: Mapping[str, bytes]
    certificate: x509.Certificate


@cache
def deal(algorithm: str = "ecdsa-p256", name: str = "ca") -> Dealt:
    keys = {owner: PrivateKey("x25519", os.urandom(32)) for owner in OWNERS}
    now = datetime.now(UTC).replace(microsecond=0)
    plan = Plan(
        name=name,
        algorithm=algorithm,
        common_name="Lab CA",
        organization="",
        not_before=now,
        not_after=now + timedelta(days=1),
        path_length=None,
        policy=Policy(2, OWNERS),
        owners={owner: key.public for owner, key in keys.items()},
        signers={},
    )
    made = make_here(plan)
    envelope = parse_envelope(made.envelope)
    shares = {
        owner: key.open(envelope.holdings[owner].sealed, envelope.facts.share_info(owner))
        for owner, key in keys.items()
    }
    return Dealt(envelope, shares, x509.load_pem_x509_certificate(made.certificate.encode()))


class Channel:
    """One connection to a keyholder, spoken by hand."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.socket.settimeout(PATIENCE)

    def __del__(self) -> None:
        self.socket.close()  # which ends the keyholder, as when the API process ends

    def ask(self, tbs: bytes, profile: bytes = b"server", number: int = 1) -> tuple[int, bytes]:
        """Return 1 and the signature, or 0 and why not. EOFError if the keyholder ended."""
        self.socket.sendall(frame(tbs, profile, number))
        return self.answer(number)

    def answer(self, number: int = 1) -> tuple[int, bytes]:
        answer = self._exactly(int.from_bytes(self._exactly(4), "big"))
        assert int.from_bytes(answer[:4], "big") == number
        return answer[4], answer[5:]

    def ends(self) -> bool:
        """Wait for the keyholder's end."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self.socket.recv(size - len(data))
            except ConnectionError:
                more = b""
            if not more:
                raise EOFError("the keyholder ended")
            data += more
        return data


def frame(tbs: bytes, profile: bytes = b"server", number: int = 1) -> bytes:
    return struct.pack(">IIB", 5 + len(profile) + len(tbs), number, len(profile)) + profile + tbs


class Broker:
    def __init__(self, *, channels: int = 1, memory: str = "secret") -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.settimeout(PATIENCE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "signer.broker", str(channels), memory],
            stdin=theirs.fileno(),
            env={**os.environ, "LD_BIND_NOW": "1"},
            stderr=subprocess.PIPE,
        )
        self.their_inode = os.fstat(theirs.fileno()).st_ino
        theirs.close()
        self.call = 0
        self.history = History(b"the beginning")
        self.send({"do": "start", "log": str(KEY.verify_key), "checkpoint": ""})
        self.recipient: PublicKey = parse_public_key(self.report()["recipient"], "recipient")

    def send(self, message: Any) -> None:
        self._ours.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    def hear(self) -> tuple[dict[str, Any], list[Channel]]:
        """Return the next message and the channels that came with it. EOFError if the broker ended."""
        try:
            data, fds, _, _ = socket.recv_fds(self._ours, 1 << 20, 8)
        except ConnectionError:
            data, fds = b"", []
        if not data:
            raise EOFError("the broker ended")
        return json.loads(data), [Channel(fd) for fd in fds]

    def report(self) -> dict[str, Any]:
        self.call += 1
        self.send({"do": "report", "call": self.call})
        while (answer := self.hear()[0]).get("call") != self.call:
            pass
        return answer

    def open(self, lease: Any, **untrue: Any) -> tuple[dict[str, Any], list[Channel]]:
        """Ask for a lease, with the proof that the history tells of it unless `untrue` says otherwise."""
        proof = self.prove(lease) | untrue
        self.call += 1
        self.send({"do": "open", "call": self.call, "lease": lease} | proof)
        answer, channels = self.hear()
        assert answer["call"] == self.call
        return answer, channels

    def prove(self, lease: Any) -> dict[str, Any]:
        """Write the lease into the history; return what shows that it is there."""
        try:
            entry = granted(lease, self.recipient)
        except (CustodianError, ArithmeticError, TypeError, ValueError, KeyError, AttributeError, OSError):
            entry = b"a lease that no custodian would grant"
        return self.prove_entry(entry)

    def prove_entry(self, entry: bytes) -> dict[str, Any]:
        index = len(self.history.entries)
        self.history.entries.append(entry)
        return {
            "entry": entry.decode(),
            "receipt": self.history.receipt(index).decode(),
            "consistency": self.history.since(self.report()["seen"]),
        }

    def opened(self, lease: Any) -> Channel:
        answer, channels = self.open(lease)
        assert answer.get("opened") == lease["id"], answer
        return channels[0]

    def refusal(self, lease: Any) -> str:
        answer, channels = self.open(lease)
        assert channels == []
        return str(answer["error"])

    def leave(self) -> None:
        """End the connection, as the API process does when it ends."""
        self._ours.close()

    def close(self) -> None:
        self.leave()
        with self.process:
            self.process.wait(PATIENCE)

    # --- what a custodian does

    def terms(self, owner: str, dealt: Dealt, **changes: Any) -> Terms:
        now = datetime.now(UTC).replace(microsecond=0)
        usual: dict[str, Any] = {
            "key": dealt.envelope.facts.name,
            "key_id": dealt.envelope.facts.id,
            "owner": owner,
            "signer": "ca-1",
            "recipients": (self.recipient,),
            "uses": 5,
            "start": now - timedelta(seconds=5),
            "end": now + timedelta(hours=1),
            "constraints": Constraints(),
            "request": "",
            "nonce": os.urandom(16).hex(),
        }
        return Terms(**usual | changes)

    def lend(self, *owners: str, dealt: Dealt | None = None, **changes: Any) -> list[tuple[Terms, bytes]]:
        """Return what each of `owners` lends: terms, and the share sealed under them."""
        dealt = dealt or deal()
        lent = []
        for owner in owners or ("alice", "bob"):
            terms = self.terms(owner, dealt, **changes)
            lent.append((terms, self.recipient.seal(dealt.shares[owner], terms.share_info)))
        return lent


def lease_of(lent: list[tuple[Terms, bytes]], dealt: Dealt | None = None, **changes: Any) -> dict[str, Any]:
    """Return a lease as the API process hands it down."""
    usual = {
        "id": f"l-{os.urandom(4).hex()}",
        "uses": 2,
        "end": time.time() + 60,
        "envelope": encode_base64(bytes((dealt or deal()).envelope)),
        "shares": [
            {"terms": encode_base64(bytes(terms)), "sealed": encode_base64(sealed)} for terms, sealed in lent
        ],
    }
    return usual | changes


def stretched(lent: list[tuple[Terms, bytes]], **changes: Any) -> list[tuple[Terms, bytes]]:
    """Change the terms under shares that were sealed under others, as a custodian that lies would."""
    return [(replace(terms, **changes), sealed) for terms, sealed in lent]


@contextmanager
def running_broker(**how: Any) -> Iterator[Broker]:
    broker = Broker(**how)
    try:
        yield broker
    finally:
        broker.close()
