"""What owners do with passkeys, click by click on the real pages, up to a certificate of a real signer."""

import base64
import hashlib

import pytest
from browser import browsing
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from devtools import Chromium
from page_owners import NUMBERS, Owner, key_for, newcomer
from running import SECRET, password_of
from signing import KEY, SIGNER, running_site

from custodian.devicekey import parse_device_key
from custodian.encoding import fingerprint

REASON = "renew the front ends"


async def by_keys(page, name):
    """Sign in with a password, by keyboard alone."""
    await page.type("#name", name)
    await page.press("Tab")
    await page.send("Input.insertText", text=password_of(name))
    await page.press("Enter")
    await page.until("location.pathname !== '/sign-in' && document.readyState === 'complete'")


async def answered(page, owners):
    """Wait until the page shows the delegations of so many owners."""
    count = "document.querySelectorAll('.owners [data-delegation]').length"
    await page.until(f"{count} === {owners}")


async def test_an_invitation_becomes_an_owner_with_a_passkey_and_a_device_key(browser, world, site, tmp_path):
    owner = await newcomer(browser, world, site)
    await owner.page.person.save_downloads(tmp_path)
    page, code = owner.page, world.invite("owner", owner.name)
    await page.goto(f"{site}/enrol")
    await page.type("#code", f" {code} ")
    await page.press("Enter")
    await page.shows(f"Welcome, {owner.name}")
    await page.type("#label", "yellow key")
    await page.click("[name=make][value=passkey]")
    await page.shows("yellow key")
    await page.shows("Make one more way to open your share")
    assert await page.js("document.querySelector('[name=enrol]').disabled")
    await page.type("#label", "laptop")
    await page.click("[name=make][value=device]")
    await page.until("!document.querySelector('[name=enrol]').disabled")
    await page.click("[name=enrol]")
    await page.shows(f"You are enrolled, {owner.name}")
    people = {each["name"]: each for each in world.person("admin", "GET", "/owners").ok()}
    assert await page.text("[data-fingerprint]") == fingerprint(people[owner.name]["public"])
    (file,) = tmp_path.iterdir()
    assert (parse_device_key(file.read_text()).owner, parse_device_key(file.read_text()).label) == (
        owner.name,
        "laptop",
    )
    assert all(code not in each.url for each in page.sent)
    await owner.sign_in_by_passkey()
    await page.goto(f"{site}/me")
    await page.shows("yellow key")


async def test_two_owners_answer_a_request_with_one_click_and_one_touch(browser, world, site):
    owners = [await newcomer(browser, world, site) for _ in range(2)]
    for owner in owners:
        await owner.enrol()
    key = key_for(world, *owners)
    asked = {"key": key, "signer": "ca-1", "uses": 3, "duration": "15m", "reason": REASON}
    request = world.signer.call("POST", "/requests", asked).ok()["id"]
    for number, owner in enumerate(owners, start=1):
        await owner.sign_in_by_passkey()
        await owner.page.goto(f"{site}/requests/{request}")
        await owner.page.shows(REASON)
        await owner.page.click("#terms [type=submit]")
        await answered(owner.page, number)
    found = world.signer.call("GET", f"/requests/{request}").ok()
    assert (found["state"], [each["uses"] for each in found["answers"]]) == ("answered", [3, 3])
    assert world.signer.join(world.signer.ask(key=key).ok()) == SECRET


async def test_a_device_key_file_lends_on_the_page_and_is_not_sent(browser, world, site, tmp_path):
    owner = await newcomer(browser, world, site, prf=False)
    await owner.enrol("passkey", "device", "device")
    key = key_for(world, owner)
    asked = {"key": key, "signer": "ca-1", "uses": 1, "duration": "15m", "reason": REASON}
    request = world.signer.call("POST", "/requests", asked).ok()["id"]
    await owner.sign_in_by_passkey()
    (tmp_path / "mine.key").write_text(owner.files[1])
    (tmp_path / "none.key").write_text("nothing of the kind")
    page = owner.page
    await page.goto(f"{site}/requests/{request}")
    await page.js("document.querySelector('#with-device').open = true")
    await page.choose_file("#device", tmp_path / "none.key")
    await page.click("#by-device [type=submit]")
    await page.shows("This file holds no device key")
    await page.choose_file("#device", tmp_path / "mine.key")
    await page.click("#by-device [type=submit]")
    await answered(page, 1)
    seed = owner.files[1].partition("seed: ")[2].partition("\n")[0]
    assert all(seed not in each.body for each in page.sent)


async def test_owners_with_passwords_add_passkeys_and_a_real_signer_signs(tmp_path):
    """The whole way: a person's click in a browser opens the key in a keyholder, which signs."""
    with running_site(tmp_path / "site") as running:
        daemon = running.daemon
        certificate = x509.load_pem_x509_certificate((daemon.directory / "tls.pem").read_bytes())
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        trusted = base64.b64encode(hashlib.sha256(spki).digest()).decode()
        chromium = Chromium(tmp_path / "profile", [trusted])
        try:
            async with browsing(chromium) as browser:
                await _lend_by_new_passkeys(browser, running)
                assert browser.unexpected() == []
        finally:
            chromium.stop()
        issued = running.signer.issue()
        issued.verify_directly_issued_by(running.ca)


async def _lend_by_new_passkeys(browser, running):
    world = running.world
    site = world.daemon.url.replace("127.0.0.1", "localhost")
    asked = {"key": KEY, "signer": SIGNER, "uses": 2, "duration": "15m", "reason": REASON}
    request = world.person("admin", "POST", "/requests", asked).ok()["id"]
    for number, name in enumerate(("alice", "bob"), start=1):
        page = await (await browser.person()).page()
        owner = Owner(world, site, name, page)
        await page.authenticator()
        await page.goto(f"{site}/sign-in?next=/me")
        await by_keys(page, name)
        await page.type("#label", f"key {next(NUMBERS)}")
        await page.type("#password", password_of(name))
        await page.click("[name=add][value=passkey]")
        await page.shows("It opens your share from now on")
        assert {each["kind"] for each in (await owner.me())["credentials"]} == {"passkey"}
        await page.goto(f"{site}/requests/{request}")
        await page.click("#terms [type=submit]")
        await answered(page, number)


REFUSAL = "new DOMException('', 'NotAllowedError')"
SAID = {"offline": "The custodian does not answer", "no gesture": "No passkey answered"}


@pytest.mark.parametrize("problem", SAID)
async def test_a_loan_that_fails_says_why_keeps_the_form_and_changes_nothing(browser, world, site, problem):
    owner = await newcomer(browser, world, site)
    await owner.enrol()
    key = key_for(world, owner)
    asked = {"key": key, "signer": "ca-1", "uses": 3, "duration": "1h", "reason": REASON}
    request = world.signer.call("POST", "/requests", asked).ok()["id"]
    await owner.sign_in_by_passkey()
    page = owner.page
    await page.goto(f"{site}/requests/{request}")
    await page.js("document.querySelector('#terms [name=uses][value=\"1\"]').click()")
    size = world.size()
    if problem == "offline":
        page.expect("INTERNET_DISCONNECTED")
        await page.offline()
    else:
        await page.js(
            "navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
        )
    await page.click("#terms [type=submit]")
    await page.shows(
        {"offline": "The custodian does not answer", "no gesture": "No passkey answered"}[problem]
    )
    assert await page.js("document.querySelector('#terms [name=uses][value=\"1\"]').checked")
    assert world.size() == size
