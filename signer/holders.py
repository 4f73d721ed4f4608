"""The API process's side of the broker and its keyholders.

No secret passes here: leases go down as ciphertext, to-be-signed bytes go down, signatures come up.
"""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from custodian.errors import CannotOpen, Forbidden, Unavailable, Untrusted
from signer.frames import Calls

MAX_MESSAGE = 1 << 20
OPEN_PATIENCE = 30  # seconds
GONE = "the broker is gone and every key with it; restart the signer"


class HolderGone(Exception):
    """The keyholder ended before it answered; another lease may still serve."""


class Channel(Calls):
    """One connection to a keyholder."""

    def sign(self, tbs: bytes, profile: str) -> asyncio.Future[bytes]:
        """Ask for a signature. The future raises Forbidden or HolderGone."""
        label = profile.encode("ascii", "replace")[:255]
        return self.ask(bytes((len(label),)) + label + tbs)

    def refusal(self, why: bytes) -> Exception:
        return Forbidden(why.decode())

    def gone(self) -> Exception:
        return HolderGone()


class BrokerClient:
    """The broker process: started, asked, and told which keyholders to end."""

    def __init__(
        self,
        gone: Callable[[str, str, int], None],
        *,
        log: str,
        checkpoint: bytes = b"",
        secret_memory: bool = True,
    ) -> None:
        """Start it; it believes the history of the key `log`, from `checkpoint` on."""
        self._gone = gone
        self._open: set[str] = set()
        self._calls = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        memory = "secret" if secret_memory else "plain"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "signer.broker", "1", memory],
                stdin=theirs.fileno(),
                env={"LD_BIND_NOW": "1"},  # nothing else of ours is its business
            )
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)
        self._send(do="start", log=log, checkpoint=checkpoint.decode())

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the broker and with it every keyholder."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._process.wait()

    async def report(self) -> dict[str, Any]:
        """Return the recipient, the measures that took, and the open leases with their processes."""
        return (await self._ask(do="report"))[0]

    async def open(self, **asked: Any) -> tuple[Channel, dict[str, Any]]:
        """Open a lease in a keyholder: `lease`, `entry`, `receipt` and `consistency` as granted.

        Raises:
            CannotOpen: its shares do not open it. Untrusted: the history does not tell of it.
            Unavailable: the broker does not answer.
        """
        answer, descriptors = await self._ask(do="open", **asked)
        if answer.get("code") == Untrusted.code:
            raise Untrusted(answer["error"])
        if "error" in answer:
            raise CannotOpen(answer["error"], tuple(answer["members"].get("owners", ())))
        self._open.add(answer["opened"])
        connection = socket.socket(fileno=descriptors[0])
        _, channel = await self._loop.create_unix_connection(Channel, sock=connection)
        return channel, answer

    def kill(self, lease: str) -> None:
        """End a keyholder now."""
        self._send(do="kill", lease=lease)

    def retire(self, lease: str) -> None:
        """End a keyholder cleanly; it tells how many uses were left."""
        self._send(do="close", lease=lease)

    async def _ask(self, **message: Any) -> tuple[dict[str, Any], list[int]]:
        call = next(self._calls)
        future = self._waiting[call] = self._loop.create_future()
        try:
            self._send(call=call, **message)
            return await asyncio.wait_for(future, OPEN_PATIENCE)
        except TimeoutError:
            raise Unavailable("the broker does not answer") from None
        finally:
            del self._waiting[call]

    def _send(self, **message: Any) -> None:
        try:
            self._socket.send(json.dumps(message).encode())
        except OSError:
            raise Unavailable(GONE) from None

    def _tell_gone(self, lease: str, why: str, left: int) -> None:
        self._open.discard(lease)
        self._gone(lease, why, left)

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE, 8)
        except BlockingIOError:
            return
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            self._loop.remove_reader(self._socket)
            for waiting in self._waiting.values():
                waiting.set_exception(Unavailable(GONE))
            for lease in tuple(self._open):
                self._tell_gone(lease, "the broker is gone", 0)
            return
        message = json.loads(data)
        if "gone" in message:
            self._tell_gone(message["gone"], message["why"], message["left"])
        elif future := self._waiting.get(message["call"]):
            future.set_result((message, descriptors))
        else:  # whoever asked has given up
            for descriptor in descriptors:
                os.close(descriptor)
            if "opened" in message:
                self.kill(message["opened"])
