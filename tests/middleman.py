"""A custodian that cannot be trusted: it stands before a real one, hears everything, and may lie.

It ends TLS with the custodian's own certificate, as a custodian would that was taken over, and passes on
every call. What was sent to it is in `heard`, as it came; `lies` change answers before they go back.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from running import Daemon

Lie = Callable[[Any], Any]  # takes the answer's JSON and returns what is said instead


class Middleman:
    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.heard: list[bytes] = []  # each request: its line, its headers, its body
        self.lies: dict[str, Lie] = {}  # "GET /me" -> what becomes of its answer

    def called(self) -> list[str]:
        """Return verb and path of every call that was made."""
        lines = [each.partition(b"\r\n")[0].decode() for each in self.heard]
        return [line.removesuffix(" HTTP/1.1").replace(" /api/v1", " ") for line in lines]

    def pass_on(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        lines = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self.heard.append("\r\n".join([*lines, "", ""]).encode() + body)
        connection = self.daemon.connect()
        try:
            passed = {name: headers[name] for name in ("Authorization", "Content-Type") if name in headers}
            connection.request(verb, path, body or None, passed)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        lie = self.lies.get(f"{verb} {path.removeprefix('/api/v1')}")
        return response.status, json.dumps(lie(json.loads(answer))).encode() if lie else answer

    def spoken(self) -> bytes:
        """Return all that was heard, and what it says where it says it in base64 of base64."""
        return b"\n".join([*self.heard, *(opened(each) for each in self.heard)])


def opened(request: bytes) -> bytes:
    """Return what stands in base64 in the members of a JSON body."""
    body = request.partition(b"\r\n\r\n")[2]
    return b"\n".join(_members(json.loads(body))) if body else b""


def _members(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _members(each)
    elif isinstance(value, str):
        try:
            yield base64.b64decode(value, validate=True)
        except ValueError:
            yield value.encode()


def secret_forms(secret: bytes) -> list[bytes]:
    """Return how a secret could stand in what is sent: raw, hex, and base64 at each of three offsets."""
    forms = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret)
        inner = encoded[(shift * 8 + 5) // 6 + 1 : -4]  # what does not depend on its neighbours
        forms += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return forms


@contextmanager
def middleman(daemon: Daemon) -> Iterator[tuple[Middleman, str]]:
    """Run one before `daemon`; yield it and its address."""
    man = Middleman(daemon)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_call(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = man.pass_on(self.command, self.path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = handle_call  # noqa: N815 - the names that the server looks for

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(daemon.directory / "tls.pem", daemon.directory / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield man, f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
