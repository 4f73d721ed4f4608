"""The daemon put together: settings in, a custodian that listens out."""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiohttp import web

from custodian import sessions
from custodian.accounts import tell_of_failures, untold_failures
from custodian.answering import end_overdue, overdue
from custodian.api import make_app
from custodian.brokenhttp import keep_broken_http_to_itself
from custodian.checkpoint import open_checkpoint
from custodian.config import Settings, read_history_key
from custodian.connections import Listener, raise_file_limit, read_tls_in_records
from custodian.ending import end_expired_leases, expired_leases
from custodian.errors import Unavailable, Untrusted
from custodian.events import DaemonStarted, DaemonStopped
from custodian.hardening import shut_in_daemon
from custodian.note import SigningKey
from custodian.notify.delivery import delivering
from custodian.openers import Openers
from custodian.service import Custody
from custodian.site import default_site
from custodian.store import Store, Transaction
from custodian.tls import server_context
from custodian.web.pages import add_pages
from custodian.web.setup import TLS_CERTIFICATE

TICK = 5  # seconds between looks at what is due
BACKLOG = 128  # connections that may wait to be accepted
STOP_SECONDS = 5  # what calls in flight get before they are cut off
ADDRESS = "address"
log = logging.getLogger(__name__)


def open_store(settings: Settings, key: SigningKey) -> Store:
    """Open the database and see that its history is this key's.

    Raises:
        Unavailable: there is none, it is another's, or another daemon serves it.
    """
    if not settings.database.is_file():
        raise Unavailable(f"there is no database {settings.database}; `custodian init` makes one")
    store = Store(settings.database, key=key, clock=lambda: datetime.now(UTC), random=secrets.token_bytes)
    try:
        open_checkpoint(store.checkpoint(), key.verify_key)
    except Untrusted:
        store.close()
        raise Unavailable(f"{settings.history_key} is not the key of the history in the database") from None
    return store


async def serve(settings: Settings, ready: Callable[[str], Any]) -> None:
    """Run the daemon until SIGTERM or SIGINT; `ready` is told the address once it listens."""
    for measure in shut_in_daemon():
        log.info("%s: %s", measure.name, measure.note if measure.taken else f"no, {measure.note}")
    keep_broken_http_to_itself()
    context = server_context(settings.tls_certificate, settings.tls_key)
    log.info("%d open files at most", raise_file_limit())
    read_tls_in_records()
    stopped = _stop_signal()
    async with _custody(settings) as custody:
        listener = _open_listener(settings)
        custody.site = settings.site or default_site(settings.host, listener.getsockname()[1])
        app = make_app(custody, settings.bodies)
        add_pages(app)
        app[TLS_CERTIFICATE] = settings.tls_certificate
        app.middlewares.insert(0, listener.watch)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        try:
            async with delivering(custody, settings.receivers):
                await web.SockSite(runner, listener, ssl_context=context, backlog=BACKLOG).start()
                address = _address(runner)
                with _told(settings.directory / ADDRESS, address):
                    ready(address)
                    await _work_until(stopped, custody)
                    custody.end_news()
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def _custody(settings: Settings) -> AsyncIterator[Custody]:
    """The running custodian; its start and its orderly stop are in the history."""
    key = read_history_key(settings.history_key)
    store = open_store(settings, key)
    salt = bytes.fromhex(_salt(store))
    kdf = settings.kdf(salt)
    custody = Custody(store, Openers(), kdf, str(key.verify_key))
    custody.asks_for_quorums = settings.automatic_requests
    try:
        await custody.openers.prove("a rehearsal", kdf)  # better now than at somebody's login
        await custody.change(lambda tx: tx.append(DaemonStarted(version=version("custodian"))))
        yield custody
        await custody.change(lambda tx: tx.append(DaemonStopped()))
    finally:
        custody.close()


def _salt(store: Store) -> str:
    with store.reading() as tx:
        return str(tx.rows("SELECT value FROM meta WHERE name = 'salt'")[0]["value"])


def _open_listener(settings: Settings) -> Listener:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return Listener(socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG))
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise Unavailable(f"cannot listen on {place}: {error.strerror or error}") from None


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


@contextlib.contextmanager
def _told(path: Path, address: str) -> Any:
    """Keep the address in a file while we listen, for scripts that let the kernel choose the port."""
    path.write_text(f"{address}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def _work_until(stopped: asyncio.Event, custody: Custody) -> None:
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), TICK)
        await look_after(custody)


async def look_after(custody: Custody) -> None:
    """Do what is due: end leases and requests that are over, tell of failed logins, forget sessions."""

    def due(tx: Transaction) -> tuple[bool, bool, bool, bool]:
        return expired_leases(tx), bool(overdue(tx)), untold_failures(tx), sessions.has_expired(tx)

    leases, requests, failures, over = await custody.look(due)
    if leases:
        custody.tell_ended(await custody.change(end_expired_leases))
    if requests:
        await custody.change(end_overdue)
    if failures:
        await custody.change(tell_of_failures)
    if over:
        await custody.change(sessions.purge)
