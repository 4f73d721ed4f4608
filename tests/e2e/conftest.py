"""A custodian and a signer at work, for each file of stories."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from signing import Site, running_site

GRACE = (
    2.0  # seconds the custodian may be silent; short, since a test waits for it, but not for a busy machine
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory: Path = tmp_path_factory.mktemp("site")
    with running_site(directory, lease={"grace": GRACE}) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """The running custodian and signer, with nothing lent and no key open."""
    running.take_back()
    return running
