"""Notices go out in order whatever a receiver does; receivers are configured, tried, told by the daemon."""

import asyncio
import base64
import contextlib
import json
import stat
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from bench import Bench
from click.testing import CliRunner
from inbox import SECRET, Certificate, MailInbox, WebInbox, eventually, mail_to, to_webhook, web_inbox
from running import World, make_daemon, populate

from custodian.__main__ import main
from custodian.config import read_settings
from custodian.errors import BadInput
from custodian.notices import About, set_receivers, tell, waiting
from custodian.notify import delivery
from custodian.notify.receivers import Receivers, Slack, Webhook
from custodian.notify.sending import make_senders, open_session
from custodian.terms import Constraints

P = ParamSpec("P")
R = TypeVar("R")
ORIGIN = "https://custodian.test"


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
