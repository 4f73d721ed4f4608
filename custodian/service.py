"""The running custodian: one writer thread over the store, openers for passwords, news for signers.

Every change runs in the writer thread, one after the other, each in a transaction of its own. News of
ended leases leaves after the commit and before the answer.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from custodian import (
    accounts,
    answering,
    asking,
    delegations,
    ending,
    granting,
    keys,
    leases,
    proofs,
    signers,
)
from custodian.accounts import Account
from custodian.delegations import Lent
from custodian.errors import Conflict, QuorumMissing, Unauthenticated
from custodian.events import Actor, Evidence
from custodian.lending import Wish, announced_recipient
from custodian.metrics import DELEGATIONS, LEASES, LOGINS_FAILED
from custodian.openers import Openers
from custodian.quorum import Missing
from custodian.signers import Signer
from custodian.site import Site
from custodian.slots import Kdf, check_password
from custodian.statements import Statements
from custodian.store import Store, Transaction
from custodian.terms import Terms
from custodian.turns import Turns

P = ParamSpec("P")
R = TypeVar("R")
NEWS_BOUND = 256  # a signer that reads slower than this is cut off, and asks again


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, proven by a token, or by a password, kept for this one call, or by a session's id."""

    role: Literal["admin", "owner", "auditor", "signer", "unknown"]
    name: str
    signer: Signer | None = None
    password: str = field(default="", repr=False)
    verifier: bytes = field(default=b"", repr=False)  # what the password was compared with
    session: bytes = b""

    @property
    def actor(self) -> Actor:
        return Actor(role=self.role, name=self.name)


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    lease: leases.Lease
    entry: bytes
    receipt: bytes
    consistency: list[bytes]


class Custody:
    def __init__(self, store: Store, openers: Openers, kdf: Kdf, vkey: str) -> None:
        self.store, self.openers, self.vkey = store, openers, vkey
        self._kdf = kdf  # the costs of new passwords; its salt seeds those of unknown accounts
        self._writer = ThreadPoolExecutor(1, "writer")
        self._news: dict[str, set[asyncio.Queue[str | None]]] = {}
        self.listeners: list[Callable[[], None]] = []  # called when the history has grown
        self._logins = Turns()
        self.asks_for_quorums = True
        self.site = Site("https://localhost", "localhost")  # until we know where we listen
        self.statements = Statements(secrets.token_bytes(32))

    def close(self) -> None:
        self._writer.shutdown()
        self.openers.close()
        self.store.close()

    async def run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def change(
        self, step: Callable[Concatenate[Transaction, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run one change in its transaction; it is durable when this returns."""

        loop = asyncio.get_running_loop()

        def work() -> R:
            with self.store.transaction() as tx:
                result = step(tx, *args, **kwargs)
            self._committed(tx, loop)
            return result

        return await self.run(work)

    async def change_as(
        self,
        caller: Caller,
        step: Callable[Concatenate[Transaction, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a change that `caller` proved to be theirs. Raises Unauthenticated if their password is gone.

        Working on a password takes longer than removing one. Whoever keeps trying with one that leaked always
        has a try under way.
        """

        def proven(tx: Transaction) -> R:
            if caller.password:
                accounts.check_verifier(tx, caller.name, caller.verifier)
            return step(tx, *args, **kwargs)

        return await self.change(proven)

    def _committed(self, tx: Transaction, loop: asyncio.AbstractEventLoop) -> None:
        """Have the listeners called in the event loop, before whoever made the change goes on."""
        for listener in self.listeners if tx.appended else ():
            loop.call_soon_threadsafe(listener)

    async def look(
        self, step: Callable[Concatenate[Transaction, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Read one consistent state."""

        def work() -> R:
            with self.store.reading() as tx:
                return step(tx, *args, **kwargs)

        return await self.run(work)

    # --- people

    async def login(self, name: str, password: str, address: str, *, revoking: str = "") -> Caller:
        """Check a password, doing the same work whether or not the account exists.

        One after the other for an address, or guesses made at once would not wait. Who names a delegation
        that they lent, to revoke it, does not stand in line with strangers: the id is not to be guessed.

        Raises:
            Unauthenticated: no such account, or not its password. TooMany: wait first.
        """
        own = bool(revoking) and await self.look(delegations.was_lent_by, revoking, name)
        async with self._logins.take(f"{name} {address}" if own else address):
            return await self._login(name, password, address, own=own)

    async def _login(self, name: str, password: str, address: str, *, own: bool) -> Caller:
        await self.look(accounts.check_patience, name, address, whole_address=not own)
        account = await self.look(accounts.find_account, name)
        kdf = account.kdf if account else self._unknown(name)
        verifier = await self.openers.prove(password, kdf, own_lane=own)
        expected = account.verifier if account else bytes(32)
        right = hmac.compare_digest(verifier, expected)
        if not right or account is None or account.disabled:
            LOGINS_FAILED.inc()
            await self.change(accounts.login_failed, name, address)
            raise Unauthenticated("the name or the password is not right")
        if await self.look(accounts.has_failures, name, address):
            await self.change(accounts.login_succeeded, name, address)
        role: Any = account.role
        return Caller(role, name, password=password, verifier=account.verifier)

    def _unknown(self, name: str) -> Kdf:
        salt = hmac.digest(self._kdf.salt, name.encode(), "sha256")[:16]
        return Kdf(salt, self._kdf.memory_kib, self._kdf.passes, self._kdf.lanes)

    def new_kdf(self) -> Kdf:
        """Return what a new password is to cost, with a salt of its own."""
        return Kdf(secrets.token_bytes(16), self._kdf.memory_kib, self._kdf.passes, self._kdf.lanes)

    async def enrol(self, code: str, password: str) -> Account:
        """Use an invitation with a new password."""
        role, name = await self.look(accounts.look_at_invitation, code)
        check_password(password)
        kdf = self.new_kdf()
        verifier, slot = await self.openers.enrol(password, kdf, name if role == "owner" else "")
        return await self.change(accounts.enrol, code, kdf, verifier, slot)

    async def disable(self, name: str, by: Actor) -> list[str]:
        return self.tell_ended(await self.change(accounts.disable, name, by))

    async def disable_signer(self, name: str, by: Actor) -> list[str]:
        ended = self.tell_ended(await self.change(signers.disable_signer, name, by))
        for queue in self._news.get(name, ()):
            self._tell(queue, None)
        return ended

    # --- delegations

    async def delegate(self, caller: Caller, key_name: str, wish: Wish) -> tuple[Lent, bytes]:
        """Lend on the password path; an opener re-seals the share. Return the delegation and receipt."""
        key = await self.look(keys.find_key, key_name)
        signer = await self.look(signers.find_signer, wish.signer)
        recipient = announced_recipient(key.envelope.facts, signer.name, signer.announces)
        terms = await self.look(delegations.draft, caller.name, key, wish, recipient)
        slot = await self.look(accounts.password_slot, caller.name)
        sealed = await self.openers.lend(caller.password, slot, key.envelope, terms)
        entry = await self.change_as(caller, granting.grant, caller.name, terms, sealed)
        return await self._granted(terms, entry)

    async def carry(self, terms: Terms, sealed: Mapping[str, str], evidence: Evidence) -> tuple[Lent, bytes]:
        """Take a delegation that was made on its owner's side. Return it and the receipt."""
        entry = await self.change(proofs.grant, terms, sealed, evidence, self.site)
        return await self._granted(terms, entry)

    async def _granted(self, terms: Terms, entry: int) -> tuple[Lent, bytes]:
        DELEGATIONS.labels("granted").inc()
        lent = await self.look(delegations.find_delegation, terms.id)
        return lent, await self.run(lambda: self.store.receipt(entry))

    async def revoke(self, owner: str, delegation: str) -> list[str]:
        ended = self.tell_ended(await self.change(ending.revoke, owner, delegation))
        DELEGATIONS.labels("revoked").inc()
        return ended

    async def veto(self, owner: str, request: str, reason: str) -> list[str]:
        """Stop a request, and what it opened; return the leases that ended."""
        _, ended = await self.change(answering.veto, owner, request, reason)
        return self.tell_ended(ended)

    # --- leases

    async def lease(self, signer: str, request: leases.LeaseRequest, seen: int) -> LeaseAnswer:
        """Grant a lease, durably, then describe it. Raises QuorumMissing with who could help and is asked."""

        loop = asyncio.get_running_loop()

        def work() -> LeaseAnswer | QuorumMissing:
            with self.store.transaction() as tx:
                if seen > tx.first:
                    raise Conflict(
                        f"the history has {tx.first} entries but the signer saw {seen}: it was cut"
                    )
                verdict = leases.lease(tx, signer, request)
                asks = self._ask_for_quorum(tx, signer, request) if isinstance(verdict, Missing) else ""
            self._committed(tx, loop)
            if isinstance(verdict, Missing):
                return quorum_missing(request.key, verdict, asks)
            with self.store.reading() as tx:
                lease = leases.find_lease(tx, signer, verdict)
                entry = tx.rows("SELECT body FROM entry WHERE seq = ?", lease.entry)[0]["body"]
            receipt = self.store.receipt(lease.entry)
            return LeaseAnswer(lease, entry, receipt, self.store.consistency(seen))

        answer = await self.run(work)
        granted = isinstance(answer, LeaseAnswer)
        LEASES.labels(request.key, "granted" if granted else "refused").inc()
        if isinstance(answer, QuorumMissing):
            raise answer
        return answer

    def _ask_for_quorum(self, tx: Transaction, signer: str, request: leases.LeaseRequest) -> str:
        """Return the request that asks the owners for what was just refused, '' if none does."""
        asks = asking.ask_for_quorum(tx, signer, request) if self.asks_for_quorums else None
        return asks.id if asks else ""

    async def close_lease(self, signer: str, lease: str, used: int) -> int:
        """End a lease of `signer` and tell it: who closed may have been another that has its token."""
        returned = await self.change(leases.close_lease, signer, lease, used)
        self.tell_ended([(signer, lease)])
        return returned

    # --- news

    def follow(self, signer: str) -> asyncio.Queue[str | None]:
        """Return a queue of the ids of leases of `signer` as they end; None: follow anew."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(NEWS_BOUND)
        self._news.setdefault(signer, set()).add(queue)
        return queue

    def is_followed(self, signer: str) -> bool:
        """Say whether the signer is connected: somebody hears the news of its leases."""
        return bool(self._news.get(signer))

    def unfollow(self, signer: str, queue: asyncio.Queue[str | None]) -> None:
        self._news.get(signer, set()).discard(queue)

    def tell_ended(self, ended: list[tuple[str, str]]) -> list[str]:
        """Tell each signer which of its leases ended; return the leases' ids."""
        for signer, lease in ended:
            for queue in self._news.get(signer, ()):
                self._tell(queue, lease)
        return [lease for _, lease in ended]

    def end_news(self) -> None:
        """Close every stream: the daemon stops."""
        for queues in self._news.values():
            for queue in queues:
                self._tell(queue, None)

    def _tell(self, queue: asyncio.Queue[str | None], news: str | None) -> None:
        if queue.full():  # a slow reader: what it did not read it learns when it follows anew
            while not queue.empty():
                queue.get_nowait()
            news = None
        queue.put_nowait(news)


def quorum_missing(key: str, missing: Missing, request: str = "") -> QuorumMissing:
    """Say who is missing and which request asks them, in a sentence and in members a program can read."""
    who = " or ".join(missing.any_of) if missing.count == 1 else " and ".join(missing.any_of)
    if 1 < missing.count < len(missing.any_of):
        who = f"any of {', '.join(missing.any_of)}"
    return QuorumMissing(
        f"{missing.count} more of the owners of {key} must delegate: {who}"
        + (f"; request {request} asks them" if request else ""),
        key=key,
        needed=missing.count,
        any_of=list(missing.any_of),
        granted=list(missing.granted),
        obstacles=missing.obstacles,
        **({"request": request} if request else {}),
    )
