"""What dies takes its keys with it, and what starts again owes nothing and has lost nothing."""

import http.client
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from memory_scan import tree
from running import wait_until
from signing import SOON, Site, alive


@pytest.fixture(autouse=True)
def healed(running: Site) -> Iterator[None]:
    """Whatever a test killed runs again for the next."""
    yield
    if running.daemon.process is None:
        running.daemon.start()
    if running.signer.process is None:
        running.signer.start()
    wait_until(lambda: connected(running))


def open_key(site: Site, **lent: object) -> int:
    site.world.lend(**({"uses": 100} | lent))
    site.signer.issue()
    [keyholder] = site.signer.keyholders()
    return keyholder


def connected(site: Site) -> bool:
    return bool(site.signer.status()["custodian"] == "connected")


def test_a_key_is_wiped_when_the_custodian_is_gone_for_longer_than_the_grace(site: Site) -> None:
    keyholder = open_key(site)
    site.daemon.stop(signal.SIGKILL)
    died = time.monotonic()
    wait_until(lambda: not alive(keyholder), SOON)
    assert time.monotonic() - died > 0.2, "a moment's silence is no reason yet"
    refusal = site.signer.refusal()
    assert "the custodian cannot be reached" in refusal["message"]
    assert site.signer.keyholders() == []


def test_a_custodian_that_stops_and_starts_again_loses_nothing(site: Site) -> None:
    open_key(site)
    site.daemon.stop()
    wait_until(lambda: not connected(site))
    site.daemon.start()
    wait_until(lambda: connected(site))
    wait_until(lambda: site.signer.sign().status == 200)  # a busy machine may fall silent once more
    assert site.world.events(0).count("signature.recorded") >= 1


def test_a_custodian_that_stops_for_a_moment_costs_no_key(site: Site) -> None:
    keyholder = open_key(site)
    stream = site.signer.log.read_text().count("cannot be reached")
    os.kill(site.daemon.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(site.daemon.pid, signal.SIGCONT)
    assert site.signer.issue()
    assert site.signer.keyholders() == [keyholder]
    assert site.signer.log.read_text().count("cannot be reached") == stream


def test_a_custodian_that_hangs_is_as_good_as_gone(site: Site) -> None:
    keyholder = open_key(site)
    os.kill(site.daemon.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not alive(keyholder), SOON)
    finally:
        os.kill(site.daemon.pid, signal.SIGCONT)
    wait_until(lambda: connected(site))


def test_killing_the_api_process_ends_broker_and_keyholders(site: Site) -> None:
    keyholder = open_key(site)
    family = tree(site.signer.pid)
    assert keyholder in family
    assert len(family) >= 4
    site.signer.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, family)), SOON)


def test_killing_the_broker_ends_the_keyholders_and_is_told(site: Site) -> None:
    keyholder = open_key(site)
    os.kill(site.signer.status()["broker"]["pid"], signal.SIGKILL)
    wait_until(lambda: not alive(keyholder), SOON)
    began = time.monotonic()
    for _ in range(2):
        assert (
            site.signer.refusal()["message"] == "the broker is gone and every key with it; restart the signer"
        )
    assert time.monotonic() - began < SOON
    site.signer.stop()


def test_killing_a_keyholder_costs_its_uses_and_no_request(site: Site) -> None:
    lent = site.world.lend(uses=30)
    site.signer.issue()
    [keyholder] = site.signer.keyholders()
    os.kill(keyholder, signal.SIGKILL)
    assert site.signer.issue()
    assert site.signer.keyholders() != [keyholder]
    assert site.world.left(*lent) == [10, 10]


def test_killing_the_spare_keyholder_costs_nothing(site: Site) -> None:
    spare = next(pid for pid in tree(site.signer.status()["broker"]["pid"])[1:])
    os.kill(spare, signal.SIGKILL)
    open_key(site)


def test_what_was_lent_to_a_signer_dies_with_it(site: Site) -> None:
    open_key(site)
    site.signer.stop(signal.SIGKILL)
    site.signer.start()
    refusal = site.signer.refusal()
    assert refusal["quorum"]["obstacles"]["alice"] == "sealed to a recipient that is gone"
    assert refusal["quorum"]["needed"] == 2
    site.world.lend()
    assert site.signer.issue()


def test_stopping_while_clients_ask_ends_in_order(site: Site) -> None:
    lent = site.world.lend(uses=500)
    site.signer.issue()

    def ask(_: int) -> int:
        """Have certificates issued until the signer goes away; return how many it issued."""
        issued = 0
        while True:
            try:
                issued += site.signer.sign().status == 200
            except (OSError, http.client.HTTPException):
                return issued

    with ThreadPoolExecutor(4) as clients:
        asking = clients.map(ask, range(4))
        time.sleep(0.5)
        assert site.signer.stop() == 0
        issued = 1 + sum(asking)
    told = site.world.history()
    leases = {each["lease"] for each in told if lent[0] in str(each.get("spent"))}
    records = [each for each in told if each["type"] == "signature.recorded" and each["lease"] in leases]
    assert len(records) >= issued > 1, "no signature without its record"
    assert site.world.left(*lent) == [500 - len(records)] * 2, "every use that made none went back"
