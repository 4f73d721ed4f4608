"""Whoever watches sees the state as it is: soon, whole, and not after they may no longer look."""

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from authenticators import device, device_credential, device_slot
from bench import ADMIN as BY_ADMIN
from bench import Bench, FakeClock
from examples import private_key
from running import ADMIN, World, basic, wait_until

from custodian import accounts, connections, ownerslots, sessions, snapshot, viewers
from custodian.errors import TooMany
from custodian.viewers import PING, Viewer, Viewers


@dataclass
class Seen:
    """A look as `snapshot.take` gives it."""

    state: object
    lasts: float = 100.0
    shut_out: set[str] = field(default_factory=set)

    @property
    def event(self) -> bytes:
        return f"state {self.state}".encode()

    def may(self, name: str, session: bytes) -> bool:
        return name not in self.shut_out and session != b"over"


@dataclass
class Desk:
    """What there is to be seen, and how often somebody looked."""

    now: Seen = field(default_factory=lambda: Seen(0))
    looks: int = 0
    fails: bool = False
    viewers: Any = None

    async def look(self) -> Seen:
        self.looks += 1
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("the disk is gone")
        return self.now

    def set(self, state: object) -> None:
        self.now = Seen(state)
        self.viewers.changed()


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(viewers, "PAUSE", 0.05)
    made = Desk()
    made.viewers = Viewers(made.look)
    yield made
    await made.viewers.close()


async def read(viewer: Viewer, within: float = 1.0) -> bytes | None:
    return await asyncio.wait_for(viewer.next(), within)


async def reads_nothing(viewer: Viewer, within: float = 0.15) -> bool:
    try:
        await read(viewer, within)
    except TimeoutError:
        return True
    return False


async def test_a_viewer_is_sent_the_state_and_then_each_change(desk: Desk) -> None:
    viewer = desk.viewers.join("alice", b"")
    assert await read(viewer) == b"state 0"
    desk.set(1)
    assert await read(viewer) == b"state 1"


async def test_one_look_serves_all_viewers(desk: Desk) -> None:
    everybody = [desk.viewers.join(f"viewer-{number}", b"") for number in range(100)]
    assert {await read(each) for each in everybody} == {b"state 0"}
    assert desk.looks == 1
    desk.set(1)
    assert {await read(each) for each in everybody} == {b"state 1"}
    assert desk.looks == 2


async def test_the_first_change_is_told_at_once_and_those_close_upon_it_together(desk: Desk) -> None:
    viewer = desk.viewers.join("alice", b"")
    await read(viewer)
    await asyncio.sleep(0.1)
    loop = asyncio.get_running_loop()
    start = loop.time()
    desk.set(1)
    assert await read(viewer) == b"state 1"
    assert loop.time() - start < 0.04
    for state in range(2, 20):
        desk.set(state)
        await asyncio.sleep(0)
    assert await read(viewer) == b"state 19"
    assert desk.looks == 3


async def test_nobody_looks_while_nobody_watches(desk: Desk) -> None:
    viewer = desk.viewers.join("alice", b"")
    await read(viewer)
    desk.viewers.leave(viewer)
    await asyncio.sleep(0.1)
    before = desk.looks
    for state in range(5):
        desk.set(state)
        await asyncio.sleep(0.02)
    assert desk.looks == before


async def test_what_changed_while_nobody_watched_is_seen_by_the_next(desk: Desk) -> None:
    desk.viewers.leave(desk.viewers.join("alice", b""))
    await asyncio.sleep(0.1)
    desk.set("new")
    assert await read(desk.viewers.join("alice", b"")) == b"state new"


async def test_a_commit_that_changes_nothing_visible_is_not_told(desk: Desk) -> None:
    viewer = desk.viewers.join("alice", b"")
    await read(viewer)
    desk.viewers.changed()
    assert await reads_nothing(viewer)
    assert desk.looks == 2


async def test_a_newcomer_disturbs_nobody(desk: Desk) -> None:
    first = desk.viewers.join("alice", b"")
    await read(first)
    second = desk.viewers.join("bob", b"")
    assert await read(second) == b"state 0"
    assert await reads_nothing(first)


async def test_what_time_alone_changes_is_told_when_it_is_due(desk: Desk) -> None:
    desk.now = Seen("live", lasts=0.2)
    viewer = desk.viewers.join("alice", b"")
    assert await read(viewer) == b"state live"
    desk.now = Seen("ended")
    assert await read(viewer, 0.5) == b"state ended"


async def test_a_slow_reader_gets_the_newest_and_holds_no_more_than_one(desk: Desk) -> None:
    slow, quick = desk.viewers.join("slow", b""), desk.viewers.join("quick", b"")
    for state in range(1, 4):
        desk.set(state)
        while await read(quick) != f"state {state}".encode():
            pass
    assert await read(slow) == b"state 3"
    assert await reads_nothing(slow)


async def test_who_hears_nothing_hears_a_ping(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "PING_SECONDS", 0.1)
    viewer = desk.viewers.join("alice", b"")
    assert await read(viewer) == b"state 0"
    for _ in range(3):
        assert await read(viewer, 0.4) == PING


async def test_a_ping_takes_no_states_place(desk: Desk) -> None:
    viewer = Viewer("alice", b"")
    viewer.offer(b"state")
    viewer.ping()
    assert await read(viewer) == b"state"


async def test_who_is_shut_out_sees_nothing_more_and_others_do(desk: Desk) -> None:
    mallory, alice = desk.viewers.join("mallory", b""), desk.viewers.join("alice", b"")
    await read(mallory)
    await read(alice)
    desk.now = Seen("secret", shut_out={"mallory"})
    desk.viewers.changed()
    assert await read(mallory) is None
    assert await read(alice) == b"state secret"
    assert len(desk.viewers) == 1


async def test_one_person_has_so_many_streams_and_the_oldest_makes_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewers, "PER_PERSON", 3)
    streams = [desk.viewers.join("alice", b"") for _ in range(viewers.PER_PERSON + 1)]
    assert await read(streams[0]) is None
    assert {await read(each) for each in streams[1:]} == {b"state 0"}
    assert len(desk.viewers) == viewers.PER_PERSON


async def test_one_person_leaves_only_so_much_unread(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One session, with hundreds of streams that read nothing, took all memory there was."""
    monkeypatch.setattr(viewers, "UNREAD", 6 * len(b"state 0"))
    streams = [desk.viewers.join("alice", b"") for _ in range(8)]
    bob = desk.viewers.join("bob", b"")
    assert [await read(each) for each in streams] == [None] * 2 + [b"state 0"] * 6
    assert await read(bob) == b"state 0"
    desk.set("larger than all that one may leave unread")
    told = [await read(each) for each in streams[2:]]
    assert told == [None] * (6 - viewers.SCREENS) + [desk.now.event] * viewers.SCREENS


async def test_what_nobody_reads_is_not_waited_for_once_the_stream_has_ended() -> None:
    viewer, stuck = Viewer("alice", b""), asyncio.Event()

    async def write() -> None:
        async with asyncio.timeout(60) as viewer.patience:
            viewer.end()
            await stuck.wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(write(), 5)
    viewer.end()
    assert viewer.patience is not None
    assert viewer.patience.expired()


async def test_there_are_only_so_many_viewers_in_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "MOST", 2)
    desk.viewers.join("alice", b"")
    last = desk.viewers.join("bob", b"")
    with pytest.raises(TooMany):
        desk.viewers.join("carol", b"")
    desk.viewers.leave(last)
    desk.viewers.join("carol", b"")


async def test_nobody_is_left_with_a_stale_view_when_looking_fails(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = desk.viewers.join("alice", b"")
    await read(viewer)
    desk.fails = True
    desk.viewers.changed()
    assert await read(viewer) is None
    assert "the live view cannot be read" in caplog.text
    desk.fails = False
    assert await read(desk.viewers.join("alice", b"")) == b"state 0"


async def test_every_stream_ends_when_the_daemon_stops(desk: Desk) -> None:
    everybody = [desk.viewers.join(name, b"") for name in ("alice", "bob")]
    await desk.viewers.close()
    assert [await read(each) for each in everybody] == [None, None]


# -- what there is to be seen


def shown(bench: Bench) -> dict[str, Any]:
    event = bench.look(snapshot.take).event
    head, _, data = event.partition(b"\ndata: ")
    assert head == b"id: %d\nevent: state" % bench.size
    assert event.endswith(b"\n\n")
    return dict(json.loads(data))


def test_a_snapshot_shows_how_far_keys_are_and_what_is_lent_but_no_terms(bench: Bench) -> None:
    bench.lend("alice")
    state = shown(bench)
    assert [(each["key"], each["open"], each["needed"]) for each in state["keys"]] == [("ca", False, 1)]
    (lent,) = state["delegations"]
    assert (lent["owner"], lent["state"], lent["left"]) == ("alice", "live", 10)
    assert "terms" not in lent
    assert (state["size"], state["time"]) == (bench.size, "2026-11-23T12:00:00Z")


def test_what_was_revoked_is_still_shown_and_what_ended_for_an_hour(bench: Bench, clock: FakeClock) -> None:
    revoked, _ = bench.lend("alice"), bench.lend("bob")
    bench.revoke("alice", revoked)
    assert [each["state"] for each in shown(bench)["delegations"]] == ["live", "revoked"]
    clock.advance(hours=1, minutes=59)
    assert [each["state"] for each in shown(bench)["delegations"]] == ["ended", "revoked"]
    clock.advance(minutes=1)
    assert shown(bench)["delegations"] == []


def test_a_snapshot_lasts_until_something_begins_or_ends(bench: Bench, clock: FakeClock) -> None:
    assert bench.look(snapshot.take).lasts == snapshot.FOR_EVER
    bench.lend("alice")
    bench.lend("bob")
    bench.lend("carol", start=clock.now + timedelta(minutes=20))
    assert bench.look(snapshot.take).lasts == 20 * 60
    bench.lease()
    assert bench.look(snapshot.take).lasts == 5 * 60
    clock.advance(minutes=30)
    assert bench.look(snapshot.take).lasts == 30 * 60


def test_the_same_state_is_the_same_at_another_time(bench: Bench, clock: FakeClock) -> None:
    bench.lend("alice")
    before = bench.look(snapshot.take)
    clock.advance(minutes=1)
    after = bench.look(snapshot.take)
    assert (before.state, before.time < after.time) == (after.state, True)


def test_a_session_that_is_over_and_an_account_that_is_shut_out_may_look_no_more(
    bench: Bench, clock: FakeClock
) -> None:
    _, ended = bench.do(sessions.start, "alice")
    bench.do(sessions.end, ended.id)
    clock.advance(hours=1)
    _, old = bench.do(sessions.start, "alice")
    clock.advance(hours=7)
    _, live = bench.do(sessions.start, "alice")
    clock.advance(hours=1)
    bench.do(accounts.disable, "bob", BY_ADMIN)
    seen = bench.look(snapshot.take)
    assert [seen.may("alice", each.id) for each in (ended, old, live)] == [False, False, True]
    assert [seen.may(name, verifier(bench, name)) for name in ("alice", "bob")] == [True, False]


def verifier(bench: Bench, name: str) -> bytes:
    account = bench.look(accounts.find_account, name)
    assert account
    return account.verifier


def test_who_watches_by_a_password_that_is_removed_may_look_no_more(bench: Bench) -> None:
    """Whoever had opened a stream with a password that leaked went on watching, for ever."""
    leaked = verifier(bench, "alice")
    assert bench.look(snapshot.take).may("alice", leaked)
    key = device()
    bench.do(ownerslots.add, "alice", device_slot(key, private_key("alice")), device_credential(key))
    bench.do(ownerslots.remove, "alice", "password")
    assert not bench.look(snapshot.take).may("alice", leaked)


# -- the daemon


class Watching:
    """A stream of /live, read event by event."""

    def __init__(self, world: World, name: str, authorization: str = "") -> None:
        self.connection = world.daemon.connect(timeout=15)
        headers = {"Authorization": authorization or basic(name)}
        self.connection.request("GET", "/api/v1/live", headers=headers)
        self.response: http.client.HTTPResponse = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"] == "text/event-stream"

    def next(self) -> Any:
        """Return the next state; None at the end."""
        while line := self.response.readline():
            if line.startswith(b'data: {"'):
                return json.loads(line.removeprefix(b"data: "))
        return None

    def sees(self, **counts: int) -> bool:
        """Say whether the next state has so many delegations in each state."""
        found = [each["state"] for each in self.next()["delegations"]]
        return all(found.count(state) == count for state, count in counts.items())

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def session(world: World, name: str) -> str:
    token = world.person(
        name, "POST", "/sessions", {"name": name, "password": f"correct horse battery {name}"}
    )
    return f"Bearer {token.ok()['token']}"


def watching(world: World) -> int:
    metrics = world.daemon.call("GET", "/metrics", root="").body.decode()
    return int(float(metrics.partition("\ncustodian_viewers ")[2].splitlines()[0]))


def test_everybody_sees_a_revocation_at_once(world: World) -> None:
    streams = [Watching(world, name) for name in ("alice", "auditor", ADMIN)]
    before = [each.next()["size"] for each in streams]
    assert len(set(before)) == 1
    (delegation,) = world.lend("alice")
    assert all(each.sees(live=1) for each in streams)
    start = time.monotonic()
    world.person("alice", "DELETE", f"/delegations/{delegation}").ok()
    assert all(each.sees(live=0) for each in streams)
    assert time.monotonic() - start < 2
    for each in streams:
        each.close()


def test_a_lease_and_its_close_are_seen(world: World) -> None:
    world.lend("alice", "bob")
    stream = Watching(world, "auditor")
    assert stream.next()["keys"][0]["leases"] == 0
    lease = world.signer.ask(uses=3).ok()["id"]
    leased = stream.next()
    assert leased["keys"][0]["leases"] == 1
    assert {each["left"] for each in leased["delegations"] if each["state"] == "live"} == {7}
    world.signer.call("POST", f"/leases/{lease}/close", {"used": 0}).ok()
    assert stream.next()["keys"][0]["leases"] == 0
    stream.close()


def test_the_stream_of_an_account_that_is_disabled_ends(world: World) -> None:
    world.enrol("auditor", "mallory")
    stream = Watching(world, "mallory")
    stream.next()
    world.person(ADMIN, "DELETE", "/accounts/mallory").ok()
    assert stream.next() is None


def test_viewers_that_go_are_forgotten(world: World) -> None:
    streams = [Watching(world, "auditor") for _ in range(3)]
    for each in streams:
        each.next()
    assert watching(world) >= 3
    for each in streams:
        each.close()
    world.lend("alice")  # something to send, which finds that nobody is there; else the ping would
    wait_until(lambda: watching(world) == 0)


def test_streams_leave_room_for_whoever_calls_from_the_same_address(world: World) -> None:
    """More streams than an address may hold connections, of somebody who has proven who they are."""
    token = session(world, "auditor")
    streams = [Watching(world, "auditor", token) for _ in range(connections.PER_ADDRESS + 16)]
    assert world.person("alice", "GET", "/status").status == 200
    (delegation,) = world.lend("alice")
    world.person("alice", "DELETE", f"/delegations/{delegation}").ok()
    for each in streams:
        while not each.sees(live=0):
            pass
        each.close()


def test_a_daemon_with_viewers_stops_at_once(world: World) -> None:
    streams = [Watching(world, "auditor") for _ in range(3)]
    for each in streams:
        each.next()
    start = time.monotonic()
    assert world.daemon.stop() == 0
    assert time.monotonic() - start < 3
    assert [each.next() for each in streams] == [None] * 3
    world.daemon.start()
