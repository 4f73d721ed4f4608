"""The processes that read what strangers send can reach nothing that is worth taking."""

import os
import socket
import sys
from pathlib import Path

import pytest

from custodian import landlock
from custodian.hardening import shut_in_front
from signer.app import PROGRAM

try:
    landlock.version()
except OSError:
    pytest.skip("this kernel has no landlock", allow_module_level=True)


def in_a_front_end(attempt: str, *arguments: str) -> str:
    """Fork, shut in as a front end, try, and return what came of it."""
    theirs, ours = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            shut_in_front(parent, PROGRAM)
            ATTEMPTS[attempt](*arguments)
            came = "done"
        except BaseException as error:
            came = type(error).__name__
        os.write(ours, came.encode())
        os._exit(0)
    os.close(ours)
    os.waitpid(child, 0)
    with os.fdopen(theirs, "rb") as answer:
        return answer.read().decode()


ATTEMPTS = {
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: list(Path(path).iterdir()),
    "write": lambda path: Path(path, "new").write_bytes(b""),
    "connect": lambda port: socket.create_connection(("127.0.0.1", int(port)), 1),
    "look at itself": lambda: Path("/proc/self/maps").read_bytes(),
}


def test_it_cannot_read_the_identity_or_the_token(tmp_path: Path) -> None:
    for name in ("identity.pem", "token", "journal.jsonl", "auth.key"):
        (tmp_path / name).write_bytes(b"secret")
        assert in_a_front_end("read", str(tmp_path / name)) == "PermissionError"
    assert in_a_front_end("list", str(tmp_path)) == "PermissionError"


def test_it_can_write_nowhere(tmp_path: Path) -> None:
    for place in (tmp_path, Path(sys.prefix)):
        assert in_a_front_end("write", str(place)) == "PermissionError"
        assert not (place / "new").exists()


def test_it_still_loads_its_own_program() -> None:
    assert in_a_front_end("read", landlock.__file__) == "done"
    assert in_a_front_end("list", str(Path(os.__file__).parent)) == "done"


def test_it_cannot_look_into_processes() -> None:
    assert in_a_front_end("look at itself") == "PermissionError"


@pytest.mark.skipif(landlock.version() < landlock.TCP_SINCE, reason="this kernel's landlock knows no TCP")
def test_it_cannot_connect_to_the_custodian() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert in_a_front_end("connect", str(port)) == "PermissionError"
        socket.create_connection(("127.0.0.1", port), 1).close()
