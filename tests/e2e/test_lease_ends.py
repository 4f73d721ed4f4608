"""Each way a lease ends; after each, the process with the key is gone."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from running import Answer, wait_until
from signing import SOON, Site, alive

from custodian.encoding import format_instant, parse_instant


def open_key(site: Site) -> int:
    """Have a certificate issued; return the process that holds the key."""
    site.signer.issue()
    [keyholder] = site.signer.keyholders()
    return keyholder


def seconds_until_gone(pid: int) -> float:
    began = time.perf_counter()
    wait_until(lambda: not alive(pid), SOON)
    return time.perf_counter() - began


def ended_leases(site: Site) -> list[tuple[str, int]]:
    """Return why each lease ended, and how many of its uses went back, oldest first."""
    return [
        (each["reason"], each["returned"]) for each in site.world.history() if each["type"] == "lease.ended"
    ]


def test_a_revoked_key_is_gone_at_once(site: Site) -> None:
    taken = []
    for _ in range(5):
        lent = site.world.lend(uses=20)
        keyholder = open_key(site)
        site.world.person("bob", "DELETE", f"/delegations/{lent[1]}").ok()
        taken.append(seconds_until_gone(keyholder))
        assert site.signer.refusal()["quorum"]["any_of"] == ["bob", "carol"]
        site.take_back()
    print(f"\nrevoked to gone, ms: {[round(1000 * each, 1) for each in sorted(taken)]}")  # noqa: T201 - figures are for people


@contextmanager
def opening(site: Site) -> Iterator["Future[Answer]"]:
    """Ask for a certificate and hold the broker at the moment when the lease is granted, not yet open."""
    before = site.world.size()
    broker = site.signer.status()["broker"]["pid"]
    os.kill(broker, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as client:
            asked = client.submit(site.signer.sign)
            wait_until(lambda: "lease.granted" in site.world.events(before))
            time.sleep(0.1)
            yield asked
            os.kill(broker, signal.SIGCONT)
    finally:
        os.kill(broker, signal.SIGCONT)


def test_a_lease_that_is_revoked_while_its_key_opens_signs_nothing(site: Site) -> None:
    lent = site.world.lend(uses=20)
    with opening(site) as asked:
        site.world.person("bob", "DELETE", f"/delegations/{lent[1]}").ok()
        time.sleep(0.1)
    assert (
        asked.result().json["errors"][0]["message"] == "the lease ended while its key was opening; try again"
    )
    wait_until(lambda: not site.signer.keyholders())


def test_a_lease_whose_end_may_have_been_missed_while_it_opened_is_given_back(site: Site) -> None:
    lent = site.world.lend(uses=20)
    with opening(site) as asked:
        site.daemon.stop(signal.SIGKILL)
        site.daemon.start()
        time.sleep(0.5)
    assert asked.result().status == 503
    wait_until(lambda: site.world.left(*lent) == [20, 20])
    assert site.signer.keyholders() == []


def test_revoking_what_a_lease_does_not_rest_on_leaves_the_key_open(site: Site) -> None:
    site.world.lend("alice", "bob", uses=50, duration="2h")
    keyholder = open_key(site)
    [spare] = site.world.lend("carol", uses=50)
    site.world.person("carol", "DELETE", f"/delegations/{spare}").ok()
    time.sleep(0.2)
    assert alive(keyholder)
    assert open_key(site) == keyholder


def test_a_lent_key_signs_as_often_as_was_lent_and_no_more(site: Site) -> None:
    site.world.lend("alice", uses=13)
    site.world.lend("bob", uses=40)
    before = site.world.size()
    for _ in range(13):
        site.signer.issue()
    refusal = site.signer.refusal()
    assert refusal["quorum"]["obstacles"]["alice"] == "no uses left"
    assert refusal["quorum"]["granted"] == ["bob"]
    wait_until(lambda: not site.signer.keyholders())
    assert site.world.events(before).count("signature.recorded") == 13


def test_eight_clients_at_once_get_exactly_what_was_lent(site: Site) -> None:
    for lent in (30, 45):
        site.world.lend(uses=lent)
        before = site.world.size()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: site.signer.sign(), range(lent + 10)))
        issued = [each for each in answers if each.status == 200]
        assert len(issued) == lent, {each.body for each in answers if each.status != 200}
        assert all(each.json["quorum"]["needed"] == 2 for each in answers if each.status != 200)
        assert site.signer.refusal()["quorum"]["needed"] == 2
        assert site.world.events(before).count("signature.recorded") == lent


def test_a_key_is_gone_when_the_first_delegation_under_it_ends(site: Site) -> None:
    site.world.lend("alice", uses=100, duration="1h")
    view = site.world.delegate("bob", uses=100, duration="3s").ok()
    keyholder = open_key(site)
    end = parse_instant(view["end"], "end").timestamp()
    wait_until(lambda: not alive(keyholder), SOON)
    assert -0.5 < time.time() - end < 2
    wait_until(lambda: time.time() > end)  # a key is given back a little before its end
    assert site.signer.refusal()["quorum"]["any_of"] == ["bob", "carol"]


def test_the_kernel_ends_a_key_though_nobody_tells_it_to(site: Site) -> None:
    """Neither the API process nor the broker runs when the end comes."""
    site.world.lend("alice", duration="1h")
    end = parse_instant(site.world.delegate("bob", duration="3s").ok()["end"], "end").timestamp()
    keyholder = open_key(site)
    report = site.signer.status()
    stopped = [report["broker"]["pid"], site.signer.pid]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not alive(keyholder), SOON)
        assert -0.1 < time.time() - end < 2
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not site.signer.keyholders())


def test_a_delegation_that_has_not_begun_opens_nothing(site: Site) -> None:
    start = format_instant(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2))
    site.world.lend("alice")
    site.world.lend("bob", start=start)
    assert site.signer.refusal()["quorum"]["obstacles"]["bob"] == "not begun"
    wait_until(lambda: site.signer.sign().status == 200)


def test_an_idle_key_is_given_back_with_its_unused_uses(site: Site) -> None:
    site.signer.stop()
    site.signer.configure(lease={"idle": 0.5})
    site.signer.start()
    try:
        lent = site.world.lend(uses=10)
        keyholder = open_key(site)
        assert site.world.left(*lent) == [0, 0]
        wait_until(lambda: not alive(keyholder), SOON)
        wait_until(lambda: site.world.left(*lent) == [9, 9])
        assert ended_leases(site)[-1] == ("closed", 9)
        site.signer.issue()
        wait_until(lambda: site.world.left(*lent) == [8, 8])
    finally:
        site.signer.stop()
        site.signer.configure(lease={"idle": 60.0})
        site.signer.start()


def test_stopping_the_signer_gives_unused_uses_back(site: Site) -> None:
    lent = site.world.lend(uses=10)
    keyholder = open_key(site)
    assert site.signer.stop() == 0
    try:
        assert not alive(keyholder)
        assert ended_leases(site)[-1] == ("closed", 9)
        assert site.world.left(*lent) == [9, 9]
    finally:
        site.signer.start()


def test_history_says_all_of_it(site: Site) -> None:
    before = site.world.size()
    lent = site.world.lend(uses=2)
    site.signer.issue()
    site.signer.issue()
    wait_until(lambda: "lease.ended" in site.world.events(before))
    told = site.world.history(before)
    assert [each["type"] for each in told] == [
        "delegation.granted",
        "delegation.granted",
        "lease.granted",
        "signature.recorded",
        "signature.recorded",
        "lease.ended",
    ], json.dumps(told)
    assert [each["delegation"] for each in told[2]["spent"]] == lent
