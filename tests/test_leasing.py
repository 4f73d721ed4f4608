"""Leases over the wire: a key that opens, asks that come at once, news that comes in time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from running import SECRET, World

from custodian.checkpoint import follows, open_checkpoint, open_receipt
from custodian.encoding import decode_base64
from custodian.note import parse_verify_key

# -- over the wire


def test_a_quorum_opens_the_key_and_the_answer_proves_itself(world: World) -> None:
    world.lend("alice", "bob")
    seen = open_checkpoint(
        world.person("auditor", "GET", "/history/checkpoint").body, parse_verify_key(world.vkey)
    )
    lease = world.signer.ask(seen=seen.head.size).ok()
    assert world.signer.join(lease) == SECRET
    receipt = open_receipt(
        lease["receipt"].encode(), entry=lease["entry"].encode(), log=parse_verify_key(world.vkey)
    )
    follows(seen, receipt.checkpoint, [decode_base64(each, "proof") for each in lease["consistency"]])
    assert lease["id"] in lease["entry"]


def test_one_owner_alone_opens_nothing_and_the_answer_says_who_is_missing(world: World) -> None:
    world.lend("bob")
    answer = world.signer.ask()
    assert (answer.status, answer.json["type"]) == (409, "quorum-missing")
    assert answer.json["needed"] == 1
    assert answer.json["any_of"] == ["alice", "carol"]
    assert answer.json["granted"] == ["bob"]
    who = "1 more of the owners of ca must delegate: alice or carol"
    assert answer.json["detail"] == f"{who}; request {answer.json['request']} asks them"


def test_a_signer_that_saw_more_history_than_there_is_is_told_so_and_nothing_is_spent(world: World) -> None:
    lent = world.lend("alice", "bob")
    answer = world.signer.ask(seen=1_000_000)
    assert (answer.status, answer.json["type"]) == (409, "conflict")
    assert world.left(*lent) == [10, 10]


def test_an_answer_that_was_lost_can_be_had_again_with_a_newer_checkpoint_seen(world: World) -> None:
    lent, log = world.lend("alice", "bob"), parse_verify_key(world.vkey)
    first = world.signer.ask("lost-answer").ok()
    world.lend("carol")
    seen = open_checkpoint(world.person("auditor", "GET", "/history/checkpoint").body, log)
    world.lend("carol")
    again = world.signer.ask("lost-answer", seen=seen.head.size).ok()
    assert again["id"] == first["id"]
    assert world.left(*lent) == [9, 9]
    receipt = open_receipt(again["receipt"].encode(), entry=again["entry"].encode(), log=log)
    follows(seen, receipt.checkpoint, [decode_base64(each, "proof") for each in again["consistency"]])


def test_fifty_asks_at_once_for_one_use_get_exactly_one_lease(world: World) -> None:
    lent = world.lend("alice", uses=100) + world.lend("bob", uses=1)
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: world.signer.ask(), range(50)))
    assert sorted({each.status for each in answers}) == [201, 409]
    assert [each.status for each in answers].count(201) == 1
    assert world.left(*lent) == [99, 0]


def test_fifty_asks_at_once_under_one_request_are_one_lease(world: World) -> None:
    lent = world.lend("alice", "bob")
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: world.signer.ask("all-at-once"), range(50)))
    assert len({each.ok()["id"] for each in answers}) == 1
    assert world.left(*lent) == [9, 9]


# -- news


def test_a_revocation_reaches_the_signer_at_once(world: World) -> None:
    delegation, _ = world.lend("alice", "bob")
    lease = world.signer.ask().ok()["id"]
    news = world.signer.news()
    event, data = news.next() or ("", None)
    assert (event, lease in data["leases"]) == ("live", True)
    took = _latency(world, news, delegation)
    news.close()
    assert took < 2, "seconds from the owner's answer to the signer's news"


def _latency(world: World, news: Any, delegation: str) -> float:
    """Revoke, and return for how many seconds after the answer the news came; less than 0 is before it."""
    heard: list[float] = []

    def listen() -> None:
        assert news.next() is not None
        heard.append(time.monotonic())

    listener = threading.Thread(target=listen)
    listener.start()
    world.person("alice", "DELETE", f"/delegations/{delegation}").ok()
    answered = time.monotonic()
    listener.join(10)
    return heard[0] - answered


def test_news_of_one_signer_is_not_heard_by_another(world: World) -> None:
    delegation, _ = world.lend("alice", "bob")
    lease = world.signer.ask().ok()["id"]
    mine, others = world.signer.news(), world.signers["ca-2"].news()
    mine.next()
    assert others.next() == ("live", {"leases": []})
    world.person("alice", "DELETE", f"/delegations/{delegation}").ok()
    assert mine.next() == ("ended", {"lease": lease})
    other_lines = others.response.readline(), others.response.readline()
    assert other_lines == (b"event: ping\n", b"data: {}\n")
    mine.close()
    others.close()


def test_a_signer_that_starts_anew_loses_its_leases_and_hears_of_it(world: World) -> None:
    world.lend("alice", "bob")
    lease = world.signer.ask().ok()["id"]
    news = world.signer.news()
    news.next()
    world.signer.announce()
    assert news.next() == ("ended", {"lease": lease})
    news.close()
    assert world.signer.ask().status == 409


def test_a_signer_hears_of_a_lease_that_somebody_closed_with_its_token(world: World) -> None:
    world.lend()
    lease = world.signer.ask().ok()["id"]
    news = world.signer.news()
    assert news.next() == ("live", {"leases": [lease]})
    world.signer.call("POST", f"/leases/{lease}/close", {"used": 0}).ok()
    assert news.next() == ("ended", {"lease": lease})
    news.close()


def test_a_signer_hears_when_an_owner_is_shut_out(world: World) -> None:
    world.enrol("owner", "dora")
    world.seal_key("doras", "2 of (alice, dora)")
    world.lend("alice", "dora", key="doras")
    lease = world.signer.ask(key="doras").ok()["id"]
    news = world.signer.news()
    news.next()
    world.person("admin", "DELETE", "/accounts/dora").ok()
    assert news.next() == ("ended", {"lease": lease})
    news.close()


def test_a_signer_that_follows_again_learns_what_is_still_live(world: World) -> None:
    world.lend("alice", "bob")
    kept, closed = (world.signer.ask().ok()["id"] for _ in range(2))
    world.signer.call("POST", f"/leases/{closed}/close", {"used": 0}).ok()
    news = world.signer.news()
    assert news.next() == ("live", {"leases": [kept]})
    news.close()


def test_a_disabled_signer_hears_of_its_end_and_is_not_let_in_again(world: World) -> None:
    world.add_signer("ca-9")
    signer = world.signers.pop("ca-9")
    news = signer.news()
    assert news.next() == ("live", {"leases": []})
    world.person("admin", "DELETE", "/signers/ca-9").ok()
    assert news.next() is None
    news.response.close()
    news.close()
    assert signer.call("GET", "/keys").status == 401
    refused = world.delegate("alice", signer="ca-9")
    assert refused.status in (403, 409)
