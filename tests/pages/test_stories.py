"""What people do on the pages, click by click in a real Chromium."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from browser import Browser, Page
from running import ADMIN, World, password_of, wait_until

from custodian.web import words

REASON = "change 8812, new front ends"
SignedIn = Callable[..., Awaitable[Page]]


def ask(world: World, name: str = "bob", **changes: Any) -> str:
    usual = {"key": "ca", "signer": "ca-1", "uses": 40, "duration": "1h", "reason": REASON}
    return str(world.person(name, "POST", "/requests", usual | changes).ok()["id"])


def state(world: World, request: str) -> str:
    return str(world.person("auditor", "GET", f"/requests/{request}").ok()["state"])


@pytest.fixture(autouse=True)
def _nothing_waits(world: World) -> None:
    for each in world.person("auditor", "GET", "/requests?state=waiting").ok():
        world.person(each["asker"], "POST", f"/requests/{each['id']}/withdraw", {}).ok()


@pytest.fixture
def signed_in(browser: Browser, site: str) -> SignedIn:
    """Return a new person at a page, signed in by the form."""

    async def sign_in(name: str, path: str = "/requests", *, javascript: bool = True) -> Page:
        page = await (await browser.person()).page(f"{site}{path}", javascript=javascript)
        await page.type("#name", name)
        await page.type("#password", password_of(name))
        await page.click("#sign-in .go")
        await page.until("path => location.pathname === path && document.readyState === 'complete'", path)
        return page

    return sign_in


async def asked_before(page: Page) -> None:
    """Remember this very document, to see that it was never loaded again."""
    await page.js("void (window.same = true)")


# --- lending


async def test_an_owner_lends_with_a_password_and_never_more_than_the_form_says(
    world: World, signed_in: SignedIn
) -> None:
    constraints = {"profiles": ["server"], "names": ["*.example.com"]}
    request = ask(world, constraints=constraints)
    alice = await signed_in("alice", f"/requests/{request}")
    assert "up to 40 signatures, for 1 hour, until" in await alice.text(".promise")
    await alice.click("#terms [name=time][value='900']")
    await alice.click("#terms [name=uses][value='5']")
    assert "up to 5 signatures, for 15 minutes, until" in await alice.text(".promise")
    await alice.click("#terminal summary")
    assert "--uses 5 --for 15m" in await alice.text("[data-command]")
    await alice.type("#password", password_of("alice"))
    await alice.press("Enter")
    await alice.shows("you have lent")
    (lent,) = world.person("alice", "GET", "/delegations?owner=alice").ok()[:1]
    assert (lent["uses"], lent["state"], lent["request"]) == (5, "live", request)
    assert lent["constraints"]["names"] == ["*.example.com"]
    assert await alice.js("document.querySelector('#password').value") == ""
    sent = [each for each in alice.sent if each.method == "POST" and each.url.endswith("/delegations")]
    assert len(sent) == 1


async def test_more_than_asked_is_lent_only_when_typed_and_said_so(world: World, signed_in: SignedIn) -> None:
    request = ask(world, uses=3, duration="30m")
    alice = await signed_in("alice", f"/requests/{request}")
    await alice.click("#terms [name=uses][value=other]")
    await alice.type("#terms [name=uses-number]", "7")
    assert "up to 7 signatures" in await alice.text(".promise")
    assert "more than was asked for" in await alice.text(".promise")
    await alice.type("#terms [name=uses-number]", "2")
    assert "more than was asked for" not in await alice.text(".promise")
    await alice.type("#terms [name=uses-number]", "many")
    await alice.type("#password", password_of("alice"))
    await alice.press("Enter")
    await alice.shows("Say for how many signatures, in figures.")


async def test_a_wrong_password_is_told_and_the_rest_of_the_form_is_kept(
    world: World, signed_in: SignedIn
) -> None:
    request = ask(world)
    alice = await signed_in("alice", f"/requests/{request}")
    await alice.click("#terms [name=uses][value='5']")
    await alice.type("#password", "not my password")
    alice.expect("401")
    await alice.press("Enter")
    await alice.shows("The name or the password is not right.")
    assert await alice.js("document.querySelector('#password').value") == ""
    assert await alice.js("document.querySelector('#terms').elements.uses.value") == "5"
    assert world.person("alice", "GET", f"/requests/{request}").ok()["answers"] == []


async def test_an_owner_declines_with_a_reason_that_the_asker_reads(
    world: World, signed_in: SignedIn
) -> None:
    request = ask(world)
    bob, alice = (
        await signed_in("bob", f"/requests/{request}"),
        await signed_in("alice", f"/requests/{request}"),
    )
    await asked_before(bob)
    await alice.click("#declining summary")
    await alice.type("#reason", "not in my <b>window</b>")
    await alice.click("#decline [value=decline]")
    await alice.shows("“not in my <b>window</b>”")
    await bob.shows("“not in my <b>window</b>”")
    assert await bob.js("window.same")


async def test_who_asked_takes_it_back_and_an_open_form_sends_nothing_any_more(
    world: World, signed_in: SignedIn
) -> None:
    request = ask(world)
    alice, bob = (
        await signed_in("alice", f"/requests/{request}"),
        await signed_in("bob", f"/requests/{request}"),
    )
    await alice.type("#password", "typed already")
    await bob.click("[data-post$=withdraw]")
    await alice.shows("This request has ended: withdrawn.")
    assert await alice.js("[...document.querySelectorAll('#lend button')].every((each) => each.disabled)")
    await bob.shows("This request has ended")
    assert state(world, request) == "withdrawn"


async def test_a_person_asks_for_a_key_on_a_page(world: World, signed_in: SignedIn) -> None:
    admin = await signed_in(ADMIN, "/ask")
    await admin.type("#uses", "12")
    await admin.type("#reason", REASON)
    await admin.type("#names", "www.example.com\n*.db.example.com")
    await admin.click("#ask .go")
    await admin.until("location.pathname.startsWith('/requests/r-')")
    await admin.shows("Sign twelve certificates")
    (made,) = world.person("auditor", "GET", "/requests?state=waiting").ok()
    assert (made["asker"], made["uses"], made["reason"]) == (ADMIN, 12, REASON)
    assert made["constraints"]["names"] == ["www.example.com", "*.db.example.com"]


async def test_what_was_typed_into_the_ask_form_is_kept_when_it_is_refused(signed_in: SignedIn) -> None:
    admin = await signed_in(ADMIN, "/ask")
    await admin.type("#uses", "9999999")
    await admin.type("#reason", REASON)
    admin.expect("400")
    await admin.click("#ask .go")
    await admin.until("!document.querySelector('#ask [data-problem]').hidden")
    assert "Uses" in await admin.text("#ask [data-problem]")
    assert await admin.js("document.querySelector('#reason').value") == REASON


# --- live


async def test_one_click_revokes_and_every_other_page_shows_it(world: World, signed_in: SignedIn) -> None:
    world.lend("alice", "bob")
    alice, auditor = await signed_in("alice", "/delegations"), await signed_in("auditor", "/quorum")
    await asked_before(auditor)
    await auditor.shows("ca can open")
    await alice.click("[data-revoke]")
    await alice.shows("You have lent nothing")
    assert "Revoked" in await alice.text("[data-said]")
    await auditor.until("document.querySelectorAll('.arc.held').length === 1", seconds=2)
    await auditor.shows("ca is one owner short")
    assert await auditor.js("window.same")


async def test_a_request_appears_by_itself_where_somebody_waits_for_one(
    world: World, signed_in: SignedIn
) -> None:
    alice = await signed_in("alice")
    await asked_before(alice)
    await alice.shows("Nothing needs you, alice")
    ask(world)
    await alice.shows("One request needs you, alice")
    assert await alice.text(".badge") == "1\nwaiting for you" or "1" in await alice.text(".badge")
    assert await alice.js("window.same")


async def test_uses_left_are_told_at_once(world: World, signed_in: SignedIn) -> None:
    world.lend("alice", "bob", uses=5)
    alice = await signed_in("alice", "/delegations")
    assert await alice.text("[data-left]") == "5"
    world.signer.ask(uses=2).ok()
    await alice.until("document.querySelector('[data-left]').textContent === '3'", seconds=2)
    await alice.until("document.querySelectorAll('[data-pips] .used').length === 2")


async def test_what_somebody_types_is_never_taken_from_under_them(world: World, signed_in: SignedIn) -> None:
    request = ask(world)
    alice = await signed_in("alice", f"/requests/{request}")
    await alice.click("#declining summary")
    await alice.type("#reason", "half a sent")
    world.lend("carol", request=request)
    await alice.shows("carol has lent")
    assert await alice.js("document.querySelector('#reason').value") == "half a sent"
    assert await alice.js("document.activeElement.id") == "reason"
    assert await alice.js("document.querySelector('#declining').open")


async def test_countdowns_run_by_the_custodians_clock_whatever_this_device_thinks(
    world: World, signed_in: SignedIn
) -> None:
    world.lend("alice", duration="10m")
    alice = await signed_in("alice", "/quorum")
    shown = "document.querySelector('.owners time[data-end]').textContent"
    await alice.js("void (Date.now = () => 0)")
    first = await alice.js(shown)
    await alice.until(
        "first => document.querySelector('.owners time[data-end]').textContent !== first", first
    )
    assert str(await alice.js(shown)).startswith("9:5")


async def test_countdowns_read_alike_before_and_after_the_scripts_run(signed_in: SignedIn) -> None:
    alice = await signed_in("alice")
    seconds = [0, 1, 59, 60, 599, 3_599, 3_600, 3_661, 86_399, 86_400, 90_061, 10_000_000]
    shown = await alice.js(
        """async numbers => {
            const { clock, brief } = await import("/static/any/clock.js");
            return numbers.map((each) => [clock(each), brief(each)]);
        }""",
        seconds,
    )
    assert shown == [[words.clock(each), words.brief(each)] for each in seconds]


async def test_a_page_that_lost_the_custodian_says_so_and_comes_back(
    world: World, signed_in: SignedIn
) -> None:
    alice = await signed_in("alice", "/quorum")
    await alice.until("document.getElementById('connection').hidden")
    alice.expect("ERR_", "Failed to load", "502", "net::")
    port = world.daemon.url.rpartition(":")[2]
    config = world.daemon.directory / "custodian.toml"
    config.write_text(config.read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"'))
    world.daemon.stop()
    await alice.shows("Reconnecting… what you see may be old")
    world.daemon.start()
    await alice.until("document.getElementById('connection').hidden", seconds=20)
    world.lend("bob")
    await alice.until("document.querySelectorAll('.arc.held').length === 1")


async def test_a_page_nobody_looks_at_holds_no_stream(world: World, signed_in: SignedIn) -> None:
    """Seven tabs with a stream each would leave a browser no connection to load an eighth page with."""
    alice = await signed_in("alice", "/quorum")
    hide = """hidden => {
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event('visibilitychange'));
    }"""

    def viewers() -> int:
        figures = world.daemon.call("GET", "/metrics", root="").body.decode().splitlines()
        return int(float(next(line for line in figures if line.startswith("custodian_viewers")).split()[1]))

    wait_until(lambda: viewers() == 1)
    await alice.js(hide, True)
    wait_until(lambda: viewers() == 0, 30)
    world.lend("alice")
    await alice.js(hide, False)
    await alice.until("document.querySelectorAll('.arc.held').length === 1")
    wait_until(lambda: viewers() == 1)


async def test_a_session_that_is_over_leads_to_signing_in(world: World, signed_in: SignedIn) -> None:
    alice = await signed_in("alice", "/quorum")
    alice.expect("401", "Failed to load")
    world.person("alice", "DELETE", "/sessions")
    await alice.until("location.pathname === '/sign-in'", seconds=20)
    assert await alice.js("document.querySelector('[name=next]').value") == "/quorum"


# --- for everybody


async def test_pages_can_be_read_without_scripts(world: World, signed_in: SignedIn) -> None:
    request = ask(world)
    world.lend("carol", request=request)
    alice = await signed_in("alice", f"/requests/{request}", javascript=False)
    answer = await alice.send("DOM.getDocument", depth=-1)
    assert "Lending here needs scripts" in str(answer)
    assert "--request " + request in str(answer)
    assert {"Lend with password"} & set(await unusable(alice))


async def unusable(page: Page) -> list[str]:
    """Return what the disabled buttons of a page say, where no script runs."""
    root = (await page.send("DOM.getDocument", depth=-1))["root"]["nodeId"]
    found = (await page.send("DOM.querySelectorAll", nodeId=root, selector="button:disabled"))["nodeIds"]
    shown = [(await page.send("DOM.getOuterHTML", nodeId=each))["outerHTML"] for each in found]
    return [re.sub(r"<[^>]*>", "", each).strip() for each in shown]


async def test_the_first_key_leads_past_the_navigation(signed_in: SignedIn) -> None:
    alice = await signed_in("alice", "/quorum")
    await alice.press("Tab")
    assert await alice.js("document.activeElement.textContent") == "Skip to content"
    await alice.press("Enter")
    assert await alice.js("document.activeElement.id") == "main"


@pytest.mark.parametrize(
    "path", ["/requests", "REQUEST", "/ask", "/quorum", "/delegations", "/me", "/sign-in"]
)
async def test_a_phone_shows_every_page_without_scrolling_sideways(
    world: World, signed_in: SignedIn, path: str
) -> None:
    long = "x" * 200
    request = ask(world, reason=long, constraints={"profiles": [long], "names": [f"{long}.example.com"]})
    world.lend("alice", "bob")
    alice = await signed_in("alice")
    await alice.resize(390, 844)
    here = str(await alice.js("location.origin"))
    await alice.goto(here + path.replace("REQUEST", f"/requests/{request}"))
    assert await alice.js("document.documentElement.scrollWidth <= innerWidth")


async def test_nothing_is_loaded_from_anywhere_else(world: World, signed_in: SignedIn, site: str) -> None:
    request = ask(world)
    alice = await signed_in("alice", f"/requests/{request}")
    await alice.shows("Lend your share")
    assert alice.sent
    assert {each.url.split("/", 3)[2] for each in alice.sent} == {site.removeprefix("https://")}
