"""Many viewers of the live view, each a TLS connection of its own, that say when they read what.

A process of its own, which does little more than decrypt, so that what is measured is the custodian:

    python watch.py < {"host": …, "port": …, "ca": path, "tokens": [a session for each viewer, …]}

prints `ready` once every viewer has its first state. From then on, each line of standard input is a size of
the history; it prints, once every viewer has read a state with a greater one, the list of the times (of
time.perf_counter, which all processes share) at which each first had.
"""

import json
import re
import select
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from typing import Any

STATE = re.compile(rb"id: ([0-9]+)\nevent: state\ndata: [^\n]*\n\n")
PATIENCE = 60.0  # seconds without anything after which the run is given up; a ping comes every 10


@dataclass(slots=True)
class Viewer:
    socket: ssl.SSLSocket
    seen: int = -1
    at: float = 0.0
    unread: bytes = b""

    def read(self, above: int) -> None:
        """Read what is there; remember when the first state above `above` was whole."""
        try:
            while data := self.socket.recv(65_536):
                self.unread += data
        except ssl.SSLWantReadError:
            pass
        else:
            raise SystemExit(f"a viewer was cut off: {self.unread[-300:].decode(errors='replace')}")
        found = None
        for found in STATE.finditer(self.unread):
            size = int(found[1])
            if self.seen <= above < size:
                self.at = time.perf_counter()
            self.seen = size
        if found:
            self.unread = self.unread[found.end() :]


def connect(job: dict[str, Any], token: str, context: ssl.SSLContext) -> Viewer:
    plain = socket.create_connection((job["host"], job["port"]), PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    secure = context.wrap_socket(plain, server_hostname=job["host"])
    head = f"GET /api/v1/live HTTP/1.1\r\nHost: {job['host']}\r\nAuthorization: Bearer {token}\r\n\r\n"
    secure.sendall(head.encode())
    secure.setblocking(False)
    return Viewer(secure)


class Crowd:
    """All viewers of one process."""

    def __init__(self, job: dict[str, Any]) -> None:
        context = ssl.create_default_context(cafile=job["ca"])
        self._viewers = {}
        self._poller = select.epoll()
        for token in job["tokens"]:
            viewer = connect(job, token, context)
            self._viewers[viewer.socket.fileno()] = viewer
            self._poller.register(viewer.socket.fileno(), select.EPOLLIN)

    def wait(self, above: int) -> list[float]:
        """Return when each viewer first read a state above `above`."""
        waiting = {number for number, viewer in self._viewers.items() if viewer.seen <= above}
        while waiting:
            if not (ready := self._poller.poll(PATIENCE)):
                raise SystemExit(f"{len(waiting)} viewers read nothing")
            for number, _ in ready:
                viewer = self._viewers[number]
                viewer.read(above)
                if viewer.seen > above:
                    waiting.discard(number)
        return [viewer.at for viewer in self._viewers.values()]


def main() -> None:
    crowd = Crowd(json.loads(sys.stdin.readline()))
    crowd.wait(-1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(crowd.wait(int(line))), flush=True)


if __name__ == "__main__":
    main()
