"""Where passwords are worked on: a process forked for one job, which then exits.

    daemon ──socket──> openers' parent ──fork──> opener: Argon2id, open the slot, re-seal the share

The daemon hands the parent one end of a socket pair; the parent forks, and the child reads one job from
it, answers and exits. So neither an unlocking key nor a share is ever in a process that stays. (The
password itself passes through the daemon: that is what the password path means, and docs/threat-model.md
says so. A device key avoids it.)

Jobs and answers are JSON: {"work": "prove" | "enrol" | "extend" | "lend", …}.
"""

import array
import contextlib
import json
import os
import secrets
import signal
import socket
from typing import Any

from custodian.encoding import decode_base64, encode_base64, parse_instant
from custodian.envelope import parse_envelope
from custodian.errors import CannotOpen, CustodianError
from custodian.hardening import shut_in_daemon, shut_in_opener
from custodian.lending import seal_share
from custodian.sealing import PrivateKey, parse_public_key
from custodian.slots import (
    SALT_SIZE,
    Kdf,
    derive,
    kdf_parameters,
    login_verifier,
    make_slot,
    parse_kdf,
    parse_slot,
)
from custodian.terms import parse_terms

MAX_JOB = 4 * 1024 * 1024
PASSWORD_SLOT = "password"  # noqa: S105 - the slot's id


def prove(job: dict[str, Any]) -> dict[str, Any]:
    """Return what the password proves: SHA-256 of its login secret."""
    derived = derive(job["password"], parse_kdf(job["kdf"]))
    return {"verifier": encode_base64(login_verifier(derived))}


def enrol(job: dict[str, Any]) -> dict[str, Any]:
    """Return the verifier of a new password and, for an owner, a slot with a new owner key."""
    kdf = parse_kdf(job["kdf"])
    derived = derive(job["password"], kdf)
    answer: dict[str, Any] = {"verifier": encode_base64(login_verifier(derived))}
    if job["owner"]:
        owner_key = PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32))
        place = (job["owner"], PASSWORD_SLOT, "password")
        slot = make_slot(owner_key, place, derived.unlock.public, **kdf_parameters(kdf))
        answer["slot"] = encode_base64(bytes(slot))
    return answer


def extend(job: dict[str, Any]) -> dict[str, Any]:
    """Open the owner's key and return a slot that holds it too: `place` is its id and kind."""
    slot = parse_slot(decode_base64(job["slot"], "slot"))
    owner_key = slot.open(derive(job["password"], parse_kdf(slot.parameters)).unlock)
    slot_id, kind = job["place"]
    public = parse_public_key(job["public"], "public")
    made = make_slot(owner_key, (slot.owner, slot_id, kind), public, **job["parameters"])
    return {"slot": encode_base64(bytes(made))}


def lend(job: dict[str, Any]) -> dict[str, Any]:
    """Open the owner's share and return it sealed to each recipient of the terms, bound to them."""
    slot = parse_slot(decode_base64(job["slot"], "slot"))
    envelope = parse_envelope(decode_base64(job["envelope"], "envelope"))
    terms = parse_terms(decode_base64(job["terms"], "terms"))
    derived = derive(job["password"], parse_kdf(slot.parameters))
    return {"sealed": seal_share(envelope, terms, slot.open(derived.unlock))}


WORK = {"prove": prove, "enrol": enrol, "extend": extend, "lend": lend}


def serve_one(connection: socket.socket) -> None:
    """Read one job, answer it. Whatever goes wrong is told without a word of what was read."""
    reader = connection.makefile("rb")
    try:
        job = json.loads(reader.read(MAX_JOB))
        answer = WORK[job["work"]](job)
    except CannotOpen as error:
        answer = {"cannot_open": error.detail, "owners": list(error.owners)}
    except CustodianError as error:
        answer = {"error": error.detail}
    except Exception as error:
        answer = {"failed": type(error).__name__}
    connection.sendall(json.dumps(answer).encode())


def rehearse() -> None:
    """Do once what openers do, so that whatever is loaded at first use is there before they shut in."""
    parameters = kdf_parameters(Kdf(bytes(SALT_SIZE), memory_kib=8_192, passes=1, lanes=1))
    answer = enrol({"password": "rehearsal", "kdf": parameters, "owner": "rehearsal"})
    slot = parse_slot(decode_base64(answer["slot"], "slot"))
    slot.open(derive("rehearsal", parse_kdf(slot.parameters)).unlock)
    parse_instant("2026-11-23T12:00:00Z", "rehearsal")


def main() -> None:
    """Fork an opener for each socket that arrives on standard input, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    shut_in_daemon()
    rehearse()
    with socket.socket(fileno=_take_standard_input()) as control:
        while fds := _receive_descriptors(control):
            for fd in fds:
                _fork_opener(fd, control)


def _take_standard_input() -> int:
    """Return the control socket, moved to where an opener can close it: others' jobs come that way."""
    control = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    return control


def _receive_descriptors(control: socket.socket) -> list[int]:
    fds = array.array("i")
    data, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(4 * fds.itemsize))
    for level, kind, raw in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return list(fds) if data else []


def _fork_opener(fd: int, control: socket.socket) -> None:
    parent = os.getpid()
    if os.fork():
        os.close(fd)
        return
    with contextlib.suppress(BaseException):
        connection = socket.socket(fileno=fd)
        control.close()
        shut_in_opener(parent)
        serve_one(connection)
    os._exit(0)


if __name__ == "__main__":
    main()
