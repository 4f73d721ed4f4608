"""A custodian that lies gets no signature made: what it may change opens nothing, or is seen."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from running import wait_until
from signing import Site

from custodian.encoding import decode_base64, encode_base64


@contextmanager
def stopped(site: Site) -> Iterator[Path]:
    """Stop the custodian and hand out its database; start it again afterwards."""
    site.daemon.stop()
    yield site.daemon.directory / "custodian.db"
    site.daemon.start()
    wait_until(lambda: site.signer.status()["custodian"] == "connected")


def backup(database: Path, to: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = database.with_name(database.name + suffix)
        to.with_name(to.name + suffix).unlink(missing_ok=True)
        if part.exists():
            shutil.copyfile(part, to.with_name(to.name + suffix))


@pytest.fixture
def fresh_witness(site: Site) -> Iterator[None]:
    """Believe the custodian again, as an operator would who knows about a restored backup."""
    yield
    site.signer.stop()
    (site.signer.directory / "checkpoint").unlink(missing_ok=True)
    site.signer.start()


def test_a_history_that_went_back_is_not_believed(site: Site, tmp_path: Path, fresh_witness: None) -> None:
    site.world.lend(uses=100)
    with stopped(site) as database:
        backup(database, tmp_path / "old.db")
    site.signer.issue()
    site.take_back()
    with stopped(site) as database:
        for suffix in ("-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        backup(tmp_path / "old.db", database)
    before = site.world.size()
    shorter = site.signer.refusal()
    assert "was cut" in shorter["message"] or "histor" in shorter["message"]
    for _ in range(6):  # until it is longer than what the signer saw, with other entries
        site.world.lend(uses=100)
    grown = site.signer.refusal()
    assert grown["code"] == 2500
    assert "history" in grown["message"], grown
    assert "signature.recorded" not in site.world.events(before)
    assert site.signer.keyholders() == []
    again = site.signer.refusal()
    assert again["message"] == grown["message"]


def test_a_spoiled_share_names_its_owner_and_costs_no_use(site: Site) -> None:
    alices, bobs = site.world.lend(uses=100)
    with stopped(site) as database, closing(sqlite3.connect(database)) as connection:
        [(sealed,)] = connection.execute("SELECT sealed FROM delegation WHERE id = ?", (bobs,))
        [(recipient, share)] = json.loads(sealed).items()
        spoiled = bytearray(decode_base64(share, "share"))
        spoiled[-1] ^= 1
        connection.execute(
            "UPDATE delegation SET sealed = ? WHERE id = ?",
            (json.dumps({recipient: encode_base64(bytes(spoiled))}), bobs),
        )
        connection.commit()
    refusal = site.signer.refusal()
    assert refusal["message"] == "the share of bob was not sealed to this signer under these terms"
    assert site.world.left(alices, bobs) == [100, 100]
    assert site.signer.keyholders() == []
