"""Enrolling with an invitation, in a real browser: owners by two ways or a password, others by a password."""

from collections.abc import Sequence

import pytest
from browser import Browser, Page
from running import ADMIN, World, basic, password_of

from custodian.encoding import fingerprint


async def value(page: Page, css: str) -> str:
    return str(await page.js("css => document.querySelector(css).value", css))


@pytest.fixture
async def enrolling(browser: Browser, world: World, site: str) -> Page:
    page = await (await browser.person()).page()
    await page.authenticator()
    await page.goto(f"{site}/enrol")
    return page


async def look(page: Page, code: str) -> None:
    await page.type("#code", code)
    await page.click("#look .go")


@pytest.mark.parametrize("code", ["not-a-code-of-anybody", "<img src=x onerror=alert(1)>", "%00%00%00%00"])
async def test_a_wrong_code_is_told_and_stays_typed(enrolling: Page, code: str) -> None:
    enrolling.expect("403")
    await look(enrolling, code)
    await enrolling.shows("This invitation is not valid (any more); ask an administrator for another.")
    assert await value(enrolling, "#code") == code


async def test_a_code_of_a_signer_is_not_used_up_here(enrolling: Page, world: World) -> None:
    code = world.invite("signer", "ca-8")
    await look(enrolling, code)
    await enrolling.shows("This invitation is for a signer")
    assert world.daemon.call("POST", "/enrolments/look", {"invitation": code}).status == 200


async def test_an_owner_makes_two_ways_and_reads_a_fingerprint(
    enrolling: Page, world: World, site: str
) -> None:
    await look(enrolling, world.invite("owner", "gina"))
    await enrolling.shows("Welcome, gina")
    assert await enrolling.js("document.querySelector('[name=enrol]').disabled")
    await enrolling.type("#label", "Yellow key")
    await enrolling.click("#by-ways [value=passkey]")
    await enrolling.shows("make one more way to open your share".capitalize())
    assert await enrolling.js("document.querySelector('[name=enrol]').disabled")
    await enrolling.click("#by-ways [value=device]")
    await enrolling.until("!document.querySelector('[name=enrol]').disabled")
    made: Sequence[str] = await enrolling.js(
        "[...document.querySelectorAll('#made li span:first-child')].map(each => each.textContent)"
    )
    assert made == ["Yellow key", "Device key"]
    await enrolling.click("[name=enrol]")
    await enrolling.shows("You are enrolled, gina")
    public = {each["name"]: each["public"] for each in world.person(ADMIN, "GET", "/owners").ok()}["gina"]
    assert await enrolling.text("[data-fingerprint]") == fingerprint(public)
    setup = world.daemon.call("GET", "/setup", authorization=basic(ADMIN), root="").body.decode()
    assert "Two ways to unlock" in setup


async def test_an_owner_may_rather_have_a_password(enrolling: Page, world: World) -> None:
    await look(enrolling, world.invite("owner", "hugo"))
    await enrolling.shows("Welcome, hugo")
    await enrolling.click("#rather-password summary")
    await enrolling.shows("The custodian then sees your password")
    await enrolling.type("#new-password", password_of("hugo"))
    await enrolling.type("#again", password_of("hugo"))
    await enrolling.click("#by-password .go")
    await enrolling.shows("Compare your fingerprint")
    await enrolling.shows("Sign in and add a second way")
    assert world.person("hugo", "GET", "/me").ok()["role"] == "owner"


async def test_a_short_password_is_not_sent(enrolling: Page, world: World) -> None:
    await look(enrolling, world.invite("auditor", "ivan"))
    await enrolling.shows("You will be an auditor.")
    await enrolling.type("#new-password", "short")
    await enrolling.type("#again", "short")
    before = len(enrolling.sent)
    await enrolling.click("#by-password .go")
    assert enrolling.sent[before:] == []


async def test_without_scripts_the_page_says_what_to_do(browser: Browser, site: str) -> None:
    page = await (await browser.person()).page(f"{site}/enrol", javascript=False)
    assert "custodian enrol does the same at a terminal" in " ".join((await page.text("main")).split())
