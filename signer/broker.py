"""The signer's tiny parent of keyholders.

It makes the recipient key at its start and keeps it in its memory, where shares are sealed to. It forks a
keyholder for each lease, counts what each delegation has given, and kills. It sees no share and no key:
those are opened in the keyholder. It has no network and opens no file.

One spare keyholder, shut in already, waits for the next lease, so that a lease opens in milliseconds.

It talks to the signer's API process over a sequenced-packet socket, its standard input, in JSON:

    {"do": "start", "log": vkey, "checkpoint": …}     first, once: whose history it believes, seen so far
    {"do": "open", "call": 7, "lease": {…}, "entry": …, "receipt": …, "consistency": […]}
                                             ->  {"call": 7, "opened": id, …} with the channels' descriptors
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
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from custodian.checkpoint import open_checkpoint
from custodian.errors import CannotOpen, CustodianError, Forbidden, Untrusted
from custodian.hardening import Measure, shut_in, shut_in_broker
from custodian.keyholder import USED_UP, Lease, check_terms, hold, parse_lease
from custodian.note import parse_verify_key
from custodian.sealing import PrivateKey
from signer.rehearsal import rehearse
from signer.witness import Witness, check_entry

MAX_MESSAGE = 1 << 20
SPARE_PATIENCE = 30  # seconds a spare may take to shut itself in on a busy machine
TRIES = 3


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
        self._given: dict[bytes, int] = {}  # digest of terms -> uses given, never forgotten
        self._witness: Witness | None = None
        self._holders: dict[int, Holder] = {}  # by descriptor: pidfd and control socket
        self._poller = select.epoll()
        self._poller.register(api.fileno(), select.EPOLLIN)
        self._spare: Holder | None = None

    def run(self) -> None:
        """Serve until the API process goes."""
        self._measures = shut_in_broker(os.getppid())
        self._spare = self._fork()
        while True:
            for fd, holder in [(fd, self._holders.get(fd)) for fd, _ in self._poller.poll()]:
                if fd == self._api.fileno():
                    if not self._obey():
                        self._kill_all()
                        return
                elif holder and holder is self._holders.get(fd):  # else the descriptor is another's by now
                    self._hear(holder, fd)

    # --- what the API process asks

    def _obey(self) -> bool:
        data = _receive(self._api)
        if not data:
            return False
        message = json.loads(data)
        match message["do"]:
            case "start":
                self._start(message["log"], message["checkpoint"].encode())
            case "open":
                self._open(message["call"], message)
            case "kill":
                self._kill(message["lease"])
            case "close":
                if holder := self._find(message["lease"]):
                    holder.why = "closed"
                    _send(holder.control, b"close")
            case "report":
                self._report(message["call"])
        return True

    def _start(self, log: str, checkpoint: bytes) -> None:
        if self._witness is None:
            key = parse_verify_key(log)
            self._witness = Witness(key, open_checkpoint(checkpoint, key) if checkpoint else None)

    def _open(self, call: int, message: dict[str, Any]) -> None:
        try:
            lease = parse_lease(message["lease"])
            self._see(lease, message)
            if self._find(lease.id):
                raise Forbidden(f"the lease {lease.id} is open already")
            self._count(lease)
        except CustodianError as error:
            self._tell({"call": call, "code": error.code, "error": error.detail, "members": error.members})
            return
        holder, self._spare = self._take_spare(), None
        holder.lease, holder.call = lease, call
        _send(holder.control, json.dumps(message["lease"]).encode())

    def _see(self, lease: Lease, message: dict[str, Any]) -> None:
        """Raise Untrusted unless the history tells of this lease, for the first time."""
        if self._witness is None:
            raise Untrusted("the broker was not told whose history to believe")
        entry = message["entry"].encode()
        self._witness.accept(entry, message["receipt"].encode(), message["consistency"])
        check_entry(entry, lease, self._recipient.public)

    def _count(self, lease: Lease) -> None:
        """Take the lease's uses from each delegation under it.

        Raises:
            Forbidden: a delegation would give more than its terms say, or at another time.
        """
        for terms, _ in lease.shares:
            check_terms(terms, lease, self._recipient)
            if self._given.get(terms.digest, 0) + lease.uses > terms.uses:
                raise Forbidden(f"{terms.owner} lent it for {terms.uses} uses; they were given already")
        self._give(lease, lease.uses)

    def _give(self, lease: Lease, uses: int) -> None:
        for terms, _ in lease.shares:
            self._given[terms.digest] = self._given.get(terms.digest, 0) + uses

    def _report(self, call: int) -> None:
        self._spare = self._take_spare()
        holders = {id(each): each for each in self._holders.values() if each.lease}.values()
        self._tell(
            {
                "call": call,
                "pid": self._pid,
                "recipient": str(self._recipient.public),
                "seen": self._witness.size if self._witness else 0,
                "measures": [asdict(each) for each in self._measures],
                "keyholder_measures": self._spare.measures,
                "leases": [{"lease": each.lease.id, "pid": each.pid} for each in holders if each.lease],
            }
        )

    def _tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        with suppress(ConnectionError):  # the API process is gone; the next read tells us
            socket.send_fds(self._api, [json.dumps(message).encode()], descriptors or [])

    # --- keyholders

    def _take_spare(self) -> Holder:
        """Return a keyholder that has shut itself in; one that died waiting is replaced."""
        for _ in range(TRIES):
            spare = self._spare or self._fork()
            self._spare = None
            ended = select.select([spare.pidfd], [], [], 0)[0]
            if not ended and (spare.measures or self._hear_measures(spare)):
                return spare
        raise RuntimeError("keyholders end before they are ready")

    def _hear_measures(self, holder: Holder) -> bool:
        holder.control.settimeout(SPARE_PATIENCE)
        data = _receive(holder.control)
        holder.control.settimeout(None)
        if data:
            holder.measures = json.loads(data)["measures"]
        return bool(data)

    def _find(self, lease: str) -> Holder | None:
        return next((each for each in self._holders.values() if each.lease and each.lease.id == lease), None)

    def _kill(self, lease: str) -> None:
        if holder := self._find(lease):
            holder.why = "killed"
            _kill(holder)

    def _kill_all(self) -> None:
        for holder in self._holders.values():
            _kill(holder)

    def _hear(self, holder: Holder, fd: int) -> None:
        try:
            data = b"" if fd == holder.pidfd else _receive(holder.control, socket.MSG_DONTWAIT)
        except BlockingIOError:  # it was read already, out of turn
            return
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
            message["seen"] = self._witness.size if self._witness else 0
            message["measures"] = [
                *holder.measures,
                dict(zip(("name", "taken", "note"), message.pop("timer"), strict=True)),
            ]
            self._tell(message, [each.fileno() for each in holder.channels])
        else:
            if holder.lease:
                self._give(holder.lease, -holder.lease.uses)
            holder.lease = None
            self._tell(message)
        for channel in holder.channels:
            channel.close()
        holder.channels.clear()
        self._spare = self._spare or self._fork()

    def _bury(self, holder: Holder) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(holder.pid, 0)[1])
        while select.select([holder.control], [], [], 0)[0] and (data := _receive(holder.control)):
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
            why = f"the keyholder ended with {status} before it opened"
            self._tell({"call": holder.call, "code": CannotOpen.code, "error": why, "members": {}})
        if holder.why == "closed":
            self._give(holder.lease, -holder.left)
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


def _receive(channel: socket.socket, flags: int = 0) -> bytes:
    """Return a message; nothing when the other end is gone."""
    try:
        return channel.recv(MAX_MESSAGE, flags)
    except (ConnectionError, TimeoutError):
        return b""


def _send(channel: socket.socket, message: bytes) -> None:
    with suppress(OSError):  # a process that just ended; its pidfd tells
        channel.send(message)


def _kill(holder: Holder) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(holder.pidfd, signal.SIGKILL)


def main() -> None:
    """Run as `python -m signer.broker CHANNELS MEMORY`, the API process on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    api = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:  # else every keyholder had it as its standard input
        os.dup2(nothing.fileno(), 0)
    rehearse()
    Broker(api, channels=int(sys.argv[1]), secret_memory=sys.argv[2] == "secret").run()


if __name__ == "__main__":
    main()
