"""The outbox: told is what happened, once, in order, to whom it concerns, and not for ever."""

from datetime import timedelta
from typing import Any

import pytest
from bench import Bench, FakeClock

from custodian import notices
from custodian.notices import About, Waiting, pause, set_receivers, tell, try_again, waiting
from custodian.store import Transaction
from custodian.terms import Constraints

RECEIVERS = {"webhook:ops": "", "mail:alice": "alice", "mail:bob": "bob", "mail:carol": "carol"}


def about(bench: Bench, **changes: Any) -> About:
    usual: dict[str, Any] = {
        "request": "r-0123456789ab",
        "key": "ca",
        "signer": "ca-1",
        "asker": "carol",
        "on_behalf": "",
        "reason": "renew www",
        "uses": 3,
        "seconds": 3600,
        "constraints": Constraints(profiles=("server",), names=("www.example.com",)),
        "expires": bench.clock.now + timedelta(days=1),
        "owners": ("alice", "bob"),
    }
    return About(**usual | changes)


@pytest.fixture
def outbox(bench: Bench) -> Bench:
    bench.do(set_receivers, RECEIVERS)
    return bench


def due(bench: Bench) -> dict[str, Waiting]:
    return {each.receiver: each for each in bench.look(waiting)}


def test_a_notice_says_what_was_asked_and_nothing_that_opens_anything(outbox: Bench) -> None:
    outbox.do(tell, "made", about(outbox))
    body = due(outbox)["webhook:ops"].body
    assert body["id"].startswith("n-")
    assert {name: value for name, value in body.items() if name != "id"} == {
        "type": "request.made",
        "timestamp": "2026-11-23T12:00:00Z",
        "request": "r-0123456789ab",
        "key": "ca",
        "signer": "ca-1",
        "asker": "carol",
        "on_behalf": "",
        "reason": "renew www",
        "uses": 3,
        "seconds": 3600,
        "names": ["www.example.com"],
        "profiles": ["server"],
        "expires": "2026-11-24T12:00:00Z",
        "outcome": "",
    }


def test_owners_are_told_of_what_they_could_answer_and_the_asker_of_how_it_ended(outbox: Bench) -> None:
    outbox.do(tell, "made", about(outbox))
    assert set(due(outbox)) == {"webhook:ops", "mail:alice", "mail:bob"}
    for each in due(outbox).values():
        outbox.do(notices.done, each.seq)
    outbox.do(tell, "ended", about(outbox, outcome="answered"))
    assert set(due(outbox)) == {"webhook:ops", "mail:carol"}
    assert due(outbox)["mail:carol"].body["outcome"] == "answered"


def test_who_asked_is_not_asked(outbox: Bench) -> None:
    outbox.do(tell, "made", about(outbox, asker="alice"))
    assert "mail:alice" not in due(outbox)


def test_all_receivers_and_tries_have_one_id_and_no_two_notices_have_the_same(outbox: Bench) -> None:
    outbox.do(tell, "made", about(outbox))
    outbox.do(try_again, due(outbox)["webhook:ops"].seq)
    outbox.clock.advance(minutes=1)
    (first,) = {each.body["id"] for each in due(outbox).values()}
    for each in due(outbox).values():
        outbox.do(notices.done, each.seq)
    outbox.do(tell, "made", about(outbox))
    assert first not in {each.body["id"] for each in due(outbox).values()}


def test_nothing_is_told_of_a_change_that_did_not_happen(outbox: Bench) -> None:
    def fails(tx: Transaction) -> None:
        tell(tx, "made", about(outbox))
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        outbox.do(fails)
    assert due(outbox) == {}


def test_a_receiver_gets_one_after_the_other_in_the_order_in_which_it_happened(outbox: Bench) -> None:
    for number in range(3):
        outbox.do(tell, "made", about(outbox, reason=f"{number}"))
    reasons = []
    while "webhook:ops" in due(outbox):
        first = due(outbox)["webhook:ops"]
        reasons.append(first.body["reason"])
        outbox.do(notices.done, first.seq)
    assert reasons == ["0", "1", "2"]


def test_one_that_failed_waits_and_the_later_ones_of_its_receiver_with_it_but_no_other(outbox: Bench) -> None:
    for number in range(2):
        outbox.do(tell, "made", about(outbox, reason=f"{number}"))
    first = due(outbox)["webhook:ops"]
    seconds = outbox.do(try_again, first.seq)
    assert set(due(outbox)) == {"mail:alice", "mail:bob"}
    outbox.clock.advance(seconds=seconds)
    assert due(outbox)["webhook:ops"].seq == first.seq
    assert due(outbox)["webhook:ops"].tries == 1


def test_pauses_grow_up_to_a_quarter_of_an_hour_and_are_spread() -> None:
    assert [pause(tries, 1) for tries in range(5)] == [5, 10, 20, 40, 80]
    assert pause(8, 1) == pause(10_000, 1) == 900
    assert pause(8, 0) == 450
    assert pause(0, 0) >= 1


def test_a_notice_is_tried_for_a_day_and_then_given_up(outbox: Bench, clock: FakeClock) -> None:
    outbox.do(tell, "made", about(outbox))
    first = due(outbox)["webhook:ops"]
    clock.advance(hours=23, minutes=59)
    assert outbox.do(try_again, first.seq) > 0
    clock.advance(minutes=1)
    assert outbox.do(try_again, first.seq) == 0
    assert "webhook:ops" not in due(outbox)


def test_what_waits_for_a_receiver_that_is_no_more_is_dropped_and_the_rest_is_kept(outbox: Bench) -> None:
    outbox.do(tell, "made", about(outbox))
    outbox.do(set_receivers, {"mail:alice": "alice", "slack:team": ""})
    assert set(due(outbox)) == {"mail:alice"}
    outbox.do(tell, "reminder", about(outbox))
    assert set(due(outbox)) == {"mail:alice", "slack:team"}


def test_without_receivers_nothing_is_kept(bench: Bench) -> None:
    bench.do(tell, "made", about(bench))
    assert due(bench) == {}
