"""Markup and scripts in every field that a page shows: shown as text, and nothing of it runs."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from attacks import CORPUS, SINKS, TOOLS, UNICODE, watch
from blank import serving
from browser import Page
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from devtools import BrowserError
from page_owners import NUMBERS, by_password
from running import World

from custodian.encoding import encode_base64

REFUSED = "Content Security Policy|Trusted|Refused|blocked|ERR_|Failed to (load|fetch)|CSP|violat"
PLANTED = """() => Array.from(document.querySelectorAll("*")).flatMap((element) => [
    ...Array.from(element.attributes, ({ name, value }) => [name, value])
        .filter(([name, value]) => name.startsWith("on") || name === "style" ||
            (["href", "src", "action", "formaction", "data", "srcdoc"].includes(name) &&
             /^\\s*(javascript|data):/i.test(value)))
        .map(([name]) => `${element.tagName} ${name}`),
    ...(["SCRIPT"].includes(element.tagName) && !element.src ? ["inline script"] : []),
    ...(["IFRAME", "OBJECT", "EMBED", "BASE", "MARQUEE", "MATH", "IMAGE", "AUDIO", "VIDEO", "STYLE"]
        .includes(element.tagName) ? [element.tagName] : []),
])"""


async def check_shown(page: Page, called: list[str], *texts: str) -> None:
    """See that the page shows each text as it is, and that none became anything else."""
    await page.until("document.readyState === 'complete'")
    whole = await page.js("document.body.textContent")
    missing = [each for each in texts if each not in whole]
    assert missing == [], page.sent[0].url
    assert await page.js(f"({PLANTED})()") == []
    assert (called, page.dialogs) == ([], [])


def ask(world: World, text: str, **changes: Any) -> Any:
    constraints = {"names": [text], "profiles": [text]}
    asked = {"key": "ca", "signer": "ca-1", "uses": 2, "duration": "15m", "constraints": constraints}
    return world.signer.call("POST", "/requests", asked | {"reason": text, "on_behalf": text} | changes).ok()


@pytest.fixture
async def alice(browser, world, site):
    return (await by_password(browser, world, site, "alice")).page


HALVES = (CORPUS[::2], CORPUS[1::2])  # nobody may have more than 32 requests that wait


@pytest.mark.parametrize("texts", HALVES, ids=["even", "odd"])
async def test_what_a_request_says_is_shown_as_text(world, site, alice, texts):
    called = await watch(alice)
    for text in texts:
        request = ask(world, text)["id"]
        world.person("carol", "POST", f"/requests/{request}/decline", {"reason": text}).ok()
        await alice.goto(f"{site}/requests/{request}")
        await check_shown(alice, called, text)
        assert (await alice.text(".facts")).count(text) >= 2  # why, and names
        assert text in await alice.text(".owners")
    for path in ("/requests", "/quorum", "/setup", "/history", "/history?kind=requests"):
        await alice.goto(f"{site}{path}")
        await check_shown(alice, called, *(texts if path == "/requests" else ()))
    withdraw_all(world)


def withdraw_all(world: World) -> None:
    for request in world.signer.call("GET", "/requests?state=waiting").ok():
        world.signer.call("POST", f"/requests/{request['id']}/withdraw").ok()


async def test_what_comes_in_while_a_page_is_open_is_shown_as_text(world, site, alice):
    called = await watch(alice)
    await alice.goto(f"{site}/requests")
    some = CORPUS[::20]  # a page takes a fresh copy every three seconds at most
    for text in some:
        ask(world, text)
        await alice.until("text => document.body.textContent.includes(text)", text)
    await check_shown(alice, called, *some)
    withdraw_all(world)


async def test_what_a_delegation_and_a_signature_say_is_shown_as_text(world, site, alice):
    called = await watch(alice)
    every = {"profiles": list(CORPUS), "names": list(CORPUS)}
    world.delegate("alice", constraints=every, uses=1).ok()
    for text in CORPUS[::3]:
        world.delegate("alice", request=text, uses=1).ok()
    texts = [*CORPUS, *UNICODE]
    purpose = {"profile": "server", "names": ["www.example.com"], "validity": 60}
    world.lend("bob", "carol", uses=500)
    lease = world.signer.ask(purpose=purpose, uses=100).ok()["id"]
    record = {"lease": lease, "tbs_sha256": "00" * 32, "serial": "01", "not_after": "2027-01-01T00:00:00Z"}
    records = [
        record | {"number": number, "names": [text], "profile": text if text.isascii() else "server"}
        for number, text in enumerate(texts, start=1)
    ]
    assert world.signer.call("POST", "/records", {"records": records}).ok() == {"new": len(texts)}
    await alice.goto(f"{site}/delegations")
    await check_shown(alice, called, *CORPUS[::3])
    shown, address = set(), f"{site}/history"
    for _ in range(8):
        await alice.goto(address)
        await check_shown(alice, called)
        whole = await alice.js("document.body.textContent")
        shown |= {text for text in texts if json.dumps(text, ensure_ascii=False) in whole}
        address = await alice.js("document.querySelector('a[rel=next], a[href*=\"before=\"]')?.href ?? ''")
        if not address:
            break
    assert shown == set(texts)


async def test_what_a_key_and_a_passkey_are_called_is_shown_as_text(world, site, alice):
    called = await watch(alice)
    short = [text for text in CORPUS if len(text) <= 60][::4]
    for text in short:
        envelope = encode_base64(bytes(world.envelope(f"key-{next(NUMBERS)}")))
        sealing = {"envelope": envelope, "certificate": certificate(text)}
        world.signer.call("POST", "/keys", sealing).ok()
    for path in ("/setup", "/quorum", "/ask", "/history"):
        await alice.goto(f"{site}{path}")
        await check_shown(alice, called)
    labels = short[:5]
    for text in labels:
        await alice.js(
            """async (label, password) => {
                const { addWay, makeDevice } = await import("/static/any/ways.js");
                const { call } = await import("/static/any/api.js");
                const me = await call("GET", "/me");
                await addWay({ me, way: await makeDevice({ owner: "alice", label }), proof: { password } });
            }""",
            text,
            "correct horse battery alice",
        )
    await alice.goto(f"{site}/me")
    await check_shown(alice, called, *labels)


def certificate(text: str) -> str:
    """Return a certificate whose subject is `text`."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.NameAttribute(NameOID.COMMON_NAME, text)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(x509.Name([name]), x509.Name([name]), key.public_key(), 7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


async def test_what_an_address_or_a_form_says_is_shown_as_text(page, world, site):
    """Nobody is signed in: whoever sends somebody a link writes all of it."""
    called = await watch(page)
    page.expect("status of 40[0134]")
    for text in CORPUS[::5]:
        word = quote(text, safe="")
        for path in (f"/sign-in?next={word}", f"/{word}", f"/requests/{word}", f"/static/x/{word}"):
            await page.goto(f"{site}{path}")
            await check_shown(page, called)
            assert await page.js("[...document.forms].every(f => f.action.startsWith(location.origin))")
        await page.goto(f"{site}/sign-in")
        await page.type("#name", text)
        await page.type("#password", "wrong")
        await page.press("Enter")
        await page.until("document.querySelector('#problem') !== null && document.readyState === 'complete'")
        await check_shown(page, called)
        assert await page.js("document.querySelector('#name').value") == text[:63]


async def test_what_an_address_says_to_who_is_signed_in_is_shown_as_text(world, site, alice):
    called = await watch(alice)
    alice.expect("status of 40[04]")
    for text in CORPUS[1::5]:
        word = quote(text, safe="")
        for path in (
            f"/history?text={word}&kind=all",
            f"/history?owner={word}&key={word}&signer={word}",
            f"/history?kind={word}",
            f"/history?before={word}",
            f"/requests/{word}",
            f"/{word}",
        ):
            await alice.goto(f"{site}{path}")
            await check_shown(alice, called)


async def test_where_one_goes_after_signing_in_is_on_this_site(page, world, site):
    for target in ("//evil.example/", "https://evil.example", "/\\evil.example", "javascript:pwn()"):
        await page.goto(f"{site}/sign-in?next={quote(target, safe='')}")
        await page.type("#name", "bob")
        await page.type("#password", "correct horse battery bob")
        await page.press("Enter")
        await page.until("location.pathname !== '/sign-in' && document.readyState === 'complete'")
        assert (await page.js("location.origin")) == site


async def test_answers_of_the_api_are_not_pages(world, site, alice):
    called = await watch(alice)
    request = ask(world, "<script>pwn()</script>")["id"]
    alice.expect("status of 404")
    for path in (f"/requests/{request}", "/requests", "/history", "/<script>pwn()</script>"):
        await alice.goto(f"{site}/api/v1{path}")
        assert await alice.js("document.contentType") in ("application/json", "application/problem+json")
        assert await alice.js(f"({PLANTED})()") == []
        assert called == []
    withdraw_all(world)


@pytest.mark.parametrize("path", ["/sign-in", "/requests"])
async def test_a_script_that_got_in_would_get_no_further(world, site, alice, path):
    called = await watch(alice)
    alice.expect(REFUSED)
    reached, said = await try_all(alice, f"{site}{path}", called)
    assert reached == set()
    assert [each for each in said if not any(word in each for word in GOES_NO_FURTHER)] == []
    answered = {url for _, url in alice.answers}
    assert [url for url in answered if not url.startswith((site, "data:", "blob:"))] == []


WORK_ELSEWHERE = (
    *("inline script", "eval", "innerHTML", "handler", "javascript link", "wasm", "policy"),
    *("blob import", "data import", "style element", "style attribute", "setTimeout", "base"),
)


async def test_an_attack_that_worked_would_be_seen(page):
    """Without our policy they do work: this is what the test above would find."""
    page.expect(".*")
    bare = "<!doctype html><link rel=icon href=data:,><body>"

    async def plain(_: web.Request) -> web.Response:
        return web.Response(text=bare, content_type="text/html")

    async with serving(web.get("/bare", plain)) as url:
        reached, _ = await try_all(page, f"{url}/bare", await watch(page), WORK_ELSEWHERE)
    assert reached == set(WORK_ELSEWHERE)


async def try_all(
    page: Page, url: str, called: list[str], sinks: Iterable[str] = tuple(SINKS)
) -> tuple[set[str], list[str]]:
    """Return which sinks were reached, and what was said by those that were refused."""
    reached, said = set(), []
    for name in sinks:
        await page.goto(url)
        try:
            await page.js(f"(async () => {{ {TOOLS} {SINKS[name]}; }})()")
            await page.js("new Promise((done) => setTimeout(done, 30))")
        except BrowserError as error:
            said.append(f"{name}: {error}")
        if called or page.dialogs:
            reached.add(name)
            called.clear()
    return reached, said


GOES_NO_FURTHER = ("EvalError", "CSP", "Content Security Policy", "Trusted", "TypeError", "CompileError")
