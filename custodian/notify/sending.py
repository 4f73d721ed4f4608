"""How a notice gets out: one try at one receiver, within a time, and what came back.

Whoever receives is on another's machine: it may hang, send us elsewhere or answer nonsense. No try waits
longer than `SECONDS`, no redirection is followed, no answer is read beyond its status, and nothing that is
said of a failure holds a URL, for some URLs are secrets.
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal, Protocol

import aiohttp

from custodian.notify import messages, smtp
from custodian.notify.messages import Notice
from custodian.notify.receivers import Mail, Receivers, Slack, Webhook

SECONDS = 15.0  # for one try
MAILS_AT_ONCE = 4  # connections to the mail server
REFUSING = frozenset({400, 413, 422})  # this notice; whatever else is wrong may be put right
HEADERS = {"Content-Type": "application/json", "User-Agent": f"custodian/{version('custodian')}"}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a try; `said` is for people."""

    what: Literal["delivered", "failed", "refused"]  # failed: to be tried again
    said: str


class Sender(Protocol):
    async def send(self, notice: Notice) -> Result: ...


def make_senders(
    receivers: Receivers, origin: Callable[[], str], session: aiohttp.ClientSession
) -> Mapping[str, Sender]:
    """Return what sends to each receiver; the link to a request begins with `origin`."""
    found: dict[str, Sender] = {}
    for webhook in receivers.webhooks:
        found[f"webhook:{webhook.name}"] = _WebhookSender(webhook, origin, session)
    for slack in receivers.slacks:
        found[f"slack:{slack.name}"] = _SlackSender(slack, origin, session)
    if receivers.mail:
        turns = asyncio.Semaphore(MAILS_AT_ONCE)
        for person in receivers.mail.to:
            found[f"mail:{person}"] = _MailSender(receivers.mail, person, origin, turns)
    return found


def open_session() -> aiohttp.ClientSession:
    """Return what the requests are made with: no proxies, cookies or credentials of this machine."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(force_close=True, ssl=ssl.create_default_context()),
    )


# --- HTTP


@dataclass(frozen=True, slots=True)
class _WebhookSender:
    webhook: Webhook
    origin: Callable[[], str]
    session: aiohttp.ClientSession

    async def send(self, notice: Notice) -> Result:
        body = messages.webhook_body(notice, self.origin())
        seconds = int(datetime.now(UTC).timestamp())
        headers = messages.webhook_headers(self.webhook.secret, notice["id"], seconds, body)
        return await _post(self.session, self.webhook.url, body, headers)


@dataclass(frozen=True, slots=True)
class _SlackSender:
    slack: Slack
    origin: Callable[[], str]
    session: aiohttp.ClientSession

    async def send(self, notice: Notice) -> Result:
        return await _post(self.session, self.slack.url, messages.slack_body(notice, self.origin()), {})


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Result:
    try:
        async with session.post(
            url, data=body, headers=HEADERS | dict(headers), allow_redirects=False
        ) as answer:
            return judge_status(answer.status)
    except TimeoutError:
        return Result("failed", f"gave no answer within {SECONDS:.0f} s")
    except aiohttp.ClientConnectorCertificateError as error:
        reason = getattr(error.certificate_error, "verify_message", "") or "it does not fit its name"
        return Result("failed", f"its certificate is not trusted: {reason}")
    except aiohttp.ClientOSError as error:
        return Result("failed", f"cannot be reached: {_problem(error)}")
    except aiohttp.ClientError:
        return Result("failed", "did not answer as HTTP does")


def judge_status(status: int) -> Result:
    """Return what an HTTP status means for a notice."""
    if 200 <= status < 300:
        return Result("delivered", f"answered {status}")
    if 300 <= status < 400:
        return Result("failed", f"answered {status}: it points elsewhere; configure where that is")
    return Result("refused" if status in REFUSING else "failed", f"answered {status}")


def _problem(error: OSError) -> str:
    """Return the system's own words; those of asyncio and aiohttp name addresses."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or "the connection was cut"


# --- mail


@dataclass(frozen=True, slots=True)
class _MailSender:
    settings: Mail
    person: str
    origin: Callable[[], str]
    turns: asyncio.Semaphore

    async def send(self, notice: Notice) -> Result:
        message = messages.mail(notice, self.origin(), self.settings, self.person, datetime.now(UTC))
        async with self.turns:
            try:
                async with asyncio.timeout(SECONDS):
                    await smtp.send(self.settings, message)
            except TimeoutError:
                return Result("failed", f"the mail server took longer than {SECONDS:.0f} s")
            except smtp.Unexpected as error:
                return _judge_reply(error)
            except ssl.SSLError as error:
                return Result("failed", f"the mail server's TLS is not right: {_why(error)}")
            except OSError as error:
                return Result("failed", f"the mail server cannot be reached: {_problem(error)}")
        return Result("delivered", "the mail server took it")


def _judge_reply(error: smtp.Unexpected) -> Result:
    """Answered 5xx to the mail itself, a server will not take it however often we try (RFC 5321, 4.2.1)."""
    if not error.code:
        return Result("failed", f"the mail server did not answer as SMTP does ({error.step})")
    never = error.code >= 500 and error.step in ("recipient", "message")
    return Result("refused" if never else "failed", f"the mail server answered {error.code} ({error.step})")


def _why(error: ssl.SSLError) -> str:
    return str(getattr(error, "verify_message", "") or error.reason)
