"""Receivers are told, each in its form and provably by us; what they answer is judged, and nothing else."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from examples import NOW
from inbox import (
    SECRET,
    Certificate,
    MailInbox,
    WebInbox,
    certificate,
    eventually,
    mail_inbox,
    mail_to,
    to_slack,
    to_webhook,
    web_inbox,
)

from custodian.notify import messages, sending
from custodian.notify.receivers import Receivers
from custodian.notify.sending import Result, judge_status, make_senders, open_session

ORIGIN = "https://custodian.test"
NOTICE: dict[str, Any] = {
    "id": "n-00112233445566778899aabb",
    "type": "request.made",
    "timestamp": "2026-11-23T12:00:00Z",
    "request": "r-0123456789ab",
    "key": "ca",
    "signer": "ca-1",
    "asker": "carol",
    "on_behalf": "",
    "reason": "renew www",
    "uses": 3,
    "seconds": 5400,
    "names": ["www.example.com"],
    "profiles": ["server"],
    "expires": "2026-11-24T12:00:00Z",
    "outcome": "",
}


async def send(receivers: Receivers, **changes: Any) -> Result:
    """Try one notice at the one receiver."""
    async with open_session() as session:
        (sender,) = make_senders(receivers, lambda: ORIGIN, session).values()
        return await sender.send(NOTICE | changes)


# -- webhooks


async def test_a_webhook_is_signed_as_standard_webhooks_says(web: WebInbox) -> None:
    """Computed here from RFC 2104 and the specification, with nothing of ours."""
    assert (await send(to_webhook(f"{web.url}/hook"))).what == "delivered"
    (post,) = web.posts
    head = {name.lower(): value for name, value in post.headers.items()}
    assert head["content-type"] == "application/json"
    signed = head["webhook-id"].encode() + b"." + head["webhook-timestamp"].encode() + b"." + post.body
    inner = hashlib.sha256(bytes(each ^ 0x36 for each in SECRET.ljust(64, b"\0")) + signed).digest()
    outer = hashlib.sha256(bytes(each ^ 0x5C for each in SECRET.ljust(64, b"\0")) + inner).digest()
    assert head["webhook-signature"] == "v1," + base64.b64encode(outer).decode()
    assert head["webhook-id"] == NOTICE["id"]
    assert abs(int(head["webhook-timestamp"]) - time.time()) < 60


def test_the_signature_is_the_one_of_another_implementation() -> None:
    """The vector of the Standard Webhooks reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = messages.webhook_headers(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_document_is_true() -> None:
    text = (Path(__file__).parent.parent / "docs" / "notifications.md").read_text()
    (secret,) = re.findall(r"`whsec_(\S+)`\)", text)
    told = dict(re.findall(r"^webhook-(\w+): (\S+)$", text, re.MULTILINE))
    (body,) = re.findall(r'^\{"asker".*\}$', text, re.MULTILINE)
    signed = f"{told['id']}.{told['timestamp']}.{body}".encode()
    expected = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
    assert told["signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert json.loads(body).keys() == json.loads(messages.webhook_body(NOTICE, ORIGIN)).keys()


async def test_a_webhook_says_what_is_asked_and_where_to_answer(web: WebInbox) -> None:
    await send(to_webhook(web.url))
    said = json.loads(web.posts[0].body)
    assert said == {name: value for name, value in NOTICE.items() if name != "id"} | {
        "url": "https://custodian.test/requests/r-0123456789ab"
    }


async def test_a_webhook_over_tls_goes_to_who_has_a_certificate_we_trust(trusted: Certificate) -> None:
    async with web_inbox(trusted) as inbox:
        assert (await send(to_webhook(inbox.url))).what == "delivered"


async def test_nothing_is_told_to_who_has_another_certificate(tmp_path: Path, trusted: Certificate) -> None:
    other = certificate(tmp_path)
    async with web_inbox(other) as inbox:
        result = await send(to_webhook(inbox.url))
        assert (result.what, inbox.posts) == ("failed", [])
        assert "its certificate is not trusted: self-signed certificate" in result.said


async def test_no_redirection_is_followed(web: WebInbox) -> None:
    web.answers = [302]
    result = await send(to_webhook(web.url))
    assert (result.what, len(web.posts)) == ("failed", 1)
    assert "points elsewhere" in result.said


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (301, "failed"),
        (400, "refused"),
        (401, "failed"),
        (404, "failed"),
        (413, "refused"),
        (422, "refused"),
        (429, "failed"),
        (500, "failed"),
        (503, "failed"),
    ],
)
def test_what_a_status_means(status: int, what: str) -> None:
    assert judge_status(status).what == what


async def test_whoever_hangs_has_so_many_seconds(web: WebInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    web.hangs = True
    result = await send(to_webhook(web.url))
    assert (result.what, "no answer" in result.said) == ("failed", True)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX" + b"x" * 100_000])
async def test_whatever_is_answered_is_a_result_and_says_no_url(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    result = await send(to_slack(f"http://127.0.0.1:{port}/T00/very-secret"))
    assert result.what == "failed"
    assert "secret" not in result.said
    server.close()
    await server.wait_closed()
    gone = await send(to_slack(f"http://127.0.0.1:{port}/T00/very-secret"))
    assert (gone.what, gone.said) == ("failed", "cannot be reached: Connection refused")


# -- Slack

ASKED = (
    "Asked for: 3 signatures within 1h30m at the signer `ca-1`; profile `server`; names `www.example.com`."
)
CHECK = "Before you agree, have `carol` read you the check words that the page shows."


async def test_a_chat_is_told_in_words_with_the_link(web: WebInbox) -> None:
    assert (await send(to_slack(web.url))).what == "delivered"
    said = json.loads(web.posts[0].body)
    assert said["text"].splitlines() == [
        "*`carol` needs `ca`*",
        "<https://custodian.test/requests/r-0123456789ab|Open it in the custodian>",
        ASKED,
        "Reason given: `renew www`",
        f"Answer by 2026-11-24 12:00 UTC. {CHECK}",
    ]


HOSTILE = (
    "<!channel> <https://evil.test|click> <@U1>",
    "`*bold*` `` ` <!here>",
    "&lt;!channel&gt;",
    "a\r\nBcc: all@example.com\r\n\r\nb\x00\x1b[2J\u202e",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_others_are_only_words_in_a_chat(text: str) -> None:
    fields: dict[str, Any] = {"reason": text, "on_behalf": text, "asker": text, "key": text, "signer": text}
    said = json.loads(messages.slack_body(NOTICE | fields | {"names": [text], "profiles": [text]}, ORIGIN))
    lines = said["text"].splitlines()
    assert len(lines) == 6
    for line in lines:
        outside = line.split("`")[::2]
        assert line.count("`") % 2 == 0
        assert not any(each in part for part in outside for each in ("evil", "!", "@", "bold", "Bcc", "&")), (
            line
        )
        inside = "".join(line.split("`")[1::2])
        assert "<" not in inside
        assert ">" not in inside


# -- mail


async def test_a_mail_says_what_is_asked_and_where_to_answer(smtp: MailInbox) -> None:
    assert (await send(Receivers(mail=mail_to(smtp)))).what == "delivered"
    (taken,) = smtp.taken
    assert (taken.sender, taken.recipient) == ("FROM:<custodian@example.com>", "TO:<alice@example.com>")
    assert taken.secure
    assert taken.mail["Subject"] == "[custodian] carol needs ca"
    assert taken.mail["Message-ID"] == "<n-00112233445566778899aabb@example.com>"
    assert taken.mail["References"] == "<r-0123456789ab@example.com>"
    assert taken.mail["Auto-Submitted"] == "auto-generated"
    paragraphs = taken.text.split("\n\n")
    assert paragraphs[:2] == ["carol needs ca.", "https://custodian.test/requests/r-0123456789ab"]
    assert "Reason given: renew www" in paragraphs


async def test_the_asker_reads_how_it_ended(smtp: MailInbox) -> None:
    await send(Receivers(mail=mail_to(smtp)), type="request.ended", outcome="vetoed")
    assert smtp.taken[0].mail["Subject"] == "[custodian] The request of carol for ca has ended"
    assert "It was vetoed: an owner stopped it." in smtp.taken[0].text


@pytest.mark.parametrize("text", [*HOSTILE, ".", "..\r\n.\r\nMAIL FROM:<x@y>"])
async def test_words_of_others_make_no_header_recipient_or_end_of_a_mail(smtp: MailInbox, text: str) -> None:
    fields = dict.fromkeys(("reason", "on_behalf", "asker", "key", "signer", "request"), text)
    assert (await send(Receivers(mail=mail_to(smtp)), **fields)).what == "delivered"
    (taken,) = smtp.taken
    assert taken.mail.keys() == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "References",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    ]
    assert [each.split(":")[0] for each in smtp.commands if each.startswith(("MAIL", "RCPT"))] == [
        "MAIL FROM",
        "RCPT TO",
    ]
    assert "\x1b" not in taken.text
    assert max(map(len, taken.raw.splitlines())) < 998


async def test_a_line_that_is_a_dot_is_part_of_the_mail(smtp: MailInbox) -> None:
    message = messages.mail(NOTICE, ORIGIN, mail_to(smtp), "alice", NOW)
    message.set_content("one\n.\n..two\n.three\n")
    await sending.smtp.send(mail_to(smtp), message)
    assert smtp.taken[0].text == "one\n.\n..two\n.three\n"


async def test_a_password_is_given_over_tls_only(trusted: Certificate, smtp: MailInbox) -> None:
    account = {"username": "custodian", "password": "hunter2"}
    expected = "PLAIN " + base64.b64encode(b"\0custodian\0hunter2").decode()
    await send(Receivers(mail=mail_to(smtp, **account)))
    assert (smtp.taken[0].login, smtp.taken[0].secure) == (expected, True)
    async with mail_inbox(trusted, wrapped=True) as wrapped:
        await send(Receivers(mail=mail_to(wrapped, security="tls", **account)))
        assert (wrapped.taken[0].login, wrapped.taken[0].secure) == (expected, True)


async def test_a_server_without_starttls_gets_neither_mail_nor_password(smtp: MailInbox) -> None:
    smtp.tls = None
    smtp.refuse = {"STARTTLS": "502 no"}
    result = await send(Receivers(mail=mail_to(smtp, username="custodian", password="hunter2")))
    assert (result.what, result.said) == ("failed", "the mail server answered 502 (STARTTLS)")
    assert [each.split()[0] for each in smtp.commands] == ["EHLO", "STARTTLS"]


async def test_a_server_with_another_certificate_gets_nothing(tmp_path: Path, trusted: Certificate) -> None:
    async with mail_inbox(certificate(tmp_path)) as inbox:
        result = await send(Receivers(mail=mail_to(inbox, username="custodian", password="hunter2")))
        assert (result.what, inbox.taken) == ("failed", [])
        assert "TLS is not right: self-signed certificate" in result.said
        assert [each.split()[0] for each in inbox.commands] == ["EHLO", "STARTTLS"]


async def test_what_is_said_in_clear_is_not_taken_for_an_answer_in_tls(smtp: MailInbox) -> None:
    """Somebody in between adds replies behind that to STARTTLS, so that what follows is misread."""
    smtp.inject = b"250 injected\r\n" * 8
    result = await send(Receivers(mail=mail_to(smtp)))
    assert result.what == "delivered"
    assert smtp.taken[0].secure


@pytest.mark.parametrize(
    ("refuse", "what"),
    [
        ({"RCPT": "550 nobody"}, "refused"),
        ({"RCPT": "451 later"}, "failed"),
        ({"message": "554 spam"}, "refused"),
        ({"message": "452 full"}, "failed"),
        ({"MAIL": "530 log in first"}, "failed"),
        ({"EHLO": "421 busy"}, "failed"),
        ({"RCPT": "not SMTP"}, "failed"),
        ({"RCPT": "250-" + "x" * 100_000}, "failed"),
        ({"RCPT": "\r\n".join(["250-more"] * 200)}, "failed"),
    ],
)
async def test_what_a_mail_server_refuses_for_good_and_what_not(
    smtp: MailInbox, refuse: dict[str, str], what: str
) -> None:
    smtp.refuse = refuse
    assert (await send(Receivers(mail=mail_to(smtp)))).what == what
    assert smtp.taken == []


async def test_a_mail_server_that_hangs_has_so_many_seconds(
    smtp: MailInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    smtp.hangs = True
    result = await send(Receivers(mail=mail_to(smtp)))
    assert (result.what, "took longer" in result.said) == ("failed", True)
    await eventually(lambda: smtp.talking == 0)
