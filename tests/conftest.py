"""Fixtures that several test files share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bench import Bench, FakeClock, make_bench, open_store
from inbox import Certificate, MailInbox, WebInbox, certificate, mail_inbox, web_inbox
from running import World, make_world
from terminals import KeyTerminal

from custodian.store import Store, create_database


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running custodian with everybody enrolled, for the tests of one file."""
    directory: Path = tmp_path_factory.mktemp("custodian") / "state"
    world = make_world(directory)
    yield world
    if world.daemon.process is not None:
        world.daemon.stop()


@pytest.fixture
def world(running_world: World) -> World:
    """The running custodian, with nothing lent."""
    running_world.revoke_all()
    return running_world


@pytest.fixture
def terminal(world: World, tmp_path: Path) -> Iterator[KeyTerminal]:
    """A terminal where alice has a device key, alice.key, which is removed at the end."""
    made = KeyTerminal(world.daemon, tmp_path)
    made.say("slot", "add", "--device", "laptop", "-o", "alice.key", *made.with_password("alice"))
    yield made
    for each in world.person("alice", "GET", "/me").ok()["credentials"]:
        world.person("alice", "POST", f"/me/slots/{each['id']}/remove", {}).ok()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    """A store with everybody enrolled and a key, in this process, under a clock that stands still."""
    made = make_bench(tmp_path / "custodian.db", clock)
    yield made
    made.store.close()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """An empty database, open."""
    create_database(tmp_path / "custodian.db")
    opened = open_store(tmp_path / "custodian.db", clock)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """A certificate for localhost, which this process and those it starts trust."""
    made = certificate(tmp_path_factory.mktemp("receiver"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(made.path))
        yield made


@pytest.fixture
async def web() -> AsyncIterator[WebInbox]:
    async with web_inbox() as inbox:
        yield inbox


@pytest.fixture
async def smtp(trusted: Certificate) -> AsyncIterator[MailInbox]:
    async with mail_inbox(trusted) as inbox:
        yield inbox
