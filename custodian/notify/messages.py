"""What each kind of receiver is told of a notice. Pure: values in, bytes or a mail out.

Who asks chooses the words of the reason and more. So nothing of it gets into the head of a mail, in a chat
it stands between backticks where nothing is a link, a mention or a format, and our own link comes first.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from custodian.encoding import canonical_json, encode_base64, parse_instant
from custodian.notify.receivers import Mail
from custodian.telling import count, duration, plain

Notice = Mapping[str, Any]  # what notices.py left, and for a test only id, type and timestamp
SHOWN = 5  # of the names and profiles; the page shows all
ENDINGS = {
    "answered": "enough owners have lent their share",
    "declined": "too few owners are left who could agree",
    "vetoed": "an owner stopped it",
    "expired": "its time ran out",
    "withdrawn": "it is not needed any more",
}


@dataclass(frozen=True, slots=True)
class Text:
    title: str
    lines: tuple[str, ...]


def trial(notice_id: str, timestamp: str) -> Notice:
    return {"id": notice_id, "type": "test", "timestamp": timestamp}


def link(notice: Notice, origin: str) -> str:
    return f"{origin}/requests/{_word(notice['request'])}" if "request" in notice else f"{origin}/"


# --- webhooks


def webhook_body(notice: Notice, origin: str) -> bytes:
    said = {name: value for name, value in notice.items() if name != "id"}
    return canonical_json(said | {"url": link(notice, origin)})


def webhook_headers(secret: bytes, notice_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sent `body`, at the Unix time of this try (Standard Webhooks 1)."""
    signed = b"%b.%d.%b" % (notice_id.encode(), seconds, body)
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{encode_base64(hmac.digest(secret, signed, hashlib.sha256))}",
    }


# --- words


def slack_body(notice: Notice, origin: str) -> bytes:
    text = _text(notice, _code)
    lines = [f"*{text.title}*", f"<{link(notice, origin)}|Open it in the custodian>", *text.lines]
    return canonical_json({"text": "\n".join(lines), "unfurl_links": False})


def mail(notice: Notice, origin: str, settings: Mail, person: str, now: datetime) -> EmailMessage:
    """Return the mail to `person`; those of one request form a thread."""
    text = _text(notice, plain)
    domain = settings.sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"], message["To"] = settings.sender, settings.to[person]
    message["Subject"] = f"[custodian] {_text(notice, _word).title}"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{_word(notice['id'])}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if "request" in notice:
        message["References"] = f"<{_word(notice['request'])}@{domain}>"
    message.set_content("\n\n".join([f"{text.title}.", link(notice, origin), *text.lines]) + "\n")
    return message


def _text(notice: Notice, quote: Callable[[str], str]) -> Text:
    """Return what is said in words; `quote` is put around whatever others chose."""
    if notice["type"] == "test":
        return Text("A test of the custodian's notices", ("Notices of requests will look like this.",))
    asker, key = quote(notice["asker"]), quote(notice["key"])
    if notice["type"] == "request.ended":
        ending = f"It was {notice['outcome']}: {ENDINGS[notice['outcome']]}."
        return Text(f"The request of {asker} for {key} has ended", (ending, *_asked(notice, quote)))
    still = " still" if notice["type"] == "request.reminder" else ""
    check = f"Before you agree, have {asker} read you the check words that the page shows."
    answer = f"Answer by {_moment(notice['expires'])}. {check}"
    return Text(f"{asker}{still} needs {key}", (*_asked(notice, quote), answer))


def _asked(notice: Notice, quote: Callable[[str], str]) -> list[str]:
    uses, time = count(notice["uses"], "signature"), duration(notice["seconds"])
    limits = [f"profile {_some(notice['profiles'], quote)}"] if notice["profiles"] else []
    limits += [f"names {_some(notice['names'], quote)}"] if notice["names"] else []
    wanted = f"Asked for: {uses} within {time} at the signer {quote(notice['signer'])}"
    return [
        "; ".join([wanted, *limits]) + ".",
        *([f"On behalf of: {quote(notice['on_behalf'])}"] if notice["on_behalf"] else []),
        f"Reason given: {quote(notice['reason'])}",
    ]


def _some(values: list[str], quote: Callable[[str], str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(quote, values[:SHOWN])) + more


def _moment(instant: str) -> str:
    return parse_instant(instant, "expires").strftime("%Y-%m-%d %H:%M UTC")


def _word(text: str) -> str:
    """Return what can stand in a mail's header: nothing but letters, digits and .-_"""
    return "".join(each if each.isascii() and (each.isalnum() or each in ".-_") else "?" for each in text)


def _code(text: str) -> str:
    """Return text that a chat shows as it is (Slack, "Escaping text", and no end of the backticks)."""
    inside = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")
    return f"`{inside}`"
