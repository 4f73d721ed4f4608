"""A load generator: N clients that each send the same request again as soon as it is answered.

It runs as a process of its own and costs about 20 µs a request, so that what is measured is the server:

    python load.py < {"host": …, "port": …, "request": base64, "clients": n, "seconds": s}

prints {"seconds": s, "latencies": [s, …], "errors": {"status or reason": n}}; `latencies` has one entry for
each answer with status 200, and no other answer counts.
"""

import base64
import json
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 10.0  # seconds without any answer after which the run is given up


@dataclass(slots=True)
class Client:
    socket: socket.socket
    sent: float = 0.0
    answer: bytes = b""


@dataclass(slots=True)
class Load:
    """One run against one address."""

    address: tuple[str, int]
    request: bytes
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    _poller: select.epoll = field(default_factory=select.epoll)
    _clients: dict[int, Client] = field(default_factory=dict)

    def run(self, clients: int, seconds: float) -> float:
        """Send for `seconds`, wait for the last answers, and return the seconds it took."""
        for _ in range(clients):
            self._connect()
        start = time.perf_counter()
        for client in self._clients.values():
            self._send(client)
        while self._clients:
            ready = self._poller.poll(PATIENCE)
            if not ready:
                self.errors["no answer"] += len(self._clients)
                break
            for descriptor, _ in ready:
                self._receive(descriptor, start + seconds)
        return time.perf_counter() - start

    def _connect(self) -> Client:
        connection = socket.create_connection(self.address, PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = self._clients[connection.fileno()] = Client(connection)
        self._poller.register(connection, select.EPOLLIN)
        return client

    def _send(self, client: Client) -> None:
        client.answer = b""
        client.sent = time.perf_counter()
        client.socket.sendall(self.request)

    def _receive(self, descriptor: int, deadline: float) -> None:
        client = self._clients[descriptor]
        data = client.socket.recv(65_536)
        now = time.perf_counter()
        client.answer += data
        if data and not is_complete(client.answer):
            return
        if not data:
            self.errors["connection closed"] += 1
        elif client.answer.startswith(b"HTTP/1.1 200 "):
            self.latencies.append(now - client.sent)
        else:
            self.errors[client.answer[9:12].decode("ascii", "replace")] += 1
        if not data or now >= deadline:
            self._drop(descriptor)
        if now < deadline:
            self._send(client if data else self._connect())

    def _drop(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        self._clients.pop(descriptor).socket.close()


def is_complete(answer: bytes) -> bool:
    """Say whether an HTTP/1.1 answer is all there: by its Content-Length, else by its last chunk."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    _, has_length, rest = head.lower().partition(b"\r\ncontent-length:")
    if has_length:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    load = Load((job["host"], job["port"]), base64.b64decode(job["request"]))
    seconds = load.run(job["clients"], job["seconds"])
    json.dump({"seconds": seconds, "latencies": load.latencies, "errors": load.errors}, sys.stdout)


if __name__ == "__main__":
    main()
