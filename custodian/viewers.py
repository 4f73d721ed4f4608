"""Everybody who watches: one snapshot for all of them, sent when something changed.

A snapshot is whole, so a viewer needs the newest only: whoever reads slowly skips some, and one that comes
again has lost nothing. It is taken once for all, the first change at once and those that follow close upon
it together; with nobody watching none is taken. What changes by time alone (an end, a start) is a change.

A viewer whose session has ended, or whose password was removed or account shut out since, gets nothing more.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from custodian.errors import TooMany
from custodian.metrics import VIEWERS

PING_SECONDS = 10.0
PAUSE = 0.05  # seconds from one snapshot to the next, at least
SHARE = 4  # and so many times as long as it took: changes without end leave time for everything else
MOST = 2_048  # viewers in all; each is a connection that no newer one can push out
PER_PERSON = 512  # a wall of screens may be one auditor; the one that came first makes room
UNREAD = 32 * 1024 * 1024  # bytes that one person may leave unread, in all their streams
SCREENS = 4  # that one person may have, however large the state is
PING = b"event: ping\ndata: {}\n\n"
log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Viewer:
    """One stream of `name`; `proof` is what opened it: the id of a session, or a password's verifier."""

    name: str
    proof: bytes
    seen: int = 0  # the version of the snapshot it was sent
    ended: bool = False
    patience: asyncio.Timeout | None = None  # with what is being written
    _newest: bytes = b""
    _ready: asyncio.Event | None = None

    def offer(self, event: bytes) -> None:
        """Have it sent next, in place of one that was not sent yet."""
        self._newest = event
        self._signal.set()

    def ping(self) -> None:
        if not self._newest:
            self.offer(PING)

    def end(self) -> None:
        """Have it end: at once, for what nobody reads is not waited for."""
        self.ended = True
        self._signal.set()
        if self.patience and not self.patience.expired():
            self.patience.reschedule(0)

    async def next(self) -> bytes | None:
        """Wait for an event and return it; None: the stream is over."""
        await self._signal.wait()
        self._signal.clear()
        event, self._newest = self._newest, b""
        return None if self.ended else event

    @property
    def _signal(self) -> asyncio.Event:
        self._ready = self._ready or asyncio.Event()
        return self._ready


class Look(Protocol):
    """One look at the database: what is to be seen, and who may not see it."""

    @property
    def state(self) -> object:
        """What is compared to tell whether anything changed."""

    @property
    def event(self) -> bytes: ...

    @property
    def lasts(self) -> float:
        """Seconds until time alone changes the state."""

    def may(self, name: str, proof: bytes) -> bool: ...


class Viewers:
    """Use it from one event loop; `look` may be slow."""

    def __init__(self, look: Callable[[], Awaitable[Look]]) -> None:
        self._look = look
        self._viewers: dict[Viewer, None] = {}  # in the order in which they came
        self._changed = asyncio.Event()
        self._state: object = None
        self._version = 0
        self._lasts_until = self._ping_at = 0.0  # on the clock of the loop
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, name: str, proof: bytes) -> Viewer:
        """Return a new viewer, which is sent the state soon. Raises TooMany."""
        theirs = [each for each in self._viewers if each.name == name]
        if len(theirs) >= PER_PERSON:
            self._end(theirs[0])
        if len(self._viewers) >= MOST:
            raise TooMany(f"{MOST} viewers are watching; try again in 10 s", retry_after=10)
        viewer = Viewer(name, proof)
        self._viewers[viewer] = None
        VIEWERS.set(len(self._viewers))
        self.changed()
        if self._task is None or self._task.done():
            self._ping_at = asyncio.get_running_loop().time() + PING_SECONDS
            self._task = asyncio.create_task(self._watch())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer, None)
        VIEWERS.set(len(self._viewers))
        if not self._viewers:
            self.changed()  # so that the watch ends

    def changed(self) -> None:
        """Something was committed that viewers may see."""
        self._changed.set()

    async def close(self) -> None:
        """End every stream: the daemon stops."""
        self._end_all()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _end(self, viewer: Viewer) -> None:
        viewer.end()
        self.leave(viewer)

    def _make_room(self, size: int) -> None:
        """End the first streams of whoever has so many that events of this size are too much unread."""
        most = max(SCREENS, UNREAD // size)
        held = Counter(each.name for each in self._viewers)
        for viewer in [*self._viewers]:
            if held[viewer.name] > most:
                held[viewer.name] -= 1
                self._end(viewer)

    def _end_all(self) -> None:
        for viewer in [*self._viewers]:
            self._end(viewer)

    async def _watch(self) -> None:
        """Look and tell for as long as anybody watches; if looking fails nobody is left with a stale view."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wait(min(self._lasts_until, self._ping_at) - loop.time())
                if not self._viewers:
                    return
                start = loop.time()
                self._tell(await self._look())
                await asyncio.sleep(max(PAUSE, SHARE * (loop.time() - start)))
        except Exception:
            log.exception("the live view cannot be read")
        finally:
            self._end_all()

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._changed.wait()
        self._changed.clear()

    def _tell(self, look: Look) -> None:
        now = asyncio.get_running_loop().time()
        self._lasts_until = now + look.lasts
        if look.state != self._state:
            self._version, self._state = self._version + 1, look.state
        due = now >= self._ping_at
        if due:
            self._ping_at = now + PING_SECONDS
        self._make_room(len(look.event))
        for viewer in [*self._viewers]:
            if not look.may(viewer.name, viewer.proof):
                self._end(viewer)
            elif viewer.seen != self._version:
                viewer.seen = self._version
                viewer.offer(look.event)
            elif due:
                viewer.ping()
