"""Whoever watches sees the state as it is: soon, whole, and not after they may no longer look."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from custodian import viewers
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


async def test_one_person_has_so_many_streams_and_the_oldest_makes_room(desk: Desk) -> None:
    streams = [desk.viewers.join("alice", b"") for _ in range(viewers.PER_PERSON + 1)]
    assert await read(streams[0]) is None
    assert {await read(each) for each in streams[1:]} == {b"state 0"}
    assert len(desk.viewers) == viewers.PER_PERSON


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
