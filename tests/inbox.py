"""Receivers of notices, real ones on this host: a program that takes webhooks, and a mail server."""

import asyncio
import contextlib
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web

from custodian.notify.receivers import Mail, Receivers, Slack, Webhook
from custodian.tls import make_certificate


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost that whoever has `path` trusts."""

    path: Path
    context: ssl.SSLContext


def certificate(directory: Path) -> Certificate:
    chain, key = make_certificate([], datetime.now(UTC))
    path = directory / "receiver.pem"
    path.write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return Certificate(path, context)


async def eventually(true: Callable[[], object], seconds: float = 10) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not true():
        assert loop.time() < end, "it did not come about in time"
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Post:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class WebInbox:
    """Takes what is posted to it, and answers as `answers` says: one status for each, then 204."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hangs: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append(Post(request.path, dict(request.headers), await request.read()))
        if self.hangs:
            await self.released.wait()
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": f"{self.url}/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)


@contextlib.asynccontextmanager
async def web_inbox(tls: Certificate | None = None) -> AsyncIterator[WebInbox]:
    inbox, app = WebInbox(), web.Application()
    app.router.add_route("*", "/{path:.*}", inbox.take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context if tls else None).start()
        inbox.url = f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}"
        yield inbox
    finally:
        inbox.released.set()
        await runner.cleanup()


@dataclass
class Taken:
    """A mail as it came: who it is from and for, in the envelope, and its text."""

    sender: str
    recipient: str
    raw: bytes
    secure: bool
    login: str

    @property
    def mail(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def text(self) -> str:
        return str(self.mail.get_content()).replace("\r\n", "\n")


@dataclass
class MailInbox:
    """A mail server; `refuse` is a reply instead of the usual one, by the start of the command."""

    tls: Certificate | None = None
    wrapped: bool = False  # TLS from the first byte on
    offers: tuple[str, ...] = ("STARTTLS", "AUTH PLAIN LOGIN")
    refuse: dict[str, str] = field(default_factory=dict)
    inject: bytes = b""  # sent in clear behind the reply to STARTTLS
    hangs: bool = False
    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    talking: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talking += 1
        try:
            await (reader.read() if self.hangs else _Talk(self, reader, writer).run())
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self.talking -= 1
            writer.close()


class _Talk:
    """One conversation of a client with the mail server."""

    def __init__(self, inbox: MailInbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.inbox, self.reader, self.writer = inbox, reader, writer
        self.secure, self.sender, self.recipient, self.login = inbox.wrapped, "", "", ""

    async def run(self) -> None:
        self.writer.write(b"220 mail.test\r\n")
        while line := (await self.reader.readline()).decode().strip():
            self.inbox.commands.append(line)
            verb, _, rest = line.partition(" ")
            refusals = (reply for start, reply in self.inbox.refuse.items() if line.startswith(start))
            reply = next(refusals, "") or await self.answer(verb.upper(), rest)
            self.writer.write(f"{reply}\r\n".encode() if reply else b"")
            if reply.startswith("354"):
                await self.message()
            if reply.startswith("221"):
                return

    async def answer(self, verb: str, rest: str) -> str:
        match verb:
            case "EHLO":
                offers = [each for each in self.inbox.offers if each != "STARTTLS" or not self.secure]
                return "\r\n".join([*(f"250-{each}" for each in offers), "250 SMTPUTF8"])
            case "STARTTLS" if self.inbox.tls:
                self.writer.write(b"220 go on\r\n" + self.inbox.inject)
                await self.writer.start_tls(self.inbox.tls.context)
                self.secure = True
                return ""
            case "AUTH":
                self.login = rest
            case "MAIL":
                self.sender = rest
            case "RCPT":
                self.recipient = rest
        return {"AUTH": "235 ok", "DATA": "354 go on", "QUIT": "221 bye"}.get(verb, "250 ok")

    async def message(self) -> None:
        raw = (await self.reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
        refused = self.inbox.refuse.get("message", "")
        if not refused:
            self.inbox.taken.append(Taken(self.sender, self.recipient, raw, self.secure, self.login))
        self.writer.write(f"{refused or '250 taken'}\r\n".encode())


@contextlib.asynccontextmanager
async def mail_inbox(tls: Certificate | None = None, *, wrapped: bool = False) -> AsyncIterator[MailInbox]:
    inbox = MailInbox(tls, wrapped)
    server = await asyncio.start_server(
        inbox.serve, "127.0.0.1", 0, ssl=tls.context if tls and wrapped else None
    )
    inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()
        await eventually(lambda: not inbox.talking)


SECRET = bytes(range(32))  # of the webhooks here


def mail_to(inbox: MailInbox, **changes: Any) -> Mail:
    usual: dict[str, Any] = {
        "host": "localhost",
        "port": inbox.port,
        "sender": "custodian@example.com",
        "security": "starttls",
        "username": "",
        "password": "",
        "to": {"alice": "alice@example.com"},
    }
    return Mail(**usual | changes)


def to_webhook(url: str) -> Receivers:
    return Receivers(webhooks=(Webhook("ops", url, SECRET),))


def to_slack(url: str) -> Receivers:
    return Receivers(slacks=(Slack("team", url),))
