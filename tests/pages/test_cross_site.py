"""Pages of others, in the browser of who is signed in: they change nothing, read nothing, frame nothing.

Two strangers: one of another site, and one of another port of the same host, to whom browsers send cookies
that are `SameSite=Strict`.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from browser import Page
from page_owners import newcomer, sign_in
from running import password_of

from custodian.callers import COOKIE

STRANGERS = {"another site": "https://evil.example", "another port": "https://localhost:4443"}
REFUSED = "status of 4|CORS|ERR_|Refused|frame|MIME|EventSource|blocked|Failed to (load|fetch)|violates"
FETCHES = {
    "no-cors JSON": {"mode": "no-cors", "method": "POST", "headers": {"Content-Type": "text/plain"}},
    "no-cors form": {
        "mode": "no-cors",
        "method": "POST",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    },
    "JSON": {"method": "POST", "headers": {"Content-Type": "application/json"}},
    "text": {"method": "POST", "headers": {"Content-Type": "text/plain"}},
    "kept alive": {"mode": "no-cors", "method": "POST", "keepalive": True},
}


READ = ("/me", "/requests", "/history", "/live")


@pytest.fixture
async def alice(browser, world, site):
    """The page of somebody who is signed in."""
    page = await (await browser.person()).page()
    await sign_in(page, world, site, "alice")
    await page.goto(f"{site}/requests")
    return page


@dataclass
class Stranger:
    """A page of a stranger, and what came of the requests it made, whether or not it may know."""

    tab: Page
    site: str
    urls: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, bool] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)

    def hear(self, event: str, said: dict[str, Any]) -> None:
        number = said.get("requestId", "")
        if event == "Network.requestWillBeSent":
            self.urls[number] = said["request"]["url"]
        elif event == "Network.requestWillBeSentExtraInfo":
            self.cookies[number] = COOKIE in said["headers"].get("cookie", said["headers"].get("Cookie", ""))
        elif event == "Network.responseReceivedExtraInfo":
            self.statuses.setdefault(number, []).append(said["statusCode"])

    @property
    def answered(self) -> list[tuple[int, str, bool]]:
        """What we answered: the status, the path, whether the cookie was there."""
        return [
            (status, self.urls[number].removeprefix(self.site), self.cookies.get(number, False))
            for number, statuses in self.statuses.items()
            for status in statuses
            if self.urls.get(number, "").startswith(self.site) and "/static/" not in self.urls[number]
        ]

    @property
    def got_through(self) -> list[tuple[int, str, bool]]:
        return [each for each in self.answered if each[0] < 400]


async def visit(page: Page, site: str, origin: str, html: str = "<body>") -> Stranger:
    """Open a page of a stranger in another tab of the same person; nobody has to serve what it says."""
    tab = await page.person.page()
    tab.expect(REFUSED)
    stranger, before = Stranger(tab, site), tab.hear

    def hear(event: str, said: dict[str, Any]) -> None:
        if event == "Fetch.requestPaused":
            tab.later(
                tab.send(
                    "Fetch.fulfillRequest",
                    requestId=said["requestId"],
                    responseCode=200,
                    responseHeaders=[{"name": "Content-Type", "value": "text/html"}],
                    body=base64.b64encode(f"<!doctype html>{html}".encode()).decode(),
                )
            )
        stranger.hear(event, said)
        before(event, said)

    tab.connection.listeners[tab.session] = hear
    await tab.send("Fetch.enable", patterns=[{"urlPattern": f"{origin}/*"}])
    await tab.goto(f"{origin}/")
    return stranger


def ask(world: Any) -> str:
    asked = {"key": "ca", "signer": "ca-1", "uses": 2, "duration": "15m", "reason": "work"}
    return str(world.signer.call("POST", "/requests", asked).ok()["id"])


def changes(world: Any) -> dict[str, str]:
    """Return what a session alone may do, ready to be done."""
    request, delegation = ask(world), world.lend("alice")[0]
    return {
        f"POST /requests/{request}/decline": json.dumps({"reason": "no"}),
        f"POST /requests/{request}/veto": json.dumps({"reason": "no"}),
        f"POST /requests/{request}/remind": "",
        "POST /requests": json.dumps(
            {"key": "ca", "signer": "ca-1", "uses": 1, "duration": "1h", "reason": "evil"}
        ),
        f"DELETE /delegations/{delegation}": "",
        "DELETE /sessions": "",
    }


@pytest.mark.parametrize("origin", STRANGERS.values(), ids=STRANGERS)
async def test_no_fetch_of_a_stranger_changes_or_reads_anything(world, site, alice, origin):
    wanted = changes(world)
    called = [call.split(" ")[1] for call in wanted]
    stranger = await visit(alice, site, origin)
    tab, size = stranger.tab, world.size()
    for call, body in wanted.items():
        verb, path = call.split(" ")
        for options in FETCHES.values():
            method = {"method": verb} if options.get("mode") != "no-cors" else {}
            how = options | method | {"credentials": "include", "body": body or None}
            url = f"{site}/api/v1{path}"
            await tab.js("(url, how) => fetch(url, how).then(() => 1, () => 0)", url, how)
        await tab.js("(url, body) => navigator.sendBeacon(url, body)", f"{site}/api/v1{path}", body)
    for path in READ:
        for mode in ("no-cors", "cors"):
            how = {"mode": mode, "credentials": "include"}
            read = "(url, how) => fetch(url, how).then(r => r.text(), () => '')"
            assert await tab.js(read, f"{site}/api/v1{path}", how) == ""
    assert stranger.got_through == []
    arrived = {(path, cookie) for _, path, cookie in stranger.answered}
    assert {path for path, _ in arrived} == {f"/api/v1{path}" for path in (*called, *READ)}
    assert any(cookie for _, cookie in arrived) == (origin == STRANGERS["another port"])
    assert world.size() == size
    assert await alice.js("fetch('/api/v1/me').then((answer) => answer.status)") == 200


@pytest.mark.parametrize("origin", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_no_form_of_a_stranger_changes_anything(world, site, alice, origin, kind):
    send = """(url, kind) => {
        const [form, field] = [document.createElement("form"), document.createElement("input")];
        Object.assign(form, { action: url, method: "post", enctype: kind });
        [field.name, field.value] = ['{"reason":"no","x":"', '"}'];
        form.append(field);
        document.body.append(form);
        form.submit();
    }"""
    targets = [f"/api/v1{call.split(' ')[1]}" for call in changes(world)]
    size = world.size()
    for path in (*targets, "/sign-out", "/sign-in"):
        stranger = await visit(alice, site, origin)
        await stranger.tab.js(send, site + path, kind)
        await stranger.tab.until("site => location.href.startsWith(site)", site)
        assert stranger.got_through == []
        assert path in {each[1] for each in stranger.answered}
        await stranger.tab.close()
    assert world.size() == size
    assert await alice.js("fetch('/api/v1/me').then((answer) => answer.status)") == 200


@pytest.mark.parametrize("origin", STRANGERS.values(), ids=STRANGERS)
async def test_nothing_of_ours_is_part_of_a_page_of_a_stranger(world, site, alice, origin):
    """Frames (so no click can be stolen), scripts, pictures, styles, streams, windows."""
    stranger = await visit(
        alice,
        site,
        origin,
        f"""<link rel=stylesheet href={site}/api/v1/me><script src={site}/api/v1/me></script>
        <img src={site}/api/v1/history/export?format=csv><iframe src={site}/requests></iframe>
        <iframe src={site}/api/v1/me></iframe><object data={site}/me></object><embed src={site}/me>""",
    )
    tab = stranger.tab
    await tab.js(
        """(url) => new Promise((done) => {
            const stream = new EventSource(url, { withCredentials: true });
            stream.onerror = () => { stream.close(); done(); };
            stream.onopen = () => { document.title = "reads"; done(); };
        })""",
        f"{site}/api/v1/live",
    )
    assert await tab.js("document.title") == ""
    frames = (await tab.send("Page.getFrameTree"))["frameTree"].get("childFrames", [])
    assert [each["frame"]["url"] for each in frames if each["frame"]["url"].startswith(site)] == []
    assert len([error for error in tab.errors if "frame-ancestors" in error]) >= 2
    assert {"/api/v1/live", "/requests", "/me"} <= {path for _, path, _ in stranger.answered}
    shown = await tab.js(
        """async (url) => {
            const other = open(url);
            await new Promise((done) => setTimeout(done, 500));
            try { return String(other.document?.body?.textContent ?? "") } catch { return "" }
        }""",
        f"{site}/requests",
    )
    assert "alice" not in shown


async def test_what_a_browser_does_for_our_own_page_it_does(world, site, alice):
    """The refusals above are not of everybody: the same calls, from a page of ours, are answered."""
    request = ask(world)
    decline = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": '{"reason":"no"}'}
    call = "(url, how) => fetch(url, how).then((answer) => answer.status)"
    assert await alice.js(call, f"/api/v1/requests/{request}/decline", decline) == 200
    alice.expect("status of 415")
    plain = decline | {"headers": {"Content-Type": "text/plain"}}
    assert await alice.js(call, f"/api/v1/requests/{request}/decline", plain) == 415


async def test_the_cookie_of_a_session_is_for_this_site_and_for_no_script(page, world, site):
    await page.goto(f"{site}/sign-in")
    await page.type("#name", "alice")
    await page.type("#password", password_of("alice"))
    await page.press("Enter")
    await page.until("location.pathname !== '/sign-in' && document.readyState === 'complete'")
    (cookie,) = await page.cookies()
    assert cookie["name"] == COOKIE == "__Host-custodian"
    assert (cookie["domain"], cookie["path"], cookie["sameSite"]) == ("localhost", "/", "Strict")
    assert cookie["secure"]
    assert cookie["httpOnly"]
    assert await page.js("document.cookie") == ""
    stored = await page.js("[...Object.entries(localStorage), ...Object.entries(sessionStorage)]")
    assert cookie["value"] not in json.dumps(stored)
    await page.click("form[action='/sign-out'] button")
    await page.shows("You are signed out")
    assert await page.cookies() == []
    old = f"Bearer {cookie['value']}"
    assert world.daemon.call("GET", "/me", authorization=old).status == 401


BY_PASSWORD = """(m, password) => m.call("POST", "/delegations",
    { key: "ca", signer: "ca-1", uses: 1, duration: "1h" }, { authorization: m.basic("alice", password) })"""


async def test_no_secret_is_in_an_address_or_a_log(browser, world, site):
    owner = await newcomer(browser, world, site)
    code = world.invite("owner", owner.name)
    await owner.enrol(code=code)
    await owner.sign_in_by_passkey()
    tokens = [each["value"] for each in await owner.page.cookies()]
    await sign_in(owner.page, world, site, "alice")
    await owner.run("api", BY_PASSWORD, password_of("alice"))
    tokens += [each["value"] for each in await owner.page.cookies()]
    seeds = [re.search("seed: (.*)", file)[1] for file in owner.files]
    secrets = [code, *tokens, *seeds, password_of("alice"), world.signer.token]
    log = world.daemon.log.read_text()
    sent = [f"{each.url} {each.headers.get('Referer', '')}" for each in owner.page.sent]
    assert len(secrets) == 6
    assert [each for each in secrets if any(each in text for text in (log, *sent))] == []
    assert [each.url for each in owner.page.sent if "?" in each.url and "next=" not in each.url] == []
