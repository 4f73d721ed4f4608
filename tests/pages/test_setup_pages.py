"""The pages of administrators: what is set up and missing, invitations, and how people enrol with them."""

import re
import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import click
import pytest
from browser import Browser, Page
from examples import NOW
from running import ADMIN, World, basic, password_of

import custodian.__main__
import signer.__main__
from custodian.encoding import fingerprint
from custodian.tls import make_certificate
from custodian.web.ceremony import Progress, steps
from custodian.web.endings import SHOWN, Ending, next_to_end, state
from custodian.web.setup import certificate_of
from custodian.wire import LiveOwner, Outlook

COMMANDS = {"custodian": custodian.__main__.main, "signer": signer.__main__.main}


# -- what is missing, and what to type


def outlook(*live: str, needed: int = 2, open_: bool = False) -> Outlook:
    return Outlook(
        key="ca",
        signer="ca-2",
        policy="2 of (alice, bob)",
        open=open_,
        needed=needed,
        any_of=[each for each in ("alice", "bob") if each not in live],
        live=[LiveOwner(owner=each, left=1, end="2026-11-23T12:00:00Z") for each in live],
        until=None,
        leases=0,
    )


def progress(**changes: Any) -> Progress:
    nothing: dict[str, Any] = {
        "owners": [],
        "invited": [],
        "signers": [],
        "connected": False,
        "outlooks": [],
        "signed": False,
        "url": "https://custodian.example",
    }
    return Progress(**nothing | changes)


ENROLLED = {"owners": ["alice", "bob"], "signers": ["ca-2"]}
STAGES = {
    "nothing": (progress(), [False] * 6),
    "one invited": (progress(invited=["alice"]), [False] * 6),
    "one owner is not enough": (progress(owners=["alice"]), [False] * 6),
    "one of two has enrolled": (progress(owners=["alice"], invited=["bob"]), [False] * 6),
    "everybody has enrolled": (progress(**ENROLLED), [True, True, False, False, False, False]),
    "a key is sealed": (progress(**ENROLLED, outlooks=[outlook()]), [True, True, True, False, False, False]),
    "the signer runs": (
        progress(**ENROLLED, outlooks=[outlook("alice", needed=1)], connected=True),
        [True, True, True, True, False, False],
    ),
    "a quorum is live": (
        progress(**ENROLLED, outlooks=[outlook("alice", "bob", needed=0, open_=True)], connected=True),
        [True] * 5 + [False],
    ),
    "a certificate is signed": (progress(**ENROLLED, outlooks=[outlook()], signed=True), [True] * 6),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_is_done_when_what_it_is_for_is_there(stage: str) -> None:
    at, done = STAGES[stage]
    assert [step.done for step in steps(at)] == done


def test_a_step_says_how_it_stands_and_names_who_is_meant() -> None:
    at = progress(
        owners=["alice"], invited=["dave", "bob"], signers=["ca-2"], outlooks=[outlook("alice", needed=1)]
    )
    told = {step.title: step for step in steps(at)}
    assert told["Owners enrol"].now == "1 of 3 enrolled; bob and dave not yet"
    assert told["Enough owners lend"].now == "1 have lent, 1 more needed"
    assert told["Enough owners lend"].command.endswith("--signer ca-2 --uses 50 --for 8h -u bob")
    assert '"2 of (alice, bob, dave)"' in told["A key is made and sealed"].command


@pytest.mark.parametrize("stage", STAGES)
def test_every_command_can_be_typed(stage: str) -> None:
    for step in steps(STAGES[stage][0]):
        for line in step.command.splitlines():
            words = shlex.split(line)
            if words[0] == "cfssl":
                continue
            command, rest = COMMANDS[words[0]], words[1:]
            while isinstance(command, click.Group):
                command, rest = command.commands[rest[0]], rest[1:]
            options = {option for each in command.params for option in each.opts}
            assert {word for word in rest if word.startswith("-")} <= options, line


# -- what ends next


def ending(minutes: float, *, certificate: bool = False) -> Ending:
    return Ending(NOW + timedelta(minutes=minutes), "it", "then", certificate=certificate)


def test_what_ends_first_is_first_and_what_has_ended_is_gone_but_for_certificates() -> None:
    given = [ending(5), ending(-1), ending(1), ending(-9, certificate=True), ending(0)]
    assert [(each.at - NOW).total_seconds() / 60 for each in next_to_end(given, NOW)] == [-9, 1, 5]


def test_no_more_is_listed_than_somebody_reads() -> None:
    assert len(next_to_end([ending(each) for each in range(1, 99)], NOW)) == SHOWN


@pytest.mark.parametrize(("days", "shown"), [(31, ""), (29, "wait"), (6, "wax"), (-1, "wax")])
def test_a_certificate_that_ends_soon_stands_out(days: int, shown: str) -> None:
    assert state(ending(days * 1440, certificate=True), NOW) == shown
    assert state(ending(days * 1440), NOW) == ""


def test_a_certificate_is_read_and_junk_is_nothing() -> None:
    pem, _ = make_certificate([], NOW)
    found = certificate_of(pem)
    assert found is not None
    assert (found.subject, found.ends) == ("CN=custodian", NOW.replace(microsecond=0) + timedelta(days=825))
    assert certificate_of(b"junk") is certificate_of(b"") is None


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


async def sign_in(page: Page, site: str, name: str, path: str) -> None:
    await page.goto(f"{site}/sign-in?next={quote(path, safe='')}")
    await page.type("#name", name)
    await page.type("#password", password_of(name))
    await page.click("#sign-in [type=submit]")
    await page.until("path => location.pathname === path", path)


@pytest.fixture
async def setup_page(browser: Browser, world: World, site: str) -> Page:
    page = await (await browser.person()).page()
    await sign_in(page, site, ADMIN, "/setup")
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


async def test_a_person_is_shut_out_with_a_password_typed_for_it(setup_page: Page, world: World) -> None:
    world.enrol("auditor", "frank")
    setup_page.expect("401")
    await setup_page.until("document.querySelector('#out-accounts-frank') !== null")
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


# -- enrolling


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
    assert "Two ways to unlock" in page_of(world, ADMIN)


async def test_an_owner_may_rather_have_a_password(enrolling: Page, world: World) -> None:
    await look(enrolling, world.invite("owner", "hugo"))
    await enrolling.shows("Welcome, hugo")
    await enrolling.click("#rather-password summary")
    await enrolling.shows("The custodian then sees your password")
    await enrolling.type("#new-password", password_of("hugo"))
    await enrolling.type("#again", password_of("hugo"))
    await enrolling.click("#by-password .go")
    await enrolling.shows("Compare your fingerprint")
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
