"""What a shut-in process can still do, and what it can no longer do. Real kernel, real children."""

import ctypes
import errno
import os
import re
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keyholder_lab import PROBES, Lab

from custodian import hardening, landlock, linux, seccomp, secretheap

NOBODY = 65534
OWN = os.getuid()
KEYS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
}
ALLOW, KILL = 0x7FFF0000, 0x80000000


@pytest.fixture(params=sorted({OWN, NOBODY} if OWN == 0 else {OWN}))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(uid=request.param) as started:
        yield started


def needs(lab: Lab, measure: str) -> None:
    if why := lab.lacks(measure):
        pytest.skip(why)


def verify(key: Any, signature: bytes, text: bytes) -> None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key.public_key().verify(signature, text, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.public_key().verify(signature, text)


def der_of(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# -- what it says


def test_each_measure_says_whether_it_took_and_something_about_it(lab: Lab) -> None:
    assert list(lab.measures) == [
        "dies with its parent",
        "no core dump",
        "not dumpable",
        "no new privileges",
        "bound at start",
        "heap in one piece",
        "secret memory",
        "no new memory",
        "landlock",
        "seccomp",
    ]
    assert all(measure.note for measure in lab.measures.values())
    for name in PROBES:
        lab.lacks(name)
    basic = set(lab.measures) - {"secret memory", "landlock", "seccomp"}
    assert all(lab.measures[name].taken for name in basic)


def test_secret_memory_that_is_switched_off_is_said_to_be_off() -> None:
    with Lab("plain") as lab:
        assert not lab.measures["secret memory"].taken
        assert "switched off" in lab.measures["secret memory"].note


def test_a_program_started_without_bind_now_is_told_of_the_risk() -> None:
    with Lab(bind_now=False) as lab:
        assert not lab.measures["bound at start"].taken
        assert "LD_BIND_NOW=1" in lab.measures["bound at start"].note


def test_a_heap_beyond_the_memory_lock_limit_is_told_how_to_raise_it() -> None:
    with Lab(uid=NOBODY if OWN == 0 else OWN, locked_memory=65536) as lab:
        assert not lab.measures["secret memory"].taken
        assert re.search("LimitMEMLOCK|no memfd_secret", lab.measures["secret memory"].note)
        assert lab.measures["no new memory"].taken


# -- what it can still do


@pytest.mark.parametrize("kind", KEYS)
def test_a_shut_in_keyholder_opens_a_key_and_signs(lab: Lab, kind: str) -> None:
    key = KEYS[kind]()
    assert lab.lend(der_of(key), os.urandom(32)).endswith("PrivateKey")
    verify(key, bytes.fromhex(lab.do("sign", text="to be signed", times=200)), b"to be signed")
    lab.do("scrub")
    verify(key, bytes.fromhex(lab.do("sign", text="and again")), b"and again")


def test_a_shut_in_keyholder_reads_a_certificate(lab: Lab) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert lab.do("serial", certificate=certificate.hex()) == 7


def test_a_shut_in_keyholder_ends_cleanly(lab: Lab) -> None:
    with pytest.raises(EOFError):
        lab.do("exit")
    assert lab.ended() == 0


def test_a_bug_in_a_shut_in_keyholder_is_reported_as_anywhere(lab: Lab) -> None:
    with pytest.raises(EOFError):
        lab.do("fail")
    assert lab.ended() == 1
    assert "SystemError: a bug, uncaught" in lab.errors()


def test_a_shut_in_keyholder_gives_a_socket_a_timeout(lab: Lab) -> None:
    assert lab.do("set_timeout", seconds=30) == 30


# -- what it can no longer do


def test_a_shut_in_keyholder_opens_no_file(lab: Lab) -> None:
    needs(lab, "landlock")
    assert lab.do("read_file", path="/proc/self/status") == "PermissionError"


def test_a_shut_in_keyholder_does_nothing_else_to_a_device(lab: Lab) -> None:
    needs(lab, "seccomp")
    assert lab.do("unread_bytes") == "PermissionError"


@pytest.mark.parametrize("command", ["connect", "fork"])
def test_a_call_that_is_not_needed_ends_the_keyholder(lab: Lab, command: str) -> None:
    needs(lab, "seccomp")
    with pytest.raises(EOFError):
        lab.do(command)
    assert lab.ended() == -signal.SIGSYS


def test_a_shut_in_keyholder_has_its_head_room_and_nothing_beyond(lab: Lab) -> None:
    assert lab.do("allocate", size=2**20) == 2**20
    assert lab.do("allocate", size=2**24) == "MemoryError"


def test_a_shut_in_keyholder_leaves_no_core(lab: Lab) -> None:
    limits = Path(f"/proc/{lab.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


@pytest.mark.skipif(OWN != 0, reason="needs root, to become another user")
def test_another_process_of_the_same_user_cannot_read_its_memory() -> None:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("Yama already keeps processes of the same user apart")
    for kind, status in (("bare", 0), ("plain", 2)):
        with Lab(kind, uid=NOBODY) as lab:
            probe = ["/bin/sh", "-c", f"exec 3< /proc/{lab.pid}/mem"]
            done = subprocess.run(
                probe, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False
            )
            assert done.returncode == status, (kind, done.stderr)


# -- how it ends


def test_the_kernel_ends_a_keyholder_on_time_even_if_it_blocks_every_signal(lab: Lab) -> None:
    began = time.monotonic()
    assert lab.do("end_in", seconds=0.2)["taken"]
    assert lab.ended() == -signal.SIGKILL
    assert 0.19 <= time.monotonic() - began < 5


def test_an_end_that_has_passed_already_ends_it_at_once(lab: Lab) -> None:
    with pytest.raises(EOFError):
        lab.do("end_in", seconds=-(10**6))
    assert lab.ended() == -signal.SIGKILL


def test_the_alarm_that_stands_in_for_the_timer_ends_it_too(lab: Lab) -> None:
    assert "SIGALRM" in lab.do("alarm_in", seconds=0.1)
    assert lab.ended() == -signal.SIGALRM


def test_a_timer_that_the_kernel_refuses_is_replaced_by_an_alarm_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(instant: float) -> str:
        raise OSError(22, f"no timer for {instant}")

    def alarm(instant: float) -> str:
        return f"alarm at {instant}"

    monkeypatch.setattr(hardening, "kill_at", refuse)
    monkeypatch.setattr(hardening, "alarm_at", alarm)
    assert hardening.end_at(5) == hardening.Measure("end by kernel timer", True, "alarm at 5")


def test_a_keyholder_dies_with_its_broker(lab: Lab) -> None:
    lab.process.kill()
    deadline = time.monotonic() + 5
    while running(lab.pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not running(lab.pid)


def test_a_process_whose_parent_has_gone_ends_itself() -> None:
    child = os.fork()
    if child == 0:
        hardening.die_with(os.getppid() + 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == hardening.ORPHAN


# -- the broker


@pytest.fixture(params=sorted({OWN, NOBODY} if OWN == 0 else {OWN}))
def broker(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab("broker", uid=request.param) as started:
        yield started


def test_a_shut_in_broker_forks_watches_and_kills_keyholders_that_shut_themselves_in(
    broker: Lab, lab: Lab
) -> None:
    taken = {name: measure.taken for name, measure in lab.measures.items()}
    for _ in range(3):
        leased = broker.do("lease")
        assert leased == {"measures": taken, "seen": True, "signal": signal.SIGKILL}


def test_a_shut_in_broker_opens_no_file(broker: Lab) -> None:
    needs(broker, "landlock")
    assert broker.do("read_file", path="/proc/self/status") == "PermissionError"


@pytest.mark.parametrize("command", ["connect", "execute"])
def test_a_broker_that_goes_to_the_network_or_starts_a_program_is_ended(broker: Lab, command: str) -> None:
    needs(broker, "seccomp")
    with pytest.raises(EOFError):
        broker.do(command)
    assert broker.ended() == -signal.SIGSYS


# -- the tables


def verdict(steps: list[tuple[int, int, int, int]], machine: int, number: int, argument: int = 0) -> int:
    """Run a filter as the kernel does."""
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        if code == 0x06:
            return operand
        if code == 0x20:
            loaded, at = {0: number, 4: machine, 24: argument}[operand], at + 1
        else:
            at += 1 + (if_true if loaded == operand else if_false)


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_a_filter_allows_what_it_names_refuses_some_and_kills_for_the_rest(machine: str, audit: int) -> None:
    steps = seccomp.program(seccomp.KEYHOLDER, seccomp.KEYHOLDER_REFUSED, machine)
    expected = {linux.number_of(name, machine): ALLOW for name in seccomp.KEYHOLDER}
    for name, error in seccomp.KEYHOLDER_REFUSED.items():
        expected[linux.number_of(name, machine)] = 0x00050000 | error
    ioctl = linux.number_of("ioctl", machine) or 0
    expected[ioctl] = 0x00050000 | errno.EACCES
    assert verdict(steps, audit, ioctl, termios.FIONBIO) == ALLOW
    for number in range(600):
        assert verdict(steps, audit, number) == expected.get(number, KILL), number
    assert verdict(steps, audit, 0x40000000) == KILL  # read of the x32 interface
    assert verdict(steps, 0x40000003, 3) == KILL  # read of 32-bit x86
    assert len(steps) < 4096


def test_a_broker_may_do_all_that_a_keyholder_may() -> None:
    refused_only_inside = set(seccomp.KEYHOLDER_REFUSED) - set(seccomp.BROKER_REFUSED)
    assert seccomp.KEYHOLDER < seccomp.BROKER
    assert refused_only_inside < seccomp.BROKER
    assert not seccomp.BROKER & set(seccomp.BROKER_REFUSED)
    assert not seccomp.KEYHOLDER & set(seccomp.KEYHOLDER_REFUSED)


def test_a_machine_without_a_table_is_refused_by_name() -> None:
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        seccomp.program(seccomp.KEYHOLDER, {}, "riscv64")


@pytest.mark.parametrize(
    ("header", "column"),
    [("x86_64-linux-gnu/asm/unistd_64.h", 0), ("asm-generic/unistd.h", 1)],
)
def test_the_numbers_are_those_of_the_kernel_headers(header: str, column: int) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    defined = {
        name.removeprefix("3264_"): int(number)
        for name, number in re.findall(r"#define __NR_?(\w+) (\d+)$", path.read_text(), re.MULTILINE)
    }
    defined.setdefault("newfstatat", defined.get("fstatat", -1))
    for name, numbers in linux.NUMBERS.items():
        assert numbers[column] in {defined.get(name), None}, name


def test_landlock_asks_for_what_the_kernels_version_knows() -> None:
    assert landlock.handled(1) == (0x1FFF,)
    assert landlock.handled(2) == (0x3FFF,)
    assert landlock.handled(3) == (0x7FFF,)
    assert landlock.handled(4) == (0x7FFF, 3)
    assert landlock.handled(5) == (0xFFFF, 3)
    assert landlock.handled(6) == landlock.handled(7) == (0xFFFF, 3, 3)


@pytest.mark.parametrize(
    ("act", "since"),
    [
        (lambda: Path("/etc/passwd").read_bytes(), 1),
        (lambda: list(Path("/").iterdir()), 1),
        (lambda: socket.create_connection(("127.0.0.1", 9)), 4),
        (lambda: os.kill(os.getppid(), 0), 6),
    ],
    ids=["file", "directory", "connection", "signal to the parent"],
)
def test_landlock_alone_refuses_this(act: Callable[[], Any], since: int) -> None:
    child = os.fork()
    if child == 0:
        status = 3
        try:
            hardening.no_new_privileges()
            landlock.restrict()
            status = 2 if landlock.version() < since else 1
            act()
        except PermissionError:
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in {2, 3}:
        pytest.skip(f"landlock is older than version {since} or switched off")
    assert status == 0


def test_memory_that_is_freed_is_overwritten_unless_it_is_small() -> None:
    child = os.fork()
    if child == 0:
        secretheap.prepare()
        room = linux.libc.malloc(2048)
        ctypes.memset(room, 0x41, 2048)
        linux.libc.free(room)
        os._exit(0 if b"A" * 16 not in ctypes.string_at(room, 2048) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
