"""Taking turns: for one place one at a time, and only a few may wait.

What is under way may still turn out to be a guess, so a place has one password worked on at a time, and
a crowd from it is sent away at once instead of filling the queue that others stand in too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from custodian.errors import TooMany

WAITING = 2  # besides the one whose turn it is


@dataclass(slots=True, weakref_slot=True)
class _Place:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    inside: int = 0


class Turns:
    """Use it from one event loop. A place that nobody stands at is forgotten."""

    def __init__(self) -> None:
        self._places: WeakValueDictionary[str, _Place] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn at the place `name`, and have it. Raises TooMany if enough wait there."""
        place = self._places.setdefault(name, _Place())
        if place.inside > WAITING:
            raise TooMany("too many logins from this address at once; try again in 1 s", retry_after=1)
        place.inside += 1
        try:
            async with place.lock:
                yield
        finally:
            place.inside -= 1
