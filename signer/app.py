"""The signer, put together: front ends, the process that lends, broker; started and stopped in order.

The front ends read what strangers send. They are shut in and have neither the token nor the identity,
no file and no connection but those that were made to them: one that is taken over can ask for
signatures, as every client can.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from custodian.encoding import encode_base64, format_instant
from custodian.errors import BadInput, Conflict, CustodianError, Unavailable
from custodian.hardening import Measure, no_core_dump, not_dumpable, shut_in_front
from custodian.identity import announce
from custodian.note import parse_verify_key
from custodian.sealing import parse_public_key
from signer.api import Limits, cfssl_routes
from signer.authority import make_authority
from signer.client import CustodianClient
from signer.config import (
    ADDRESS,
    CHECKPOINT,
    CUSTODIAN_CA,
    IDENTITY,
    JOURNAL,
    LOG_KEY,
    TOKEN,
    CaSection,
    Config,
)
from signer.custody import CustodyKey
from signer.desk import Desk, DeskKey
from signer.holders import BrokerClient
from signer.journal import Journal
from signer.profile import Policy, Sources, parse_policy
from signer.records import record_sender
from signer.witness import CheckpointFile

LAST_ANSWERS = 1.0  # seconds for answers to leave once every lease is given back
SWITCH_SECONDS = 0.0005  # or the thread that syncs records waits 5 ms for its turn under load
PACKAGES = [sys.modules[name].__path__[0] for name in ("custodian", "signer")]
PROGRAM = [*map(Path, dict.fromkeys((sys.prefix, sys.base_prefix, *PACKAGES)))]  # what a front end may read
PROGRAM += [path for path in map(Path, ("/usr", "/lib", "/lib64")) if path.is_dir()]
BACKLOG = 128  # connections that may wait to be accepted
log = logging.getLogger(__name__)


def load_identity(directory: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key((directory / IDENTITY).read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(IDENTITY, "is not an Ed25519 key")
    return key


def load_policy(path: Path) -> Policy:
    """Read CFSSL's policy file; `env:` keys lie in the environment, `file:` keys beside the file."""
    return parse_policy(
        path.read_bytes(), Sources(os.environ.get, lambda name: (path.parent / name).read_text())
    )


def start(directory: Path, config: Config, ready: Callable[[str], None]) -> None:
    """Run the signer until SIGTERM or SIGINT; call `ready` with its URL once it answers.

    The front ends are forked here, before any thread or loop exists and any secret is read.
    """
    if config.ca is None:
        raise BadInput("ca", "is missing in signer.toml; `signer init-ca` makes a key and fills it in")
    for measure in (no_core_dump, not_dumpable):
        measure()
    sys.setswitchinterval(SWITCH_SECONDS)
    shop = open_shop(directory, config, config.ca)
    parent = os.getpid()
    desks: list[socket.socket] = []
    for _ in range(config.listen.processes):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            for not_its_own in (ours, *desks):
                not_its_own.close()
            _be_front(shop, theirs, parent)
        theirs.close()
        desks.append(ours)
    asyncio.run(serve(directory, shop, desks, ready))


def _be_front(shop: "Shop", desk: socket.socket, parent: int) -> None:
    """Never return: serve as a front end until the desk closes."""
    status = 1
    try:
        measures = shut_in_front(parent, PROGRAM)
        for measure in measures:
            if not measure.taken:
                log.warning("front end: %s: no, %s", measure.name, measure.note)
        asyncio.run(serve_front(shop, desk, measures))
        status = 0
    finally:
        os._exit(status)


@dataclass(frozen=True, slots=True)
class Shop:
    """What every front end needs: the CA it serves and the socket it serves on."""

    config: Config
    policy: Policy
    ca_pem: str
    listener: socket.socket
    tls: ssl.SSLContext | None

    @property
    def url(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def open_shop(directory: Path, config: Config, ca: CaSection) -> Shop:
    """Read what is served and take the address. Raises BadInput, Unavailable."""
    listen, tls = config.listen, None
    if listen.tls_certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(directory / listen.tls_certificate, directory / listen.tls_key)
    try:
        listener = socket.create_server(
            (listen.host, listen.port),
            family=socket.AF_INET6 if ":" in listen.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except OSError as error:
        raise Unavailable(f"{listen.host} port {listen.port} cannot be used: {error.strerror}") from None
    policy = load_policy(directory / ca.policy)
    return Shop(config, policy, (directory / ca.certificate).read_text(), listener, tls)


async def serve(
    directory: Path, shop: Shop, desks: list[socket.socket], ready: Callable[[str], None]
) -> None:
    """Lend signatures to every front end."""
    config = shop.config
    token = (directory / TOKEN).read_text().strip()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            CustodianClient(config.custodian.url, directory / CUSTODIAN_CA, token)
        )
        journal = Journal(directory / JOURNAL, record_sender(client), sync=config.lease.sync_records)
        stack.callback(journal.close)
        key = await _custody(stack, directory, config, client, journal)
        url = shop.url
        shop.listener.close()  # the front ends have it
        stop, fronts = _told_to_stop(), len(desks)

        def closed() -> None:
            nonlocal fronts
            fronts -= 1
            log.error("a front end has ended; %d are left", fronts)
            if not fronts:
                stop.set()

        for desk in desks:
            await asyncio.get_running_loop().create_unix_connection(lambda: Desk(key, closed), sock=desk)
        (directory / ADDRESS).write_text(url + "\n")
        ready(url)
        await stop.wait()
        await key.stop()
        if not fronts:
            raise Unavailable("every front end has ended; the log tells more")


async def serve_front(shop: Shop, desk: socket.socket, measures: Sequence[Measure]) -> None:
    """Be a front end until the desk closes; the process that lends hears the signals."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: None)
    closed = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        _, key = await loop.create_unix_connection(lambda: DeskKey(closed.set), sock=desk)
        await _listen(stack, shop, key, measures)
        await closed.wait()


async def _custody(
    stack: contextlib.AsyncExitStack,
    directory: Path,
    config: Config,
    client: CustodianClient,
    journal: Journal,
) -> CustodyKey:
    """Start the broker, announce its recipient, and follow the custodian."""
    if config.ca is None:
        raise RuntimeError("checked by the caller")
    log_key = parse_verify_key((directory / LOG_KEY).read_text().strip())
    seen = CheckpointFile(directory / CHECKPOINT, log_key)
    holder: list[CustodyKey] = []
    broker = BrokerClient(
        lambda lease, why, left: holder[0].gone(lease, why, left) if holder else None,
        log=str(log_key),
        checkpoint=seen.note,
        secret_memory=config.lease.secret_memory,
    )
    stack.callback(broker.close)
    recipient = (await broker.report())["recipient"]
    await _announce(client, config.name, load_identity(directory), recipient)
    key = CustodyKey(
        config.ca.key,
        client,
        broker,
        signer=config.name,
        recipient=recipient,
        journal=journal,
        seen=seen,
        policy=config.lease.policy(),
    )
    holder.append(key)
    for task in (key.follow(), key.watch()):
        stack.callback(asyncio.create_task(task).cancel)
    return key


async def _announce(client: CustodianClient, name: str, key: Ed25519PrivateKey, recipient: str) -> None:
    """Announce the recipient; anew if the custodian is away, or has one of the same second."""
    public, refused = parse_public_key(recipient, "recipient"), CustodianError("")
    for attempt in range(50):
        now = datetime.now(UTC)
        body = {"recipient": recipient, "announced": format_instant(now)}
        body["signature"] = encode_base64(announce(key, name, public, now))
        try:
            await client.put(f"/signers/{name}/recipient", body)
        except (Conflict, Unavailable) as error:
            refused = error
            if attempt == 0:
                log.warning("%s; trying again", error.detail)
            await asyncio.sleep(0.2)
        else:
            return
    if isinstance(refused, Conflict):  # the clock went back
        raise refused
    raise Unavailable("the custodian does not answer; start it, then the signer")


async def _listen(
    stack: contextlib.AsyncExitStack, shop: Shop, key: DeskKey, measures: Sequence[Measure]
) -> None:
    listen = shop.config.listen
    authority = make_authority(
        shop.policy,
        shop.ca_pem,
        key,
        clock=lambda: datetime.now(UTC),
        random=secrets.token_bytes,
    )
    app = web.Application()
    limits = Limits(listen.max_body, listen.body_seconds)
    app.add_routes([web.get("/status", _status(key, measures)), *cfssl_routes(authority, limits)])
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=30,
        lingering_time=1,
        auto_decompress=False,
        shutdown_timeout=LAST_ANSWERS,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    # asyncio accepts as many connections at once as its backlog says; one, so that front ends share them
    await web.SockSite(runner, shop.listener, ssl_context=shop.tls, backlog=1).start()
    shop.listener.listen(BACKLOG)


def _told_to_stop() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _status(key: DeskKey, measures: Sequence[Measure]) -> Any:
    """Return the handler of `/status`: what took, what is open. For this host only; no secrets."""

    async def status(request: web.Request) -> web.Response:
        if request.remote not in ("127.0.0.1", "::1"):
            raise web.HTTPForbidden(text="the status is for this host only\n")
        try:
            told = await key.status()
            front = {"pid": os.getpid(), "measures": [asdict(each) for each in measures]}
            return web.json_response(told | {"front_end": front})
        except CustodianError as error:  # the broker is gone, and every key with it
            return web.json_response({"error": error.detail}, status=503)

    return status
