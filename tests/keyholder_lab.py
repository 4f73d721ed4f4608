"""A broker and a keyholder made of the real measures and nothing else, for tests to look at.

Run as a program: `keyholder_lab.py SOCKET UID KIND`. It imports what a broker imports, becomes UID,
shuts itself in as a broker, forks, shuts the child in as a keyholder, and the child obeys the JSON
lines on the socket. KIND is `secret`, `plain` (secret memory off), `bare` (neither is shut in) or
`broker` (no child; the broker obeys). The exit status is the child's, plus 256 if a signal ended it.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509 import load_der_x509_certificate

from custodian import hardening, landlock, secretheap
from custodian.linux import prctl, syscall
from custodian.scrubbing import scrub_registers, scrub_stack, stack_pointer
from custodian.wiping import wipe

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
PR_SET_DUMPABLE = 4
INFO = b"keyholder-lab/v1"
NONCE = bytes(12)
SIGN: dict[type, Callable[[Any, bytes], bytes]] = {
    ec.EllipticCurvePrivateKey: lambda key, text: key.sign(text, ec.ECDSA(hashes.SHA256())),
    ed25519.Ed25519PrivateKey: lambda key, text: key.sign(text),
    rsa.RSAPrivateKey: lambda key, text: key.sign(text, padding.PKCS1v15(), hashes.SHA256()),
}


class Holder:
    """The child's side: one method for each command."""

    def __init__(self, recipient: X25519PrivateKey, channel: socket.socket | None = None) -> None:
        self.recipient, self.channel = recipient, channel
        self.key: Any = None
        self.planted: list[bytearray] = []

    def open(self, sealed: str, encrypted: str, careful: bool = True) -> str:
        seed = SUITE.decrypt(bytes.fromhex(sealed), self.recipient, info=INFO)
        ciphertext = bytes.fromhex(encrypted)
        dek, der = bytearray(32), bytearray(len(ciphertext) - 16)
        HKDF(hashes.SHA256(), 32, None, INFO).derive_into(seed, dek)
        AESGCM(dek).decrypt_into(NONCE, ciphertext, None, der)
        self.key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        if careful:
            for secret in (seed, dek, der):
                wipe(secret)
        return type(self.key).__name__

    def scrub(self) -> None:
        scrub_registers()
        scrub_stack()

    def sign(self, text: str, times: int = 1) -> str:
        sign = next(how for kind, how in SIGN.items() if isinstance(self.key, kind))
        for _ in range(times):
            signature = sign(self.key, text.encode())
        return signature.hex()

    def plant(self, masked: str) -> None:
        """Keep bytes that were masked for the way here, so that the way holds no copy."""
        self.planted.append(unmask(masked))

    def soil(self, masked: str, depth: int) -> None:
        """Leave bytes on the dead stack, as a C function that has returned would."""
        secret = unmask(masked)
        source = (ctypes.c_char * len(secret)).from_buffer(secret)
        ctypes.memmove(stack_pointer() - depth, source, len(secret))
        wipe(secret)

    def serial(self, certificate: str) -> int:
        return load_der_x509_certificate(bytes.fromhex(certificate)).serial_number

    def alarm_in(self, seconds: float) -> str:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        return hardening.alarm_at(time.clock_gettime(time.CLOCK_BOOTTIME) + seconds)

    def end_in(self, seconds: float) -> dict[str, Any]:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        return asdict(hardening.end_at(time.clock_gettime(time.CLOCK_BOOTTIME) + seconds))

    def set_timeout(self, seconds: float) -> float | None:
        if self.channel is None:
            return None
        self.channel.settimeout(seconds)
        return self.channel.gettimeout()

    def unread_bytes(self) -> None:
        fcntl.ioctl(0, termios.FIONREAD, bytes(4))

    def read_file(self, path: str) -> int:
        return len(Path(path).read_bytes())

    def connect(self) -> None:
        socket.socket(socket.AF_INET)

    def allocate(self, size: int) -> int:
        return len(bytearray(size))

    def fork(self) -> int:
        return os.fork()

    def fail(self) -> None:
        raise SystemError("a bug, uncaught")

    def exit(self) -> None:
        raise SystemExit(0)


def obey(channel: socket.socket, hello: dict[str, Any], servant: object) -> None:
    with channel.makefile("rwb") as lines:
        lines.write(json.dumps(hello).encode() + b"\n")
        lines.flush()
        for line in lines:
            command = json.loads(line)
            try:
                answer = {"result": getattr(servant, command.pop("do"))(**command)}
            except (OSError, MemoryError) as error:
                answer = {"error": type(error).__name__}
            lines.write(json.dumps(answer).encode() + b"\n")
            lines.flush()


class Broker:
    """The broker's side, where it obeys itself: what a broker does all day."""

    def lease(self) -> dict[str, Any]:
        """Fork a shut-in keyholder, hand its socket over, kill it, see it gone."""
        near, far = socket.socketpair()
        here, there = socket.socketpair()
        parent, child = os.getpid(), os.fork()
        if child == 0:
            taken = {m.name: m.taken for m in hardening.shut_in(parent)}
            near.send(json.dumps(taken).encode())
            near.recv(1)
            os._exit(0)
        socket.send_fds(here, [b"socket"], [far.fileno()])
        _, (received,), _, _ = socket.recv_fds(there, 6, 1)
        measures = json.loads(socket.socket(fileno=received).recv(4096))
        watched = os.pidfd_open(child)
        signal.pidfd_send_signal(watched, signal.SIGKILL)
        ready = select.select([watched], [], [], 5)[0]
        ended = os.waitid(os.P_PIDFD, watched, os.WEXITED)
        status = ended and ended.si_status
        return {"measures": measures, "seen": ready == [watched], "signal": status}

    def read_file(self, path: str) -> int:
        return len(Path(path).read_bytes())

    def connect(self) -> None:
        socket.socket(socket.AF_INET)

    def execute(self) -> None:
        os.execv("/bin/true", ["true"])  # noqa: S606 - to see it refused


def rehearse() -> None:
    """Do everything once with throw-away keys: `cryptography` imports some modules at first use."""
    holder = Holder(X25519PrivateKey.generate())
    seed, sealed = bytes(32), SUITE.encrypt(bytes(32), holder.recipient.public_key(), info=INFO)
    der = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    holder.open(sealed.hex(), encrypt(der, seed).hex(), careful=False)
    holder.sign("rehearsal")


def become(uid: int) -> None:
    if os.getuid() != uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        prctl(PR_SET_DUMPABLE, 1)  # as a program has it that this user started


def hold(channel: socket.socket, parent: int, kind: str, hello: dict[str, Any]) -> None:
    recipient = X25519PrivateKey.generate()
    began = time.perf_counter()
    measures: tuple[hardening.Measure, ...] = ()
    if kind != "bare":
        measures = hardening.shut_in(parent, secret_memory=kind == "secret")
    hello |= {"seconds": time.perf_counter() - began, "pid": os.getpid()}
    hello |= {"measures": [asdict(m) for m in measures]}
    hello |= {"public": recipient.public_key().public_bytes_raw().hex()}
    obey(channel, hello, Holder(recipient, channel))


def mask(secret: bytes) -> str:
    return bytes(byte ^ 0xA5 for byte in secret).hex()


def unmask(masked: str) -> bytearray:
    buffer = bytearray.fromhex(masked)
    for index in range(len(buffer)):  # in place, so that there is one copy
        buffer[index] ^= 0xA5
    return buffer


def derive(seed: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, None, INFO).derive(seed)


def encrypt(der: bytes, seed: bytes) -> bytes:
    return AESGCM(derive(seed)).encrypt(NONCE, der, None)


def main(descriptor: str, uid: str, kind: str, locked_memory: str = "") -> int:
    channel = socket.socket(fileno=int(descriptor))
    if locked_memory:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (int(locked_memory), int(locked_memory)))
    rehearse()
    become(int(uid))
    measures = () if kind == "bare" else hardening.shut_in_broker(os.getppid())
    parent = os.getpid()
    hello: dict[str, Any] = {"broker": [asdict(m) for m in measures]}
    if kind == "broker":
        obey(channel, hello | {"pid": parent, "measures": []}, Broker())
        return 0
    secretheap.heap_start()
    child = os.fork()
    if child == 0:
        hold(channel, parent, kind, hello)
        return 0
    channel.close()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# -- the side of the test


def _probe_secret_memory() -> None:
    os.close(syscall("memfd_secret", 0))
    least = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if 0 <= least < 8 * 2**20 and os.getuid() != 0:
        raise OSError(f"RLIMIT_MEMLOCK is {least} bytes")


PROBES: dict[str, Callable[[], object]] = {
    "secret memory": _probe_secret_memory,
    "landlock": landlock.version,
    "seccomp": Path("/proc/sys/kernel/seccomp/actions_avail").read_bytes,
}


def _by_name(measures: list[dict[str, Any]]) -> dict[str, hardening.Measure]:
    return {measure["name"]: hardening.Measure(**measure) for measure in measures}


class Lab:
    """Starts the program and talks to it; a context manager that leaves nothing running."""

    def __init__(
        self,
        kind: str = "secret",
        *,
        uid: int | None = None,
        bind_now: bool = True,
        locked_memory: int | None = None,
    ) -> None:
        self._ours, theirs = socket.socketpair()
        self._lines = self._ours.makefile("rwb")
        fd = theirs.fileno()
        arguments = [str(fd), str(os.getuid() if uid is None else uid), kind]
        arguments += [] if locked_memory is None else [str(locked_memory)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        environment.pop("LD_BIND_NOW", None)
        environment |= {"LD_BIND_NOW": "1"} if bind_now else {}
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-P", __file__, *arguments],
            pass_fds=[fd],
            env=environment,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        line = self._lines.readline()
        if not line:
            raise EOFError(f"ended with {self.ended()}: {self.errors()}")
        self.hello = json.loads(line)
        self.pid: int = self.hello["pid"]
        self.measures = _by_name(self.hello["measures"])
        self.broker_measures = _by_name(self.hello["broker"])

    def lacks(self, measure: str) -> str:
        """Why this kernel cannot take a measure, empty if it can; then it must have been taken."""
        try:
            PROBES[measure]()
        except OSError as error:
            return f"{measure}: {error}"
        for measures in (self.measures, self.broker_measures):
            if measure in measures and not measures[measure].taken:
                raise AssertionError(measures[measure])
        return ""

    def do(self, command: str, **arguments: Any) -> Any:
        """Have a command done; its result, or the name of its error. EOFError if it ended."""
        try:
            self._lines.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
            self._lines.flush()
            line = self._lines.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise EOFError(command)
        answer = json.loads(line)
        return answer.get("error", answer.get("result"))

    def lend(self, der: bytes, seed: bytes, *, careful: bool = True) -> str:
        """Seal a seed to the lab's recipient key and a private key under the seed; open them there."""
        recipient = X25519PublicKey.from_public_bytes(bytes.fromhex(self.hello["public"]))
        encrypted = encrypt(der, seed)
        sealed = SUITE.encrypt(seed, recipient, info=INFO)
        result = self.do("open", sealed=sealed.hex(), encrypted=encrypted.hex(), careful=careful)
        return str(result)

    def errors(self) -> str:
        """What the program wrote to its standard error, once it has ended."""
        return self.process.communicate(timeout=10)[1].decode()

    def ended(self) -> int:
        """Wait for the end; 0, an exit status, or minus the signal."""
        code = self.process.wait(10)
        return code - 256 if code > 127 else code

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        with self.process, self._ours, contextlib.suppress(ConnectionError):
            self._lines.close()


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.exit(status & 0xFF)
