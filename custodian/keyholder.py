"""The process in which a key is in clear: opened for one lease, shut in, and gone with it.

It is forked by a broker and shuts itself in before any secret arrives. Then it reads one lease from
its control socket, opens the shares with the broker's recipient key, checks each against the envelope,
joins them, decrypts the key, and wipes everything but the key. What it signs it first reads itself.

It ends, and the key with it, when its uses are spent, when the kernel's timer reaches the end of the
lease or of any delegation under it, when a socket closes, or when it is killed.

On a channel, lengths and numbers are 4 bytes, big endian:

    request  length || number || length of profile (1) || profile || TBSCertificate
    answer   length || number || 1 || signature      or   length || number || 0 || why not
"""

import json
import math
import select
import socket
import struct
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from custodian.encoding import decode_base64
from custodian.envelope import Envelope, KeyFacts, open_payload, parse_envelope
from custodian.errors import CannotOpen, CustodianError, Forbidden, FormatError
from custodian.hardening import end_at
from custodian.scrubbing import scrub_registers, scrub_stack
from custodian.sealing import PrivateKey
from custodian.shares import join
from custodian.tbs import ToBeSigned, read_tbs
from custodian.terms import Constraints, Terms, parse_terms
from custodian.wiping import wipe

USED_UP = 3  # exit status: every use was spent
MAX_TBS = 131_072
READ_SIZE = 65_536
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as the broker relays it: how many uses, until when, and what opens the key."""

    id: str
    uses: int
    end: float  # Unix time
    envelope: Envelope
    shares: tuple[tuple[Terms, bytes], ...]


class Keyholder:
    """An open key, with what it may be used for and how often."""

    def __init__(self, key: Key, facts: KeyFacts, constraints: Sequence[Constraints], uses: int) -> None:
        self._key, self._facts, self._constraints = key, facts, constraints
        self.left = uses

    def sign(self, tbs: bytes, profile: str) -> bytes:
        """Spend a use on a signature. Raises Forbidden, spending nothing, for what was not lent for."""
        wanted = read_tbs(tbs, profile, datetime.now(UTC))
        if wanted.issuer != self._facts.subject:
            raise Forbidden("the certificate names another issuer than this key's")
        for each in self._constraints:
            if why := each.refusal(wanted.purpose):
                raise Forbidden(f"the owners did not lend the key for this: {why}")
        if self.left < 1:
            raise Forbidden("every use of this lease is spent")
        signature = self._signature(wanted, tbs)
        self.left -= 1
        return signature

    def _signature(self, wanted: ToBeSigned, tbs: bytes) -> bytes:
        key, scheme, digest = self._key, wanted.scheme, wanted.digest
        if isinstance(key, rsa.RSAPrivateKey) and isinstance(scheme, padding.PKCS1v15) and digest:
            return key.sign(tbs, scheme, digest)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(scheme, ec.ECDSA):
            return key.sign(tbs, scheme)
        if isinstance(key, ed25519.Ed25519PrivateKey) and scheme is None:
            return key.sign(tbs)
        raise Forbidden("the certificate names an algorithm that is not this key's")


def parse_lease(message: dict[str, Any]) -> Lease:
    """Parse a lease. Raises FormatError."""
    try:
        lease = Lease(
            id=str(message["id"]),
            uses=int(message["uses"]),
            end=float(message["end"]),
            envelope=parse_envelope(decode_base64(message["envelope"], "envelope")),
            shares=tuple(
                (
                    parse_terms(decode_base64(each["terms"], "terms")),
                    decode_base64(each["sealed"], "sealed"),
                )
                for each in message["shares"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise FormatError("lease", "is not as a custodian grants one") from None
    if not math.isfinite(lease.end):  # every comparison with NaN says no, also the one with the terms
        raise FormatError("lease.end", "is not a time")
    return lease


def open_lease(lease: Lease, recipient: PrivateKey) -> Keyholder:
    """Open the key of a lease, leaving nothing else of what opened it.

    Raises:
        CannotOpen: a share was not sealed to this recipient under these terms, or is not the one dealt.
        Forbidden: the lease goes beyond the terms. QuorumMissing: the shares are too few.
    """
    facts = lease.envelope.facts
    for terms, _ in lease.shares:
        check_terms(terms, lease, recipient)
    shares = {terms.owner: _open_share(terms, sealed, recipient) for terms, sealed in lease.shares}
    seed = join(facts.policy, facts.id, lease.envelope.commitments, shares)
    for share in shares.values():
        wipe(share)
    secret = open_payload(lease.envelope, seed)
    wipe(seed)
    # The check that is skipped takes 300 ms for RSA-4096; the envelope has authenticated the key.
    key = load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
    wipe(secret)
    scrub_registers()
    scrub_stack()
    if not isinstance(key, Key):
        raise CannotOpen("the envelope holds a key of a kind that does not sign")
    return Keyholder(key, facts, [terms.constraints for terms, _ in lease.shares], lease.uses)


def _open_share(terms: Terms, sealed: bytes, recipient: PrivateKey) -> bytes:
    try:
        return recipient.open(sealed, terms.share_info)
    except CannotOpen:
        why = f"the share of {terms.owner} was not sealed to this signer under these terms"
        raise CannotOpen(why, (terms.owner,)) from None


def check_terms(terms: Terms, lease: Lease, recipient: PrivateKey) -> None:
    """Raise Forbidden where a lease goes beyond terms that an owner agreed to."""
    if terms.key_id != lease.envelope.facts.id:
        raise Forbidden(f"{terms.owner} lent another key")
    if recipient.public not in terms.recipients:
        raise Forbidden(f"{terms.owner} lent it to another recipient")
    if not 1 <= lease.uses <= terms.uses:
        raise Forbidden(f"{terms.owner} lent it for {terms.uses} uses, not {lease.uses}")
    if not terms.start.timestamp() <= time.time() < lease.end <= terms.end.timestamp():
        raise Forbidden(f"{terms.owner} lent it for another time")


def hold(control: socket.socket, channels: Sequence[socket.socket], recipient: PrivateKey) -> int:
    """Live the life of a keyholder; return its exit status. Everything is shut in already."""
    warnings.simplefilter("ignore")  # the X.509 parser's; telling them would want to read files
    message = control.recv(1 << 20)
    if not message:
        return 0  # a spare that was never needed
    try:
        lease = parse_lease(json.loads(message))
        ends_in = max(lease.end - time.time(), 0.001)
        timer = end_at(time.clock_gettime(time.CLOCK_BOOTTIME) + ends_in)
        if not timer.taken:
            raise Forbidden(f"this kernel would not end the key in time: {timer.note}")
        holder = open_lease(lease, recipient)
    except CustodianError as error:
        control.send(json.dumps({"error": error.detail, "members": error.members}).encode())
        return 1
    control.send(json.dumps({"opened": lease.id, "timer": [timer.name, timer.taken, timer.note]}).encode())
    return _serve(control, channels, holder)


def _serve(control: socket.socket, channels: Sequence[socket.socket], holder: Keyholder) -> int:
    buffers = {channel.fileno(): (channel, bytearray()) for channel in channels}
    poller = select.poll()
    for fd in (control.fileno(), *buffers):
        poller.register(fd, select.POLLIN)
    while holder.left:
        for fd, _ in poller.poll():
            if fd == control.fileno():
                if control.recv(64):  # asked to close: say what was not used
                    control.send(json.dumps({"left": holder.left}).encode())
                return 0
            channel, buffer = buffers[fd]
            data = channel.recv(READ_SIZE)
            if not data:
                return 0
            buffer += data
            if answers := _answer_all(buffer, holder):
                channel.sendall(answers)
    return USED_UP


def _answer_all(buffer: bytearray, holder: Keyholder) -> bytes:
    """Answer each whole request in `buffer` and remove it."""
    answers = []
    while len(buffer) >= 4:
        size = int.from_bytes(buffer[:4], "big")
        if size > MAX_TBS:
            raise ValueError("a request is longer than any certificate")
        if len(buffer) < 4 + size:
            break
        answers.append(_answer(bytes(buffer[4 : 4 + size]), holder))
        del buffer[: 4 + size]
    return b"".join(answers)


def _answer(request: bytes, holder: Keyholder) -> bytes:
    number, profile_end = request[:4], 5 + request[4]
    try:
        signature = holder.sign(request[profile_end:], request[5:profile_end].decode("ascii"))
        answer = number + b"\x01" + signature
    except Forbidden as error:
        answer = number + b"\x00" + error.detail.encode()
    return struct.pack(">I", len(answer)) + answer
