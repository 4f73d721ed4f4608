"""The page of the setup: who sees what, and what administrators change there."""

import re

import pytest
from browser import Browser, Page
from page_owners import sign_in
from running import ADMIN, World, basic, password_of

from custodian.encoding import fingerprint

# -- who sees what


def page_of(world: World, name: str, path: str = "/setup") -> str:
    answer = world.daemon.call("GET", path, authorization=basic(name), root="")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def test_everybody_sees_owners_signers_and_keys_with_their_fingerprints(running_world: World) -> None:
    owners = running_world.person("alice", "GET", "/owners").ok()
    for name in ("alice", "auditor", ADMIN):
        text = page_of(running_world, name)
        assert all(fingerprint(each["public"]) in text for each in owners)
        assert fingerprint(str(running_world.signer.identity)) in text
        assert "Any two of" in text
        assert "<b>carol</b>" in text


def test_only_administrators_see_invitations_and_forms(running_world: World) -> None:
    running_world.invite("auditor", "iris")
    for name in ("alice", "auditor"):
        text = page_of(running_world, name)
        assert "iris" not in text
        assert not re.search(r"<form(?! method=.post. action=./sign-out)", text)
        assert "setup.js" not in text
    assert "iris" in page_of(running_world, ADMIN)
    assert "Administrators and auditors" not in page_of(running_world, "alice")


def test_what_ends_is_listed_with_loans_requests_and_the_tls_certificate(world: World) -> None:
    world.lend("alice")
    text = page_of(world, ADMIN)
    assert "The loan of ca by alice to ca-1" in text
    assert "10 of 10 uses left" in text
    assert "The TLS certificate of the custodian" in text
    world.revoke_all()
    assert "The loan of ca by alice" not in page_of(world, ADMIN)


# -- changing, in a real browser


@pytest.fixture
async def setup_page(browser: Browser, world: World, site: str) -> Page:
    page = await (await browser.person()).page()
    await sign_in(page, world, site, ADMIN)
    await page.goto(f"{site}/setup")
    return page


async def value(page: Page, css: str) -> str:
    return str(await page.js("css => document.querySelector(css).value", css))


async def invite(page: Page, role: str, name: str, password: str = "") -> None:
    await page.click(f"#invite [value={role}]")
    await page.type("#invite-name", name)
    await page.type("#invite-password", password or password_of(ADMIN))
    await page.click("#invite .go")


async def code_of(page: Page) -> str:
    """Return the code that is shown after an invitation."""
    await page.until("!document.querySelector('#code').hidden")
    message = await page.js("document.querySelector('[data-message]').textContent")
    return str(message.split()[-1])


async def test_a_wrong_password_changes_nothing_and_keeps_the_name(setup_page: Page, world: World) -> None:
    setup_page.expect("401")
    before = world.person(ADMIN, "GET", "/invitations").ok()
    await invite(setup_page, "auditor", "erin", "not the password")
    await setup_page.shows("The name or the password is not right.")
    assert (await value(setup_page, "#invite-name"), await value(setup_page, "#invite-password")) == (
        "erin",
        "",
    )
    assert await setup_page.js("document.querySelector('#invite').elements.role.value") == "auditor"
    assert world.person(ADMIN, "GET", "/invitations").ok() == before


@pytest.mark.parametrize(
    ("name", "says"), [("alice", "alice is enrolled already."), ("carol", "carol is enrolled already.")]
)
async def test_what_the_custodian_refuses_is_told_in_one_sentence(
    setup_page: Page, name: str, says: str
) -> None:
    setup_page.expect("409")
    await invite(setup_page, "owner", name)
    await setup_page.until(
        "says => document.querySelector('#invite [data-problem]').textContent.toLowerCase() === says", says
    )


async def test_a_name_that_cannot_be_is_not_sent(setup_page: Page, world: World) -> None:
    before = len(setup_page.sent)
    await invite(setup_page, "owner", "Dave <b>")
    assert not await setup_page.js("document.querySelector('#invite-name').checkValidity()")
    assert [each for each in setup_page.sent[before:] if each.method == "POST"] == []


async def test_a_code_is_shown_once_and_enrols_who_was_invited(
    setup_page: Page, browser: Browser, world: World, site: str
) -> None:
    await invite(setup_page, "auditor", "erin")
    code = await code_of(setup_page)
    assert f"{site}/enrol" in await setup_page.text("[data-message]")
    await setup_page.shows("Open invitations")
    await setup_page.goto(f"{site}/setup")
    assert code not in await setup_page.js("document.documentElement.outerHTML")
    assert "erin" in await setup_page.text("#invited")
    page = await (await browser.person()).page(f"{site}/enrol")
    await page.type("#code", code)
    await page.click("#look .go")
    await page.shows("You will be an auditor.")
    await page.type("#new-password", password_of("erin"))
    await page.type("#again", "something else entirely")
    await page.click("#by-password .go")
    await page.shows("The two are not the same")
    assert (await value(page, "#new-password"), await value(page, "#again")) == ("", "")
    await page.type("#new-password", password_of("erin"))
    await page.type("#again", password_of("erin"))
    await page.click("#by-password .go")
    await page.shows("You are enrolled, erin")
    assert world.person("erin", "GET", "/status").status == 200
    assert not [each for each in page.sent if code in each.url or "erin" in each.url]


async def test_an_invitation_of_a_signer_says_what_its_host_types(setup_page: Page, site: str) -> None:
    await invite(setup_page, "signer", "ca-9")
    await code_of(setup_page)
    assert f"signer enrol --name ca-9 --url {site}" in await setup_page.text("[data-message]")


async def test_a_person_is_shut_out_with_a_password_typed_for_it(
    setup_page: Page, world: World, site: str
) -> None:
    world.enrol("auditor", "frank")
    setup_page.expect("401")
    await setup_page.goto(f"{site}/setup")
    await setup_page.click("#out-accounts-frank summary")
    form = "#out-accounts-frank form"
    await setup_page.type(f"{form} [name=password]", "wrong")
    await setup_page.click(f"{form} .stop")
    await setup_page.shows("The name or the password is not right.")
    assert not {each["name"]: each["disabled"] for each in world.person(ADMIN, "GET", "/accounts").ok()}[
        "frank"
    ]
    await setup_page.type(f"{form} [name=password]", password_of(ADMIN))
    await setup_page.click(f"{form} .stop")
    await setup_page.until("document.querySelector('#out-accounts-frank') === null")
    assert {each["name"]: each["disabled"] for each in world.person(ADMIN, "GET", "/accounts").ok()}["frank"]
