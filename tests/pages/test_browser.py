"""The harness itself: what it says happened in the browser did."""

import pytest
from blank import serving
from devtools import BrowserError


@pytest.fixture
async def url():
    async with serving() as url:
        yield url


async def test_what_a_page_complains_of_is_known(page, url):
    await page.goto(url)
    await page.js("setTimeout(() => { throw new Error('oh') })")
    await page.js("console.error('dear')")
    await page.js("fetch('/nowhere').then(() => true)")
    assert len(page.unexpected()) == 3
    page.expect("oh", "dear", "404")
    assert page.unexpected() == []


async def test_requests_are_known_with_their_bodies(page, url):
    await page.goto(url)
    page.expect("40[45]")
    await page.js("fetch('/x', {method: 'POST', body: 'caf\\u00e9'}).then(() => true)")
    await page.js("fetch('/y', {method: 'POST', body: new Uint8Array([0, 255, 7])}).then(() => true)")
    bodies = {each.url.rpartition("/")[2]: each.body for each in page.sent}
    assert bodies["x"] == "caf\u00e9"
    assert bodies["y"] == "\x00\xff\x07"


async def test_people_share_no_cookies(browser, url):
    alice, bob = [await (await browser.person()).page(url) for _ in range(2)]
    await alice.js("document.cookie = 'seen=1'")
    assert await bob.js("document.cookie") == ""


async def test_what_is_typed_and_clicked_arrives(page, url):
    await page.goto(url)
    await page.js(
        """(label => {
            const field = document.createElement("input"), button = document.createElement("button");
            button.textContent = label;
            button.addEventListener("click", () => { document.title = field.value; });
            document.body.append(field, button);
        })("say")"""
    )
    await page.type("input", "first")
    await page.type("input", "second")
    await page.click("button")
    await page.until("document.title === 'second'")


async def test_a_virtual_passkey_gives_its_prf_output(page, url):
    await page.authenticator()
    await page.goto(url)
    assert await page.js("isSecureContext")
    assert (
        await page.js(
            """navigator.credentials.create({ publicKey: {
            challenge: new Uint8Array(32), rp: { id: "localhost", name: "x" },
            user: { id: new Uint8Array(8), name: "a", displayName: "a" },
            pubKeyCredParams: [{ type: "public-key", alg: -7 }],
            authenticatorSelection: { userVerification: "required" },
            extensions: { prf: { eval: { first: new Uint8Array(32) } } },
        }}).then(made => made.getClientExtensionResults().prf.results.first.byteLength)"""
        )
        == 32
    )


async def test_a_script_that_throws_and_a_wait_in_vain_are_errors(page, url):
    await page.goto(url)
    with pytest.raises(BrowserError, match="no such luck"):
        await page.js("Promise.reject(new Error('no such luck'))")
    with pytest.raises(BrowserError, match="not true within"):
        await page.until("false", seconds=0.1)


async def test_a_page_without_scripts_and_one_offline_are_possible(browser, page, url):
    still = await (await browser.person()).page(f"{url}/scripted", javascript=False)
    assert await still.text("h1") == "still"
    await page.goto(f"{url}/scripted")
    await page.shows("moved")
    page.expect("INTERNET_DISCONNECTED")
    await page.offline()
    assert await page.js("fetch('/').then(() => 'reached', () => 'gone')") == "gone"


async def test_a_page_can_be_looked_at(page, url, tmp_path):
    await page.goto(url)
    await page.screenshot(tmp_path / "shot.png", 390, 800, dark=True)
    assert (tmp_path / "shot.png").read_bytes()[16:20] == (390).to_bytes(4)
