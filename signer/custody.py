"""The custody key source: signs with a key that a custodian lends, and only while it does.

A signature needs a lease whose delegations admit the certificate. If none is open, the custodian is
asked for one, at once; who is missing comes back as QuorumMissing. A lease is kept while it is used,
given back when idle, and ended the moment the custodian says so or falls silent for longer than the
grace.
"""

import asyncio
import contextlib
import itertools
import logging
import secrets
import time
from typing import Any

from custodian.encoding import decode_base64, parse_instant
from custodian.errors import CustodianError, Unavailable
from custodian.terms import Purpose, parse_terms
from signer.borrowed import LeasePolicy, OpenLease
from signer.client import CustodianClient
from signer.holders import BrokerClient, HolderGone
from signer.issue import Prepared
from signer.journal import Journal
from signer.records import record_of
from signer.witness import CheckpointFile

TRIES = 3  # a lease may end between being chosen and being used
CLOSE_EARLY = 0.3  # seconds before its end a lease is given back, so that unused uses return
GROW_WITHIN = 10.0  # seconds; a lease used up sooner makes the next one larger
log = logging.getLogger(__name__)


class CustodyKey:
    """`signer.keys.KeySource` for one key in custody."""

    def __init__(
        self,
        key: str,
        client: CustodianClient,
        broker: BrokerClient,
        *,
        signer: str,
        recipient: str,
        journal: Journal,
        seen: CheckpointFile,
        policy: LeasePolicy,
    ) -> None:
        self.key, self.recipient, self._signer = key, recipient, signer
        self._client, self._broker, self._journal, self._seen = client, broker, journal, seen
        self._policy = policy
        self._ask = policy.uses
        self._leases: dict[str, OpenLease] = {}
        self._opening = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._sending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sending.set_result(None)
        self._stopping = False
        self.heard = 0.0  # monotonic time of the custodian's last word; 0: not connected
        self._streams = itertools.count(1)
        self._stream = 0  # which stream of news tells of ended leases; 0: none
        self._ended: set[str] = set()  # leases ended while the last one asked for was opening

    @property
    def leases(self) -> tuple[OpenLease, ...]:
        return tuple(self._leases.values())

    async def sign(self, prepared: Prepared) -> bytes:
        """Return the signature; its record is durable here before."""
        names = tuple(dict.fromkeys(filter(None, (prepared.common_name, *prepared.names))))
        validity = int((prepared.not_after - prepared.not_before).total_seconds())
        purpose = Purpose(prepared.profile, names, validity, prepared.is_ca)
        for _ in range(TRIES):
            lease = self._fitting(purpose) or await self._obtain(purpose)
            number = lease.take()
            self._look_ahead(lease, purpose)
            written = self._journal.write(record_of(lease.id, number, prepared, purpose))
            signed = lease.channel.sign(prepared.tbs, prepared.profile)
            try:
                signature = await signed
                await written
                return signature
            except HolderGone:
                lease.retired = True
                continue
            except OSError:
                raise Unavailable("the record of the signature could not be written; see the disk") from None
        raise Unavailable("the key was wiped while it was asked to sign; try again")

    async def status(self) -> dict[str, Any]:
        """Return what an operator wants to see; no secret."""
        report = await self._broker.report()
        return {
            "signer": self._signer,
            "key": self.key,
            "recipient": self.recipient,
            "custodian": "connected" if self._stream and self._connected() else "silent",
            "records_owed": self._journal.owed,
            "records_refused": self._journal.refused,
            "broker": {"pid": report["pid"], "measures": report["measures"]},
            "keyholders": {
                "measures": report["keyholder_measures"],
                "open": [
                    {
                        "lease": each.id,
                        "pid": each.pid,
                        "uses": each.uses,
                        "left": each.uses - each.taken,
                        "seconds": round(each.end - time.time(), 1),
                        "not_taken": [measure for measure in each.measures if not measure["taken"]],
                    }
                    for each in self.leases
                ],
            },
        }

    # --- opening

    def _fitting(self, purpose: Purpose) -> OpenLease | None:
        return next((lease for lease in self._leases.values() if lease.admits(purpose)), None)

    async def _obtain(self, purpose: Purpose) -> OpenLease:
        """Return a lease that admits `purpose`, asking for one unless another task just did."""
        async with self._opening:
            return self._fitting(purpose) or await self._open(purpose)

    async def _open(self, purpose: Purpose) -> OpenLease:
        if self._stopping:
            raise Unavailable("the signer stops")
        stream = self._stream
        if not stream or not self._connected():
            raise Unavailable("the custodian cannot be reached; no key opens without it")
        await self._settle()
        self._ended.clear()
        granted = await self._request(purpose)
        try:
            lease = await self._hold(granted)
        except CustodianError:
            with contextlib.suppress(CustodianError):  # why it did not open is what counts
                await self._client.post(f"/leases/{granted['id']}/close", {"used": 0})
            raise
        self._leases[lease.id] = lease
        if lease.id in self._ended:
            self.end(lease.id)
        elif stream != self._stream or self._stopping:  # news of its end may have been missed
            self.retire(lease)
        if lease.retired:
            raise Unavailable("the lease ended while its key was opening; try again")
        log.info("lease %s: %d uses until %s", lease.id, lease.uses, granted["end"])
        return lease

    async def _request(self, purpose: Purpose) -> dict[str, Any]:
        """Ask for a lease; a lost answer is asked for again under the same request id."""
        wanted = {
            "request": secrets.token_hex(16),
            "key": self.key,
            "recipient": self.recipient,
            "purpose": {
                "profile": purpose.profile,
                "names": list(purpose.names),
                "validity": purpose.validity,
                "ca": purpose.ca,
            },
            "uses": self._ask,
            "seconds": self._policy.seconds,
            "seen": self._seen.size,
        }
        try:
            granted: dict[str, Any] = await self._client.post("/leases", wanted)
        except Unavailable:
            granted = await self._client.post("/leases", wanted)
        return granted

    async def _hold(self, granted: dict[str, Any]) -> OpenLease:
        end = parse_instant(granted["end"], "end").timestamp()
        message = {name: granted[name] for name in ("id", "uses", "envelope", "shares")}
        proof = {name: granted[name] for name in ("entry", "receipt", "consistency")}
        channel, answer = await self._broker.open(lease=message | {"end": end}, **proof)
        self._seen.keep(granted["receipt"].encode(), answer["seen"])
        terms = [parse_terms(decode_base64(each["terms"], "terms")) for each in granted["shares"]]
        return OpenLease(
            id=granted["id"],
            uses=granted["uses"],
            end=end,
            constraints=[each.constraints for each in terms],
            channel=channel,
            pid=answer["pid"],
            measures=answer["measures"],
        )

    def _look_ahead(self, lease: OpenLease, purpose: Purpose) -> None:
        """When a lease goes fast, ask for the next one, larger, before it is used up."""
        fast = time.monotonic() - lease.opened < GROW_WITHIN
        if lease.taken == max(1, lease.uses * 3 // 4) and fast and lease.uses == self._ask:
            self._ask = min(2 * self._ask, self._policy.most_uses)
            if self._ahead is None or self._ahead.done():
                self._ahead = asyncio.create_task(self._open_ahead(purpose))

    async def _open_ahead(self, purpose: Purpose) -> None:
        with contextlib.suppress(CustodianError):  # whoever needs it will ask, and be told
            async with self._opening:
                await self._open(purpose)

    # --- ending

    def gone(self, lease_id: str, why: str, left: int) -> None:
        """The broker says that a keyholder is gone."""
        lease = self._leases.pop(lease_id, None)
        log.info("lease %s: key gone, %s", lease_id, why)
        if lease:
            lease.retired = True  # its channel ends by itself, once every answer in it is read
            used = max(lease.taken, lease.uses - left) if why == "closed" else lease.uses
            if why in ("closed", "used up"):
                task = asyncio.create_task(self._give_back(lease, used))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _give_back(self, lease: OpenLease, used: int) -> None:
        """Tell the custodian how a lease ended, after the records of its signatures."""
        try:
            await self._journal.flush()
            await self._client.post(f"/leases/{lease.id}/close", {"used": used})
        except CustodianError as error:
            log.warning("lease %s could not be closed: %s", lease.id, error.detail)

    async def _settle(self) -> None:
        """Finish what is owed to the custodian before asking anew."""
        if self._closing:
            await asyncio.wait(self._closing)
        await self._journal.flush()

    def end(self, lease_id: str) -> None:
        """Kill a keyholder: its lease was ended by the custodian."""
        self._ended.add(lease_id)
        if lease := self._leases.get(lease_id):
            lease.retired = True
            self._broker.kill(lease_id)

    def retire(self, lease: OpenLease) -> None:
        """Give a lease back; unused uses return to the delegations."""
        if not lease.retired:
            lease.retired = True
            self._broker.retire(lease.id)

    async def stop(self) -> None:
        """Give every lease back, open no more, and wait until the custodian knows."""
        self._stopping = True
        for lease in self.leases:
            self.retire(lease)
        with contextlib.suppress(TimeoutError, CustodianError):
            async with asyncio.timeout(5):
                async with self._opening:  # what is opening now is given back too
                    pass
                while self._leases or self._closing:  # noqa: ASYNC110 - once, at the end
                    await asyncio.sleep(0.01)
                await self._journal.flush()

    # --- the custodian's word

    def _connected(self) -> bool:
        return self.heard > 0 and time.monotonic() - self.heard < self._policy.grace

    async def follow(self) -> None:
        """Follow the custodian's news for ever; reconnect when the stream ends."""
        told = ""
        while True:
            known = set(self._leases)
            try:
                async for event, data in self._client.news(self._signer):
                    self.heard = time.monotonic()
                    if event == "live":
                        self._stream = next(self._streams)
                        for lease_id in known - set(data["leases"]):
                            self.end(lease_id)
                    elif event == "ended":
                        self.end(data["lease"])
                    told = ""
            except CustodianError as error:
                if error.detail != told:  # once for an outage
                    log.warning("%s", error.detail)
                    told = error.detail
            self._stream = 0
            await asyncio.sleep(0.2)

    async def watch(self) -> None:
        """Look after the leases for ever."""
        while True:
            await asyncio.sleep(0.1)
            with contextlib.suppress(CustodianError):  # the next look may do better
                self._look_after()

    def _look_after(self) -> None:
        """Wipe when the custodian is silent, give back what is idle or about to end; send records.

        It waits for nothing: a custodian that hangs must not delay the wipe.
        """
        if self._leases and not self._connected():
            log.warning("the custodian is silent for %g s: wiping", self._policy.grace)
            for lease in self.leases:
                self.end(lease.id)
        for lease in self.leases:
            idle = time.monotonic() - lease.last_used > self._policy.idle
            if idle or lease.end - time.time() < CLOSE_EARLY:
                self.retire(lease)
        if self._journal.owed and self._connected() and self._sending.done():
            self._sending = asyncio.create_task(self._send_records())

    async def _send_records(self) -> None:
        with contextlib.suppress(CustodianError):  # they stay owed, and are sent again
            await self._journal.flush()
