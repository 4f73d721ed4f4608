"""Connections that are not held for nothing: a deadline for every request head, a share for each address.

aiohttp waits for ever for the rest of a request head, and TLS a minute for the rest of a handshake; a
thousand such connections leave no descriptor for an owner who wants to revoke. So the listening socket
itself knows its connections, from before the handshake:

* one without a whole request head `HEAD_SECONDS` after it was accepted, or `IDLE_SECONDS` after its last
  answer, is shut;
* where an address holds `PER_ADDRESS`, the one that has been idle for longest makes room; if none has been
  for `SPARED_SECONDS`, the newest is refused. A call under way, such as a stream of news, is never shut;
* a stream of somebody who has proven who they are no longer counts for its address (`stop_counting`): how
  many those may be is bounded by their accounts, so that a whole office can watch through one address.
"""

import asyncio
import contextlib
import resource
import socket
from asyncio.sslproto import SSLProtocol
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

HEAD_SECONDS = 10.0
IDLE_SECONDS = 60.0
SPARED_SECONDS = 1.0
PER_ADDRESS = 64
MOST_FILES = 65_536
TLS_BUFFER = 16_384  # bytes; a record of TLS has no more


def raise_file_limit() -> int:
    """Allow this process as many open files as it may have, up to `MOST_FILES`; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def read_tls_in_records() -> None:
    """Have each TLS connection of asyncio keep a buffer of one record, instead of 256 KiB of zeros.

    Three hundred people who watch would otherwise cost 75 MB.
    """
    SSLProtocol.max_size = TLS_BUFFER


class Connection(socket.socket):
    """An accepted connection; `since` is the time of the loop since which it is idle."""

    listener: "Listener"
    peer: Any
    since: float
    deadline: asyncio.TimerHandle | None = None

    def idle(self, seconds: float) -> None:
        """Shut it unless a whole request head comes within `seconds`."""
        self.busy()
        loop = asyncio.get_running_loop()
        self.since, self.deadline = loop.time(), loop.call_later(seconds, self.shut)

    def busy(self) -> None:
        if self.deadline:
            self.deadline.cancel()
        self.deadline = None

    def shut(self) -> None:
        """End it both ways; whoever reads it finds its end, and closes it."""
        self.busy()
        if self.fileno() >= 0:
            with contextlib.suppress(OSError):  # the other side was faster
                self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.busy()
        self.listener.forget(self)
        super().close()


CONNECTION = web.RequestKey("connection", Connection)


class Listener(socket.socket):
    """A listening socket for `asyncio`, to be used in one event loop; `watch` is its middleware."""

    def __init__(self, plain: socket.socket, per_address: int = PER_ADDRESS) -> None:
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self.setblocking(False)
        self._per_address = per_address
        self._held: dict[str, dict[Any, Connection]] = {}  # address -> peer -> connection

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Raises ConnectionAbortedError if its address holds too many."""
        plain, peer = super().accept()
        held = self._held.setdefault(peer[0], {})
        if len(held) >= self._per_address and not self._make_room(held):
            plain.close()
            raise ConnectionAbortedError
        connection = Connection(plain.family, plain.type, plain.proto, plain.detach())
        connection.listener, connection.peer = self, peer
        held[peer] = connection
        connection.idle(HEAD_SECONDS)
        return connection, peer

    def _make_room(self, held: dict[Any, Connection]) -> bool:
        resting = [each for each in held.values() if each.deadline]
        longest = min(resting, key=lambda each: each.since, default=None)
        if not longest or longest.since > asyncio.get_running_loop().time() - SPARED_SECONDS:
            return False
        longest.shut()
        self.forget(longest)
        return True

    def forget(self, connection: Connection) -> None:
        address = connection.peer[0]
        held = self._held.get(address, {})
        if held.get(connection.peer) is connection:
            del held[connection.peer]
        if not held:
            self._held.pop(address, None)

    @web.middleware
    async def watch(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Hear, as a middleware, of whole request heads and of answers."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        connection = self._held.get(peer[0], {}).get(peer) if peer else None
        if not connection:
            return await handler(request)
        request[CONNECTION] = connection
        connection.busy()
        try:
            return await handler(request)
        finally:
            if connection.fileno() >= 0:
                connection.idle(IDLE_SECONDS)


def stop_counting(request: web.Request) -> None:
    """Let the connection of `request`, on which nothing else is asked, not count for its address."""
    if connection := request.get(CONNECTION):
        connection.listener.forget(connection)
