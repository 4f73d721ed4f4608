"""Receivers are told, each in its form, provably by us, and none of them can hold anything up."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from bench import Bench
from click.testing import CliRunner
from examples import NOW
from inbox import Certificate, MailInbox, WebInbox, certificate, eventually, mail_inbox, web_inbox
from running import World, make_daemon, populate

from custodian.__main__ import main
from custodian.config import read_settings
from custodian.errors import BadInput
from custodian.notices import About, set_receivers, tell, waiting
from custodian.notify import delivery, messages, sending
from custodian.notify.receivers import Mail, Receivers, Slack, Webhook
from custodian.notify.sending import Result, judge_status, make_senders, open_session
from custodian.terms import Constraints

P = ParamSpec("P")
R = TypeVar("R")
SECRET = bytes(range(32))
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


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificate]:
    """A certificate for localhost, which this process and those it starts trust."""
    made = certificate(tmp_path_factory.mktemp("receiver"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(made.path))
        yield made


@pytest.fixture
async def web() -> AsyncIterator[WebInbox]:
    async with web_inbox() as inbox:
        yield inbox


@pytest.fixture
async def smtp(trusted: Certificate) -> AsyncIterator[MailInbox]:
    async with mail_inbox(trusted) as inbox:
        yield inbox


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


async def send(receivers: Receivers, **changes: Any) -> Result:
    """Try one notice at the one receiver."""
    async with open_session() as session:
        (sender,) = make_senders(receivers, lambda: ORIGIN, session).values()
        return await sender.send(NOTICE | changes)


def to_webhook(url: str) -> Receivers:
    return Receivers(webhooks=(Webhook("ops", url, SECRET),))


def to_slack(url: str) -> Receivers:
    return Receivers(slacks=(Slack("team", url),))


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


# -- delivery


class Desk:
    """The part of the service that deliveries use, over a store in this process."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.listeners: list[Callable[[], None]] = []

    async def change(self, step: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self.bench.do(step, *args, **kwargs)

    async def look(self, step: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self.bench.look(step, *args, **kwargs)

    def tell(self, reason: str = "renew www") -> None:
        made = About(
            request="r-0123456789ab",
            key="ca",
            signer="ca-1",
            asker="carol",
            on_behalf="",
            reason=reason,
            uses=3,
            seconds=5400,
            constraints=Constraints(),
            expires=self.bench.clock.now + timedelta(days=1),
            owners=("alice", "bob"),
        )
        self.bench.do(tell, "made", made)
        for listener in self.listeners:
            listener()


@contextlib.asynccontextmanager
async def delivering(bench: Bench, receivers: Receivers) -> AsyncIterator[Desk]:
    desk = Desk(bench)
    bench.do(set_receivers, receivers.people)
    async with open_session() as session:
        senders = make_senders(receivers, lambda: ORIGIN, session)
        task = asyncio.create_task(delivery.Delivery(desk, senders).run())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        try:
            yield desk
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert desk.listeners == []


def reasons(web: WebInbox) -> list[str]:
    return [json.loads(post.body)["reason"] for post in web.posts]


async def test_what_is_told_is_delivered_once_and_in_order(bench: Bench, web: WebInbox) -> None:
    async with delivering(bench, to_webhook(web.url)) as desk:
        for number in range(5):
            desk.tell(str(number))
        await eventually(lambda: len(web.posts) == 5)
        await asyncio.sleep(0.1)
    assert reasons(web) == ["0", "1", "2", "3", "4"]
    assert bench.look(waiting) == []


async def test_one_that_fails_is_sent_again_before_later_ones_with_the_same_id(
    bench: Bench, web: WebInbox, caplog: pytest.LogCaptureFixture
) -> None:
    web.answers = [500, 503]
    async with delivering(bench, to_webhook(f"{web.url}/very-secret")) as desk:
        for number in range(2):
            desk.tell(str(number))
        for tries in range(2):
            await eventually(lambda tries=tries: len(web.posts) == tries + 1)
            await eventually(lambda: not bench.look(waiting))
            bench.clock.advance(minutes=1)
            for listener in desk.listeners:
                listener()
        await eventually(lambda: len(web.posts) == 4)
    assert reasons(web) == ["0", "0", "0", "1"]
    ids = [post.headers["webhook-id"] for post in web.posts]
    assert (len(set(ids[:3])), len(set(ids))) == (1, 2)
    assert "webhook:ops: answered 500; next try in" in caplog.text
    assert "secret" not in caplog.text


async def test_one_that_is_refused_for_good_is_dropped_and_the_next_goes_out(
    bench: Bench, web: WebInbox, caplog: pytest.LogCaptureFixture
) -> None:
    web.answers = [422]
    async with delivering(bench, to_webhook(web.url)) as desk:
        desk.tell("0")
        desk.tell("1")
        await eventually(lambda: len(web.posts) == 2)
    assert reasons(web) == ["0", "1"]
    assert "answered 422; dropped" in caplog.text


async def test_what_was_not_out_when_the_daemon_stopped_goes_out_after_the_next_start(
    bench: Bench, web: WebInbox
) -> None:
    web.hangs = True
    async with delivering(bench, to_webhook(web.url)) as desk:
        desk.tell()
        await eventually(lambda: len(web.posts) == 1)
    web.hangs = False
    async with delivering(bench, to_webhook(web.url)):
        await eventually(lambda: len(web.posts) == 2)
    assert web.posts[0].headers["webhook-id"] == web.posts[1].headers["webhook-id"]


async def test_a_receiver_that_hangs_delays_no_other(bench: Bench, web: WebInbox, smtp: MailInbox) -> None:
    smtp.hangs = True
    async with web_inbox() as stuck:
        stuck.hangs = True
        receivers = Receivers(
            webhooks=(Webhook("stuck", stuck.url, SECRET), Webhook("ops", web.url, SECRET)),
            slacks=(Slack("team", web.url),),
            mail=mail_to(smtp),
        )
        async with delivering(bench, receivers) as desk:
            for number in range(3):
                desk.tell(str(number))
            await eventually(lambda: len(web.posts) == 6, 2)
            assert len(stuck.posts) == 1


# -- configuration

WEBHOOK = '[[notify.webhook]]\nname = "ops"\nurl = "{url}"\nsecret_file = "ops.secret"\n'
SLACK = '[[notify.slack]]\nname = "team"\nurl_file = "team.url"\n'
SMTP = '[notify.smtp]\nhost = "{host}"\nfrom = "custodian@example.com"\n'
SMTP += 'to = {{ alice = "alice@example.com" }}\n'


def private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    private(tmp_path / "ops.secret", f"whsec_{base64.b64encode(SECRET).decode()}\n")
    private(tmp_path / "team.url", "https://hooks.example.com/services/very-secret\n")
    private(tmp_path / "mail.password", "hunter2\n")
    return tmp_path


def configured(directory: Path, text: str) -> Receivers:
    (directory / "custodian.toml").write_text(text)
    return read_settings(directory / "custodian.toml").receivers


def test_a_configuration_names_its_receivers(files: Path) -> None:
    text = WEBHOOK.format(url="https://ops.example.com/x") + SLACK
    text += SMTP.format(host="mail.example.com") + 'username = "c"\npassword_file = "mail.password"\n'
    receivers = configured(files, text)
    assert receivers.people == {"webhook:ops": "", "slack:team": "", "mail:alice": "alice"}
    assert receivers.webhooks[0].secret == SECRET
    assert receivers.mail is not None
    assert receivers.mail.password == "hunter2"
    assert not any(word in repr(receivers) for word in ("very-secret", "hunter2", repr(SECRET)))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (WEBHOOK.format(url="http://ops.example.com/x"), "notify.webhook.url: must be https"),
        (WEBHOOK.format(url="https://u:very-secret@ops.example.com/x"), "notify.webhook.url: must be like"),
        (WEBHOOK.format(url="ops.example.com"), "notify.webhook.url: must be like"),
        (WEBHOOK.format(url="https://[::1/x"), "notify.webhook.url: is not a URL"),
        (WEBHOOK.format(url="https://x.test:99999/"), "notify.webhook.url: is not a URL"),
        (WEBHOOK.format(url="https://x.test/") * 2, "notify.webhook.name: ops is there twice"),
        (WEBHOOK.format(url="https://x.test/").replace('"ops"', '"Ops!"'), "notify.webhook.name: must be"),
        (WEBHOOK.format(url="https://x.test/").replace("ops.sec", "team.url"), "cannot be read"),
        (WEBHOOK.format(url="https://x.test/").replace("ops.secret", "team.url"), "must be whsec_ and"),
        (SLACK.replace("team.url", "mail.password"), "must be like https://host/path"),
        (SLACK + 'colour = "red"\n', "notify.slack.0.colour: there is no such setting"),
        (SMTP.format(host="mail.example.com") + 'security = "none"\n', "may be none on this host only"),
        (SMTP.format(host="mail.example.com") + 'username = "c"\n', "and username belong together"),
        (SMTP.format(host="m").replace("alice@", "alice@x, b@"), "notify.smtp.to.alice: must be one mail"),
        (SMTP.format(host="m").replace("custodian@", "C <c@"), "notify.smtp.from: must be one mail"),
        (SMTP.format(host="m") + "port = 0\n", "notify.smtp.port: input should be greater"),
        (SMTP.format(host="m") + 'security = "maybe"\n', "notify.smtp.security: input should be"),
    ],
)
def test_a_receiver_that_cannot_be_is_refused_at_the_start(files: Path, text: str, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        configured(files, text)
    assert named in refused.value.detail
    assert "very-secret" not in refused.value.detail


def test_a_secret_that_others_can_read_is_refused(files: Path) -> None:
    (files / "ops.secret").chmod(stat.S_IRUSR | stat.S_IRGRP)
    with pytest.raises(BadInput, match="can be read by others"):
        configured(files, WEBHOOK.format(url="https://x.test/"))


# -- the command


async def notify_test(*args: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["notify", "test", *args])
    return result.exit_code, result.output


async def test_the_command_says_what_came_back_from_each(files: Path, web: WebInbox) -> None:
    text = WEBHOOK.format(url=web.url) + SLACK
    private(files / "team.url", "http://127.0.0.1:1/very-secret")
    (files / "custodian.toml").write_text(text)
    status, output = await notify_test("--dir", str(files))
    assert status == 1
    assert output.splitlines() == [
        "webhook:ops: delivered: answered 204",
        "slack:team: failed: cannot be reached: Connection refused",
    ]
    assert json.loads(web.posts[0].body)["type"] == "test"
    assert await notify_test("--dir", str(files), "webhook:ops") == (0, output.splitlines()[0] + "\n")
    status, output = await notify_test("--dir", str(files), "mail:bob")
    assert (status, "there is no receiver mail:bob; there are: webhook:ops, slack:team" in output) == (
        1,
        True,
    )


async def test_the_command_says_when_nobody_is_told(files: Path) -> None:
    (files / "custodian.toml").write_text("")
    status, output = await notify_test("--dir", str(files))
    assert (status, "nobody is told" in output) == (1, True)


# -- the daemon


@pytest.fixture
async def told(
    tmp_path: Path, trusted: Certificate, smtp: MailInbox
) -> AsyncIterator[tuple[World, WebInbox, WebInbox]]:
    """A running custodian that tells a webhook over TLS, one that hangs, and alice by mail."""
    async with web_inbox(trusted) as inbox, web_inbox() as stuck:
        stuck.hangs = True

        def start() -> World:
            directory = tmp_path / "state"
            daemon = make_daemon(directory)
            private(directory / "ops.secret", f"whsec_{base64.b64encode(SECRET).decode()}")
            text = WEBHOOK.format(url=inbox.url) + WEBHOOK.format(url=stuck.url).replace('"ops"', '"stuck"')
            text += SMTP.format(host="localhost") + f"port = {smtp.port}\n"
            with (directory / "custodian.toml").open("a") as config:
                config.write(text)
            return populate(World(daemon.start()))

        world = await asyncio.to_thread(start)
        yield world, inbox, stuck
        await asyncio.to_thread(world.daemon.stop)


ASK = {"key": "ca", "signer": "ca-1", "uses": 2, "duration": "1h", "reason": "renew www"}


async def test_who_is_concerned_is_told_and_nobody_waits_for_a_receiver_that_hangs(
    told: tuple[World, WebInbox, WebInbox], smtp: MailInbox
) -> None:
    world, inbox, stuck = told

    def ask() -> Any:
        return world.person("carol", "POST", "/requests", ASK).ok()

    def lease() -> list[float]:
        world.lend("alice", "bob", request=request["id"])
        times = []
        for _ in range(10):
            start = time.perf_counter()
            world.signer.ask().ok()
            times.append(time.perf_counter() - start)
        return times

    request = await asyncio.to_thread(ask)
    await eventually(lambda: inbox.posts and stuck.posts and smtp.taken)
    made = json.loads(inbox.posts[0].body)
    assert (made["type"], made["request"], made["asker"]) == ("request.made", request["id"], "carol")
    assert made["url"].startswith("https://localhost:")
    assert not any(word in inbox.posts[0].body.decode() for word in request["words"])
    assert smtp.taken[0].recipient == "TO:<alice@example.com>"
    times = await asyncio.to_thread(lease)
    assert max(times) < 1
    await eventually(lambda: len(inbox.posts) == 2)
    ended = json.loads(inbox.posts[1].body)
    assert (ended["type"], ended["outcome"]) == ("request.ended", "answered")
    assert len(stuck.posts) == 1
    metrics = (await asyncio.to_thread(world.daemon.call, "GET", "/metrics", root="")).body.decode()
    assert 'custodian_notices_total{receiver="webhook:ops",result="delivered"} 2.0' in metrics


async def test_the_daemon_stops_at_once_while_a_receiver_hangs_and_tells_it_after_the_next_start(
    told: tuple[World, WebInbox, WebInbox],
) -> None:
    world, _, stuck = told
    await asyncio.to_thread(lambda: world.person("carol", "POST", "/requests", ASK).ok())
    await eventually(lambda: stuck.posts)
    start = time.monotonic()
    assert await asyncio.to_thread(world.daemon.stop) == 0
    assert time.monotonic() - start < 3
    stuck.hangs = False
    await asyncio.to_thread(world.daemon.start)
    await eventually(lambda: len(stuck.posts) == 2)
    assert "whsec" not in world.daemon.log.read_text()
