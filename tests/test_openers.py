"""Openers: processes that work on one password and are gone, and the one that forks them."""

import asyncio
import hashlib
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import KDF, Bench
from examples import private_key, sealed_key, terms
from memory_scan import scan_tree, secret_needles
from running import ADMIN, World, make_daemon, password_of, wait_until

from custodian import accounts, hardening
from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import Envelope, parse_envelope
from custodian.errors import BadInput, CannotOpen, TooMany, Unauthenticated, Unavailable
from custodian.events import Actor
from custodian.openers import Openers
from custodian.sealing import PublicKey
from custodian.service import Caller, Custody
from custodian.shares import is_dealt
from custodian.slots import Slot, derive, kdf_parameters, login_verifier, make_slot, parse_kdf, parse_slot

PASSWORD = "correct horse battery staple"


@pytest.fixture
async def openers() -> AsyncIterator[Openers]:
    started = Openers()
    yield started
    started.close()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def alices_slot() -> Slot:
    unlock = derive(PASSWORD, KDF).unlock
    place = ("alice", "password", "password")
    return make_slot(private_key("alice"), place, unlock.public, **kdf_parameters(KDF))


# -- the jobs


async def test_a_password_is_proven_as_it_is_derived(openers: Openers) -> None:
    assert await openers.prove(PASSWORD, KDF) == login_verifier(derive(PASSWORD, KDF))
    assert await openers.prove(f"{PASSWORD} ", KDF) != await openers.prove(PASSWORD, KDF)


@pytest.mark.parametrize(
    "costs", [{}, {"lanes": 4, "passes": 3, "memory_kib": 65_536}, {"memory_kib": 262_144}]
)
async def test_the_costs_of_a_slot_are_paid_in_full_inside_the_walls(
    openers: Openers, costs: dict[str, int]
) -> None:
    kdf = replace(KDF, **costs)
    assert await openers.prove(PASSWORD, kdf) == login_verifier(derive(PASSWORD, kdf))


async def test_an_owner_gets_a_slot_that_their_password_opens(openers: Openers) -> None:
    verifier, slot = await openers.enrol(PASSWORD, KDF, "alice")
    assert slot is not None
    derived = derive(PASSWORD, KDF)
    assert login_verifier(derived) == verifier
    assert slot.open(derived.unlock).public == slot.owner_public
    _, another = await openers.enrol(PASSWORD, KDF, "alice")
    assert another is not None
    assert another.owner_public != slot.owner_public


async def test_others_than_owners_get_no_slot(openers: Openers) -> None:
    assert (await openers.enrol(PASSWORD, KDF, ""))[1] is None


async def test_a_share_is_lent_to_the_recipient_under_the_terms_and_no_other(openers: Openers) -> None:
    envelope, lent = sealed_key(), terms()
    sealed = await openers.lend(PASSWORD, alices_slot(), envelope, lent)
    recipient = private_key("recipient")
    assert list(sealed) == [str(recipient.public)]
    box = decode_base64(sealed[str(recipient.public)], "sealed")
    share = recipient.open(box, lent.share_info)
    assert is_dealt(envelope.facts.id, "alice", share, envelope.commitments["alice"])
    with pytest.raises(CannotOpen):
        recipient.open(box, terms(uses=lent.uses + 1).share_info)


async def test_a_wrong_password_opens_no_slot(openers: Openers) -> None:
    with pytest.raises(CannotOpen, match="does not open"):
        await openers.lend("not the password", alices_slot(), sealed_key(), terms())


async def test_a_share_that_is_not_the_one_dealt_names_its_owner(openers: Openers) -> None:
    with pytest.raises(CannotOpen, match="the share of alice is not the one that was dealt") as refused:
        await openers.lend(PASSWORD, alices_slot(), with_share_of_alice(sealed_key(), bytes(48)), terms())
    assert refused.value.owners == ("alice",)


def with_share_of_alice(envelope: Envelope, share: bytes) -> Envelope:
    """Return the envelope with another share sealed to alice, in its canonical form."""
    holding = envelope.holdings["alice"]
    public: PublicKey = holding.public
    old = encoded(holding.sealed)
    new = encoded(public.seal(share, envelope.facts.share_info("alice")))
    return parse_envelope(bytes(envelope).replace(old, new))


def encoded(data: bytes) -> bytes:
    return encode_base64(data).encode()


# -- what goes wrong


async def test_what_was_sent_is_in_no_error(openers: Openers) -> None:
    for job in (
        {"work": "unheard-of", "password": PASSWORD},
        {"work": "prove", "password": PASSWORD, "kdf": {}},
    ):
        with pytest.raises(Unavailable) as refused:
            await openers._work(openers._lane, **job)
        assert PASSWORD not in refused.value.detail
    slot = kdf_parameters(replace(KDF, memory_kib=4))
    with pytest.raises(BadInput, match="must be from 8192"):
        await openers._work(openers._lane, work="prove", password=PASSWORD, kdf=slot)


async def test_the_parent_is_started_again_when_it_is_gone(openers: Openers) -> None:
    await openers.prove(PASSWORD, KDF)
    old = openers.pid
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: openers._process.poll() is not None)
    assert await openers.prove(PASSWORD, KDF) == login_verifier(derive(PASSWORD, KDF))
    assert openers.pid != old


# -- how long they live


async def test_an_opener_is_gone_after_its_job(openers: Openers) -> None:
    await asyncio.gather(*(openers.prove(PASSWORD, KDF) for _ in range(5)))
    wait_until(lambda: children(openers.pid) == [])


async def test_openers_end_when_the_daemon_closes_them(openers: Openers) -> None:
    await openers.prove(PASSWORD, KDF)
    openers.close()
    assert openers._process.returncode == 0


def test_openers_end_when_the_daemon_is_killed(tmp_path: Path) -> None:
    daemon = make_daemon(tmp_path / "state").start()
    parent = int(children(daemon.pid)[0])
    daemon.stop(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{parent}/cmdline").exists() or state(parent) == "Z")


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


# -- how they are shut in


def inside(act: Callable[[], Any]) -> str:
    """Return what `act` leads to in a process shut in as an opener is: a text, an error or a signal."""
    reading, writing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if not child:
        hardening.shut_in_opener(parent)
        try:
            told = str(act())
        except Exception as error:
            told = type(error).__name__
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        told = said.read()
    status = os.waitpid(child, 0)[1]
    return told or f"killed by {os.WTERMSIG(status)}"


@pytest.mark.parametrize(
    ("what", "act", "outcome"),
    [
        ("compute", lambda: login_verifier(derive(PASSWORD, KDF)) == bytes(32), "False"),
        ("draw random bytes", lambda: len(os.urandom(32)), "32"),
        ("read a file", lambda: Path("/etc/passwd").read_text(), "PermissionError"),
        ("write a file", lambda: Path("x").write_text(""), "PermissionError"),
        ("connect", lambda: socket.socket(socket.AF_INET), "killed by 31"),
        ("run a program", lambda: os.execv("/bin/true", ["true"]), "killed by 31"),  # noqa: S606
        ("signal another", lambda: os.kill(os.getppid(), 0), "killed by 31"),
    ],
)
def test_an_opener_can_compute_and_nothing_else(what: str, act: Callable[[], Any], outcome: str) -> None:
    measures = inside(lambda: "open")
    if measures != "open":
        pytest.skip(f"nothing runs inside on this kernel: {measures}")
    assert inside(act) == outcome, what


def test_every_measure_that_shuts_an_opener_in_is_told() -> None:
    names = inside(lambda: [each.name for each in hardening.shut_in_opener(os.getppid())])
    assert names.startswith("['dies with its parent', 'no core dump', 'not dumpable'") or "killed" in names


# -- what stays


def test_neither_unlocking_key_nor_owner_key_nor_share_stays_in_any_process(running_world: World) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may read the memory of a daemon that is not dumpable")
    world = running_world
    for _ in range(3):
        world.lend("alice", "bob")
    with closing(sqlite3.connect(world.daemon.directory / "custodian.db")) as database:
        (body,) = database.execute("SELECT body FROM slot WHERE owner = 'alice'").fetchone()
        (envelope,) = database.execute("SELECT envelope FROM key").fetchone()
    slot, sealed = parse_slot(body), parse_envelope(envelope)
    derived = derive(password_of("alice"), parse_kdf(slot.parameters))
    owner_key = slot.open(derived.unlock)
    share = owner_key.open(sealed.holdings["alice"].sealed, sealed.facts.share_info("alice"))
    secrets = {"unlocking key": derived.unlock.raw, "owner key": owner_key.raw, "share": share}
    needles = [needle for name, secret in secrets.items() for needle in secret_needles(name, secret)]
    for scan in scan_tree(world.daemon.pid, needles):
        assert scan.hits == (), scan.pid
    seen = secret_needles("verifier", hashlib.sha256(derived.login).digest())
    assert any(scan.hits for scan in scan_tree(world.daemon.pid, seen)), "the scan sees what is there"


# -- equal work for unknown users


class Recorder:
    """Openers that only remember what work they were given; the common lane may be blocked."""

    def __init__(self) -> None:
        self.work: list[tuple[int, int, int]] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    async def prove(self, password: str, kdf: Any, *, own_lane: bool = False) -> bytes:
        self.work.append((kdf.memory_kib, kdf.passes, kdf.lanes))
        if not own_lane:
            await self.unblocked.wait()
        return hashlib.sha256(password.encode() + kdf.salt).digest()

    def close(self) -> None:
        pass


@pytest.fixture
def custody(bench: Bench) -> Custody:
    openers: Any = Recorder()
    made = Custody(bench.store, openers, KDF, "vkey")
    made.openers.close()
    return made


async def test_an_unknown_name_costs_the_same_work_as_a_wrong_password(
    bench: Bench, custody: Custody
) -> None:
    recorder: Any = custody.openers
    refusals = []
    for name in ("alice", "nobody-at-all", "x" * 64, ""):
        with pytest.raises(Unauthenticated) as refused:
            await custody.login(name, "a guess", "192.0.2.1")
        refusals.append(refused.value.detail)
    assert recorder.work == [(8_192, 1, 1)] * 4
    assert len(set(refusals)) == 1


async def test_the_salt_of_an_unknown_name_is_its_own_and_stays_the_same(custody: Custody) -> None:
    salts = [custody._unknown(name).salt for name in ("zoe", "yves", "zoe")]
    assert salts[0] == salts[2] != salts[1]


async def test_a_disabled_account_looks_like_a_wrong_password_though_the_password_is_right(
    bench: Bench, custody: Custody
) -> None:
    verifier = await Recorder().prove("right", KDF)
    with bench.store.transaction() as tx:
        tx.write("UPDATE account SET verifier = ?", verifier)
    assert (await custody.login("bob", "right", "192.0.2.1")).name == "bob"
    bench.do(accounts.disable, "bob", Actor(role="admin", name=ADMIN))
    with pytest.raises(Unauthenticated, match="the name or the password is not right"):
        await custody.login("bob", "right", "192.0.2.1")


# -- a crowd of strangers


async def test_a_crowd_from_one_address_is_sent_away_at_once_and_its_owners_still_revoke(
    bench: Bench, custody: Custody
) -> None:
    recorder: Any = custody.openers
    with bench.store.transaction() as tx:
        tx.write("UPDATE account SET verifier = ?", await Recorder().prove("right", KDF))
    delegation = bench.lend("alice")
    recorder.unblocked.clear()
    crowd = [
        asyncio.create_task(custody.login(f"made-up-{n}", "a guess", "192.0.2.1", revoking="d-made-up"))
        for n in range(50)
    ]
    done, waiting = await asyncio.wait(crowd, timeout=1)
    assert (len(done), len(waiting)) == (47, 3)
    assert {type(each.exception()) for each in done} == {TooMany}
    assert all(getattr(each.exception(), "members", {}) == {"retry_after": 1} for each in done)
    revoking = custody.login("alice", "right", "192.0.2.1", revoking=delegation)
    assert (await asyncio.wait_for(revoking, 5)).name == "alice"
    for name, what in (("bob", delegation), ("alice", "d-made-up")):
        with pytest.raises(TooMany):
            await custody.login(name, "right", "192.0.2.1", revoking=what)
    recorder.unblocked.set()
    await asyncio.wait(waiting)


async def test_who_revokes_waits_for_no_other_work_of_the_openers(openers: Openers) -> None:
    async with openers._lane, openers._lane:
        verifier = await asyncio.wait_for(openers.prove(PASSWORD, KDF, own_lane=True), 10)
    assert verifier == login_verifier(derive(PASSWORD, KDF))


def test_a_callers_password_is_not_in_its_repr() -> None:
    assert PASSWORD not in repr(Caller("owner", "alice", password=PASSWORD))
