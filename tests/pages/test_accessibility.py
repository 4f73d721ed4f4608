"""Every page, as assistive technology meets it: no violation that axe knows, nothing wider than a phone."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page
from page_owners import sign_in
from running import World
from scene import PAGES, SIGNED_OUT, Scene, play

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESK, PHONE = 1280, 390


def axe() -> str:
    """Return axe-core's source; `scripts/venv test` brings it."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("axe is not installed; scripts/test installs it")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def scene(running_world: World) -> Scene:
    return play(running_world)


async def violations(page: Page) -> list[str]:
    if not await page.js("'axe' in globalThis"):
        await page.js(axe())
    found: dict[str, Any] = await page.js(
        "rules => axe.run({ runOnly: rules }).then(({ violations }) => ({ violations }))", RULES
    )
    return [
        f"{each['id']} at {node['target']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def check(page: Page, url: str) -> None:
    """Look at a page in both widths and both themes."""
    await page.goto(url)
    for width in (DESK, PHONE):
        for dark in (False, True):
            await page.resize(width, 900, dark=dark)
            assert await violations(page) == [], (url, width, dark)
            wide = await page.js("document.documentElement.scrollWidth")
            assert wide <= width, (url, f"{wide} px wide at {width}")


@pytest.mark.parametrize("name", PAGES)
async def test_axe_finds_nothing_on_a_page_of_an_owner(
    browser: Browser, scene: Scene, site: str, name: str
) -> None:
    page = await (await browser.person()).page()
    await sign_in(page, scene.world, site, "alice")
    await check(page, site + PAGES[name].format(waiting=scene.waiting))


@pytest.mark.parametrize("name", SIGNED_OUT)
async def test_axe_finds_nothing_on_a_page_before_signing_in(
    page: Page, scene: Scene, site: str, name: str
) -> None:
    await check(page, site + SIGNED_OUT[name])


@pytest.mark.parametrize("name", ["history", "setup", "quorum"])
@pytest.mark.parametrize("who", ["admin", "auditor"])
async def test_axe_finds_nothing_on_a_page_of_others(
    browser: Browser, scene: Scene, site: str, who: str, name: str
) -> None:
    page = await (await browser.person()).page()
    await sign_in(page, scene.world, site, who)
    await check(page, site + PAGES[name])


async def test_axe_finds_nothing_on_a_page_that_is_not_there(page: Page, scene: Scene, site: str) -> None:
    await page.goto(site + "/sign-in")
    await page.send("Page.navigate", url=site + "/nowhere")
    await page.shows("no such page")
    assert await violations(page) == []
    page.errors.clear()  # the browser's own word on the 404


async def test_axe_would_find_a_field_without_a_label(page: Page, scene: Scene, site: str) -> None:
    await page.goto(site + "/sign-in")
    await page.js("void document.querySelector('main').append(document.createElement('input'))")
    assert any(each.startswith("label ") for each in await violations(page))
