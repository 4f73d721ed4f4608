"""The signer, put together: API process, broker, custodian's stream; started and stopped in order."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from custodian.encoding import encode_base64
from custodian.errors import BadInput, Unavailable
from custodian.hardening import no_core_dump, not_dumpable
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
    Config,
    ListenSection,
)
from signer.custody import CustodyKey, record_sender
from signer.holders import BrokerClient
from signer.journal import Journal
from signer.profile import Policy, Sources, parse_policy
from signer.witness import Witness

log = logging.getLogger(__name__)


def load_identity(directory: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key((directory / IDENTITY).read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(IDENTITY, "is not an Ed25519 key")
    return key


def load_policy(path: Path) -> Policy:
    """Read CFSSL's policy file; its keys may lie in the environment or in files."""
    return parse_policy(path.read_bytes(), Sources(os.environ.get, lambda name: Path(name).read_text()))


async def serve(directory: Path, config: Config, ready: Callable[[str], None]) -> None:
    """Run the signer until SIGTERM or SIGINT; call `ready` with its URL once it answers."""
    if config.ca is None:
        raise BadInput("ca", "is missing in signer.toml; `signer init-ca` makes a key and fills it in")
    for measure in (no_core_dump, not_dumpable):
        measure()
    token = (directory / TOKEN).read_text().strip()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            CustodianClient(config.custodian.url, directory / CUSTODIAN_CA, token)
        )
        journal = Journal(directory / JOURNAL, record_sender(client), sync=config.lease.sync_records)
        stack.callback(journal.close)
        key = await _custody(stack, directory, config, client, journal)
        authority = make_authority(
            load_policy(directory / config.ca.policy),
            (directory / config.ca.certificate).read_text(),
            key,
            clock=lambda: datetime.now(UTC),
            random=secrets.token_bytes,
        )
        app = web.Application()
        limits = Limits(config.listen.max_body, config.listen.body_seconds)
        app.add_routes([web.get("/status", _status(config, key)), *cfssl_routes(authority, limits)])
        await _listen(stack, directory, app, config.listen, ready)
        await _until_told_to_stop()
        await key.stop()


async def _custody(
    stack: contextlib.AsyncExitStack,
    directory: Path,
    config: Config,
    client: CustodianClient,
    journal: Journal,
) -> CustodyKey:
    """Start the broker, announce its recipient, and follow the custodian."""
    holder: list[CustodyKey] = []
    broker = BrokerClient(
        lambda lease, why, left: holder[0].gone(lease, why, left) if holder else None,
        secret_memory=config.lease.secret_memory,
    )
    stack.callback(broker.close)
    recipient = (await broker.report())["recipient"]
    signature = announce(load_identity(directory), config.name, parse_public_key(recipient, "recipient"))
    await _announce(client, config.name, recipient, signature)
    if config.ca is None:
        raise RuntimeError("checked by the caller")
    key = CustodyKey(
        config.ca.key,
        client,
        broker,
        recipient=recipient,
        journal=journal,
        witness=Witness(directory / CHECKPOINT, parse_verify_key((directory / LOG_KEY).read_text().strip())),
        policy=config.lease.policy(),
    )
    holder.append(key)
    for task in (key.follow(config.name), key.watch()):
        stack.callback(asyncio.create_task(task).cancel)
    return key


async def _announce(client: CustodianClient, name: str, recipient: str, signature: bytes) -> None:
    body = {"recipient": recipient, "signature": encode_base64(signature)}
    for attempt in range(50):
        try:
            await client.put(f"/signers/{name}/recipient", body)
        except Unavailable as error:
            if attempt == 0:
                log.warning("%s; trying again", error.detail)
            await asyncio.sleep(0.2)
        else:
            return
    raise Unavailable("the custodian does not answer; start it, then the signer")


async def _listen(
    stack: contextlib.AsyncExitStack,
    directory: Path,
    app: web.Application,
    listen: ListenSection,
    ready: Callable[[str], None],
) -> None:
    context = None
    if listen.tls_certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(directory / listen.tls_certificate, directory / listen.tls_key)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=30)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, listen.host, listen.port, ssl_context=context)
    await site.start()
    host, port = runner.addresses[0][:2]
    url = f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    (directory / ADDRESS).write_text(url + "\n")
    ready(url)


async def _until_told_to_stop() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _status(config: Config, key: CustodyKey) -> Any:
    """Return the handler of `/status`: what took, what is open. For this host only; no secrets."""

    async def status(request: web.Request) -> web.Response:
        if request.remote not in ("127.0.0.1", "::1"):
            raise web.HTTPForbidden(text="the status is for this host only\n")
        return web.json_response(await key.status(config.name))

    return status
