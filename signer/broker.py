"""The signer's tiny parent of keyholders.

It makes the recipient key at its start and keeps it in its memory, where shares are sealed to. It forks a
keyholder for each lease, counts what each delegation has given, and kills. It sees no share and no key:
those are opened in the keyholder. It has no network and opens no file.

One spare keyholder, shut in already, waits for the next lease, so that a lease opens in milliseconds.

It talks to the signer's API process over a sequenced-packet socket, its standard input, in JSON:

    {"do": "open", "call": 7, "lease": {…}}  ->  {"call": 7, "opened": id, …} with the channels' descriptors
                                             or  {"call": 7, "error": "…", "members": {…}}
    {"do": "kill", "lease": id}              ->  {"gone": id, "why": "killed"}
    {"do": "close", "lease": id}             ->  {"gone": id, "why": "closed", "left": n}
    {"do": "report", "call": 8}              ->  {"call": 8, "recipient": …, "measures": […], "leases": […]}

A keyholder that ends on its own is told of as {"gone": id, "why": "used up" | "ended"}.
"""

import json
import os
import secrets
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.x509 import load_pem_x509_certificate

from custodian.envelope import parse_envelope
from custodian.errors import CustodianError, Forbidden
from custodian.hardening import Measure, shut_in, shut_in_broker
from custodian.keyholder import USED_UP, Lease, check_terms, hold, open_lease, parse_lease
from custodian.policy import Policy
from custodian.sealing import PrivateKey
from custodian.terms import Constraints, Terms, parse_terms
from signer.ceremony import Plan, make_here

MAX_MESSAGE = 1 << 20
SPARE_PATIENCE = 30  # seconds a spare may take to shut itself in on a busy machine


@dataclass(slots=True)
class Holder:
    """A keyholder process as its parent sees it."""

    pid: int
    pidfd: int
    control: socket.socket
    channels: list[socket.socket]  # the API process's ends, until they are handed over
    measures: list[dict[str, Any]] = field(default_factory=list)
    lease: Lease | None = None
    call: int = 0  # the call that waits for it to open
    why: str = "ended"
    left: int = 0


class Broker:
    def __init__(self, api: socket.socket, *, channels: int, secret_memory: bool) -> None:
        self._api, self._channels, self._secret_memory = api, channels, secret_memory
        self._recipient = PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32))
        self._pid = os.getpid()
        self._measures: tuple[Measure, ...] = ()
        self._given: dict[bytes, tuple[float, int]] = {}  # digest of terms -> their end, uses given
        self._holders: dict[int, Holder] = {}  # by descriptor: pidfd and control socket
        self._poller = select.epoll()
        self._poller.register(api.fileno(), select.EPOLLIN)
        self._spare: Holder | None = None

    def run(self) -> None:
        """Serve until the API process goes."""
        self._measures = shut_in_broker(os.getppid())
        self._spare = self._fork()
        while True:
            for fd, _ in self._poller.poll():
                if fd == self._api.fileno():
                    if not self._obey():
                        self._kill_all()
                        return
                elif fd in self._holders:
                    self._hear(self._holders[fd], fd)

    # --- what the API process asks

    def _obey(self) -> bool:
        data = self._api.recv(MAX_MESSAGE)
        if not data:
            return False
        message = json.loads(data)
        match message["do"]:
            case "open":
                self._open(message["call"], message["lease"])
            case "kill":
                self._kill(message["lease"])
            case "close":
                if holder := self._find(message["lease"]):
                    holder.why = "closed"
                    holder.control.send(b"close")
            case "report":
                self._report(message["call"])
        return True

    def _open(self, call: int, message: dict[str, Any]) -> None:
        try:
            lease = parse_lease(message)
            if self._find(lease.id):
                raise Forbidden(f"the lease {lease.id} is open already")
            self._count(lease)
        except CustodianError as error:
            self._tell({"call": call, "error": error.detail, "members": error.members})
            return
        holder, self._spare = self._take_spare(), None
        holder.lease, holder.call = lease, call
        holder.control.send(json.dumps(message).encode())

    def _count(self, lease: Lease) -> None:
        """Take the lease's uses from each delegation under it.

        Raises:
            Forbidden: a delegation would give more than its terms say, or at another time.
        """
        now = time.time()
        self._given = {digest: given for digest, given in self._given.items() if given[0] > now}
        for terms, _ in lease.shares:
            check_terms(terms, lease, self._recipient)
            if self._uses_given(terms) + lease.uses > terms.uses:
                raise Forbidden(f"{terms.owner} lent it for {terms.uses} uses; they were given already")
        for terms, _ in lease.shares:
            self._give(terms, lease.uses)

    def _uses_given(self, terms: Terms) -> int:
        return self._given.get(terms.digest, (0.0, 0))[1]

    def _give(self, terms: Terms, uses: int) -> None:
        self._given[terms.digest] = (terms.end.timestamp(), self._uses_given(terms) + uses)

    def _report(self, call: int) -> None:
        if self._spare and not self._spare.measures:
            self._hear_measures(self._spare)
        holders = {id(each): each for each in self._holders.values() if each.lease}.values()
        self._tell(
            {
                "call": call,
                "pid": self._pid,
                "recipient": str(self._recipient.public),
                "measures": [asdict(each) for each in self._measures],
                "keyholder_measures": self._spare.measures if self._spare else [],
                "leases": [{"lease": each.lease.id, "pid": each.pid} for each in holders if each.lease],
            }
        )

    def _tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        with suppress(ConnectionError):  # the API process is gone; the next read tells us
            socket.send_fds(self._api, [json.dumps(message).encode()], descriptors or [])

    # --- keyholders

    def _take_spare(self) -> Holder:
        spare = self._spare or self._fork()
        if not spare.measures:
            self._hear_measures(spare)
        return spare

    def _hear_measures(self, holder: Holder) -> None:
        holder.control.settimeout(SPARE_PATIENCE)
        holder.measures = json.loads(holder.control.recv(MAX_MESSAGE))["measures"]

    def _find(self, lease: str) -> Holder | None:
        return next((each for each in self._holders.values() if each.lease and each.lease.id == lease), None)

    def _kill(self, lease: str) -> None:
        if holder := self._find(lease):
            holder.why = "killed"
            signal.pidfd_send_signal(holder.pidfd, signal.SIGKILL)

    def _kill_all(self) -> None:
        for holder in self._holders.values():
            signal.pidfd_send_signal(holder.pidfd, signal.SIGKILL)

    def _hear(self, holder: Holder, fd: int) -> None:
        data = b"" if fd == holder.pidfd else holder.control.recv(MAX_MESSAGE)
        if data:
            self._listen(holder, json.loads(data))
        elif fd == holder.pidfd:
            self._bury(holder)
        else:
            self._poller.unregister(fd)  # it is ending; the pidfd tells when it has

    def _listen(self, holder: Holder, message: dict[str, Any]) -> None:
        if "measures" in message:
            holder.measures = message["measures"]
        elif "left" in message:
            holder.left = message["left"]
        else:
            self._hand_over(holder, message)

    def _hand_over(self, holder: Holder, message: dict[str, Any]) -> None:
        """Tell the API process how opening went, with the channels' ends if it went well."""
        message["call"] = holder.call
        if "opened" in message:
            message["pid"] = holder.pid
            message["measures"] = [
                *holder.measures,
                dict(zip(("name", "taken", "note"), message.pop("timer"), strict=True)),
            ]
            self._tell(message, [each.fileno() for each in holder.channels])
        else:
            if holder.lease:
                self._return(holder.lease, holder.lease.uses)
            holder.lease = None
            self._tell(message)
        for channel in holder.channels:
            channel.close()
        holder.channels.clear()
        self._spare = self._spare or self._fork()

    def _return(self, lease: Lease, uses: int) -> None:
        for terms, _ in lease.shares:
            self._give(terms, -uses)

    def _bury(self, holder: Holder) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(holder.pid, 0)[1])
        while select.select([holder.control], [], [], 0)[0] and (data := holder.control.recv(MAX_MESSAGE)):
            self._listen(holder, json.loads(data))  # its last words
        for fd in (holder.pidfd, holder.control.fileno()):
            del self._holders[fd]
            with suppress(FileNotFoundError):
                self._poller.unregister(fd)
        os.close(holder.pidfd)
        holder.control.close()
        for channel in holder.channels:
            channel.close()
        if holder is self._spare:
            self._spare = None
        if holder.lease is None:
            return
        if holder.channels:  # it died before it opened
            self._tell({"call": holder.call, "error": f"the keyholder ended with {status}", "members": {}})
        if holder.why == "closed":
            self._return(holder.lease, holder.left)
        elif status == USED_UP:
            holder.why = "used up"
        self._tell({"gone": holder.lease.id, "why": holder.why, "left": holder.left})

    def _fork(self) -> Holder:
        control, child_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pairs = [socket.socketpair() for _ in range(self._channels)]
        pid = os.fork()
        if pid == 0:
            self._become_keyholder(child_control, [theirs for _, theirs in pairs], control, pairs)
        child_control.close()
        for _, theirs in pairs:
            theirs.close()
        holder = Holder(pid, os.pidfd_open(pid), control, [ours for ours, _ in pairs])
        for fd in (holder.pidfd, control.fileno()):
            self._holders[fd] = holder
            self._poller.register(fd, select.EPOLLIN)
        return holder

    def _become_keyholder(
        self,
        control: socket.socket,
        channels: list[socket.socket],
        parents_control: socket.socket,
        pairs: list[tuple[socket.socket, socket.socket]],
    ) -> None:
        """Never return: shut in, hold, exit. No traceback may leave; it could show what was read."""
        status = 1
        try:
            for mine in (self._api, parents_control, *(ours for ours, _ in pairs)):
                mine.close()
            self._poller.close()
            for fd, other in self._holders.items():
                os.close(fd) if fd == other.pidfd else other.control.close()
                for channel in other.channels:
                    channel.close()
            measures = shut_in(self._pid, secret_memory=self._secret_memory)
            control.send(json.dumps({"measures": [asdict(each) for each in measures]}).encode())
            status = hold(control, channels, self._recipient)
        finally:
            os._exit(status)


def rehearse() -> None:
    """Walk a keyholder's whole path once with a throw-away key.

    Whatever is loaded or cached on first use is there afterwards, when no file can be opened any more.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    owners = {name: PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32)) for name in ("a", "b")}
    recipient = PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32))
    plan = Plan(
        name="rehearsal",
        algorithm="ecdsa-p256",
        common_name="Rehearsal",
        organization="",
        not_before=now,
        not_after=now + timedelta(hours=1),
        path_length=None,
        policy=Policy(2, ("a", "b")),
        owners={name: key.public for name, key in owners.items()},
        signers={},
    )
    made = make_here(plan)
    envelope = parse_envelope(made.envelope)
    shares = []
    for name, key in owners.items():
        share = key.open(envelope.holdings[name].sealed, envelope.facts.share_info(name))
        terms = Terms(
            key="rehearsal",
            key_id=envelope.facts.id,
            owner=name,
            signer="rehearsal",
            recipients=(recipient.public,),
            uses=1,
            start=now,
            end=now + timedelta(hours=1),
            constraints=Constraints(ca=True),
            request="",
            nonce=secrets.token_hex(16),
        )
        shares.append((parse_terms(bytes(terms)), recipient.public.seal(share, terms.share_info)))
    lease = Lease("rehearsal", 1, plan.not_after.timestamp(), envelope, tuple(shares))
    certificate = load_pem_x509_certificate(made.certificate.encode())
    open_lease(lease, recipient).sign(certificate.tbs_certificate_bytes, "rehearsal")


def main() -> None:
    """Run as `python -m signer.broker CHANNELS MEMORY`, the API process on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    api = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    rehearse()
    Broker(api, channels=int(sys.argv[1]), secret_memory=sys.argv[2] == "secret").run()


if __name__ == "__main__":
    main()
