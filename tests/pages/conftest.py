"""A Chromium for the run, a custodian with its pages for each file, a browser for each test."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from blank import serving
from browser import Browser, Page, browsing
from devtools import CHROMIUM, Chromium
from page_owners import Owner, newcomer
from running import Daemon, World, make_daemon, populate
from trusted import Tls


@pytest.fixture(scope="session")
def tls() -> Tls:
    return Tls()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine; `apt-get install chromium` brings it")
    process = Chromium(tmp_path_factory.mktemp("chromium"), [tls.digest])
    yield process
    process.stop()


@pytest.fixture
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    """A browser; what any page of it complained of fails the test."""
    async with browsing(chromium) as browser:
        yield browser
        assert browser.unexpected() == []


@pytest.fixture
async def page(browser: Browser) -> Page:
    """A tab of somebody, empty."""
    return await (await browser.person()).page()


@pytest.fixture
async def blank(page: Page) -> AsyncIterator[Page]:
    """A tab that shows nothing; our modules can be run on it."""
    async with serving() as url:
        await page.goto(url)
        yield page


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[World]:
    """A running custodian with everybody enrolled, whose certificate the browser trusts."""
    directory = tmp_path_factory.mktemp("custodian") / "state"
    make_daemon(directory)
    tls.write(directory)
    world = populate(World(Daemon(directory).start()))
    yield world
    if world.daemon.process is not None:
        world.daemon.stop()


@pytest.fixture
def site(world: World) -> str:
    """Where the pages are: passkeys need a name, not an address."""
    return f"https://localhost:{urlsplit(world.daemon.url).port}"


@pytest.fixture
async def two(browser: Browser, world: World, site: str) -> list[Owner]:
    """Two owners who enrolled with a passkey and a device key, signed in by passkey."""
    owners = [await newcomer(browser, world, site) for _ in range(2)]
    for owner in owners:
        await owner.enrol("passkey", "device")
        await owner.sign_in_by_passkey()
    return owners
