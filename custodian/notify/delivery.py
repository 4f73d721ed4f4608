"""The daemon's deliveries: whatever is in the outbox goes out, to each receiver in its order.

A delivery is a task of its own, at most one for each receiver: one that hangs delays its own receiver and
nothing else. Nothing here runs inside a change, so no lease or answer waits for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from custodian import notices
from custodian.metrics import NOTICES
from custodian.notices import Waiting
from custodian.notify.receivers import Receivers
from custodian.notify.sending import Result, Sender, make_senders, open_session
from custodian.service import Custody

POLL = 5.0  # seconds between looks at what is due again
log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def delivering(custody: Custody, receivers: Receivers) -> AsyncIterator[None]:
    """Deliver for as long as the context lasts; what is not out by then goes out after the next start."""
    await custody.change(notices.set_receivers, receivers.people)
    if not receivers.people:
        yield
        return
    async with open_session() as session:
        senders = make_senders(receivers, lambda: custody.site.origin, session)
        task = asyncio.create_task(Delivery(custody, senders).run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Delivery:
    def __init__(self, custody: Custody, senders: Mapping[str, Sender]) -> None:
        self._custody, self._senders = custody, senders
        self._wake = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        custody.listeners.append(self._wake.set)

    async def run(self) -> None:
        """Look for what is due whenever something happened, and a little later."""
        try:
            while True:
                self._wake.clear()
                for each in await self._custody.look(notices.waiting):
                    self._start(each)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):  # unlike wait_for, loses no cancellation
                        await self._wake.wait()
        finally:
            self._custody.listeners.remove(self._wake.set)
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start(self, notice: Waiting) -> None:
        if notice.receiver in self._under_way:
            return
        task = self._under_way[notice.receiver] = asyncio.create_task(self._deliver(notice))
        task.add_done_callback(lambda _: self._finished(notice.receiver))

    def _finished(self, receiver: str) -> None:
        del self._under_way[receiver]
        self._wake.set()  # the next of this receiver

    async def _deliver(self, notice: Waiting) -> None:
        try:
            result = await self._senders[notice.receiver].send(notice.body)
        except Exception as error:  # what it says may hold a URL
            result = Result("failed", f"could not be sent ({type(error).__name__})")
        NOTICES.labels(notice.receiver, result.what).inc()
        if result.what == "failed":
            seconds = await self._custody.change(notices.try_again, notice.seq)
            then = f"next try in {seconds} s" if seconds else "given up"
            log.warning("notice %s to %s: %s; %s", notice.body["id"], notice.receiver, result.said, then)
            return
        await self._custody.change(notices.done, notice.seq)
        if result.what == "refused":
            log.warning("notice %s to %s: %s; dropped", notice.body["id"], notice.receiver, result.said)
