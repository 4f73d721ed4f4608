"""Handing one mail to a mail server (RFC 5321), with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954).

On the event loop's own streams, so that a server that hangs is left at once, wherever in the conversation.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage

from custodian.encoding import encode_base64
from custodian.notify.receivers import Mail

MOST_LINES = 100  # of one reply


class Unexpected(Exception):
    """The server did not answer as it should have; `code` is 0 where it answered no SMTP at all."""

    def __init__(self, step: str, code: int = 0) -> None:
        super().__init__(step, code)
        self.step, self.code = step, code


@dataclass(slots=True)
class _Talk:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _clear: asyncio.StreamWriter | None = None  # kept: let go of, it would close what TLS runs on

    async def command(self, step: str, line: bytes, expected: int) -> list[bytes]:
        """Send a line and return the texts of the reply. Raises Unexpected, naming only the `step`."""
        self.writer.write(line + b"\r\n")
        return await self.reply(step, expected)

    async def reply(self, step: str, expected: int) -> list[bytes]:
        texts: list[bytes] = []
        for _ in range(MOST_LINES):
            try:
                line = await self.reader.readline()
            except ValueError:  # longer than any line of SMTP
                break
            match = re.fullmatch(rb"([2-5][0-9]{2})([ -]|(?=\r?\n))(.*?)\r?\n", line, re.DOTALL)
            if not match:
                break
            texts.append(match[3])
            if match[2] != b"-":
                if int(match[1]) != expected:
                    raise Unexpected(step, int(match[1]))
                return texts
        raise Unexpected(step)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS. What was sent in clear beyond the reply is dropped with the old reader."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self.writer.transport, protocol, context, server_hostname=host)
        if transport is None:
            raise Unexpected("STARTTLS")
        self._clear = self.writer
        self.reader, self.writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def send(settings: Mail, message: EmailMessage) -> None:
    """Hand `message` over; it is the server's when this returns.

    Raises:
        Unexpected: the server would not take it. OSError: it cannot be reached, or not safely.
    """
    context = ssl.create_default_context()
    domain = settings.sender.rpartition("@")[2].encode()
    async with _connected(settings, context) as talk:
        await talk.reply("greeting", 220)
        await talk.command("EHLO", b"EHLO " + domain, 250)
        if settings.security == "starttls":
            await talk.command("STARTTLS", b"STARTTLS", 220)
            await talk.start_tls(context, settings.host)
            await talk.command("EHLO", b"EHLO " + domain, 250)
        if settings.username:
            secret = f"\0{settings.username}\0{settings.password}".encode()
            await talk.command("login", b"AUTH PLAIN " + encode_base64(secret).encode(), 235)
        await talk.command("sender", f"MAIL FROM:<{settings.sender}>".encode(), 250)
        await talk.command("recipient", f"RCPT TO:<{message['To']}>".encode(), 250)
        await talk.command("DATA", b"DATA", 354)
        await talk.command("message", re.sub(rb"(?m)^\.", b"..", bytes(message)) + b".", 250)
        with contextlib.suppress(Unexpected, OSError):  # it was taken already
            await talk.command("QUIT", b"QUIT", 221)


@contextlib.asynccontextmanager
async def _connected(settings: Mail, context: ssl.SSLContext) -> AsyncIterator[_Talk]:
    secure = context if settings.security == "tls" else None
    talk = _Talk(*await asyncio.open_connection(settings.host, settings.port, ssl=secure))
    try:
        yield talk
    finally:
        talk.writer.transport.abort()
