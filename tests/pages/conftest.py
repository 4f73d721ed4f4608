"""A Chromium for the run, a custodian with its pages for each file, a browser for each test."""

import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Browser, Page, browsing
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from devtools import CHROMIUM, Chromium
from running import Daemon, World, make_daemon, populate

from custodian.tls import make_certificate

HOSTS = ("elsewhere.localhost",)


class Tls:
    """One certificate for every server of the run: a browser is told at its start what to trust."""

    def __init__(self) -> None:
        self.certificate, self.key = make_certificate(HOSTS, datetime.now(UTC))
        public = x509.load_pem_x509_certificate(self.certificate).public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.digest = base64.b64encode(hashlib.sha256(spki).digest()).decode()

    def write(self, directory: Path) -> None:
        """Take the place of the certificate that a custodian made for itself."""
        (directory / "tls.pem").write_bytes(self.certificate)
        (directory / "tls.key").write_bytes(self.key)


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
