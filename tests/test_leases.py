"""Leases: exact counts, one answer for one question, and how each comes to its end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bench import ADMIN, Bench
from examples import HOUR, NOW, PURPOSE, private_key

from custodian import accounts, ending, leases, records
from custodian.errors import BadInput, Conflict, Forbidden, NotFound
from custodian.quorum import Missing
from custodian.records import Signature
from custodian.terms import Constraints


def close(bench: Bench, lease: str, used: int) -> int:
    return bench.do(leases.close_lease, "ca-1", lease, used)


def signature(lease: str, number: int) -> Signature:
    return Signature(lease, number, "00" * 32, "0a", "server", ("www.example.com",), NOW + HOUR)


def record(bench: Bench, *signatures: Signature) -> int:
    return bench.do(records.record, "ca-1", list(signatures))


def live(bench: Bench) -> list[str]:
    return bench.look(leases.live_leases, "ca-1")


@pytest.fixture
def lent(bench: Bench) -> Bench:
    """Alice and bob have lent ten uses for an hour."""
    bench.lend("alice")
    bench.lend("bob")
    return bench


# -- granting


def test_a_lease_takes_its_uses_from_each_delegation_and_says_so(bench: Bench) -> None:
    hers, his = bench.lend("alice"), bench.lend("bob", uses=4)
    lease = bench.lease(uses=3)
    assert (bench.left(hers), bench.left(his)) == (7, 1)
    told = bench.entries()[-1]
    assert (told["type"], told["lease"], told["uses"]) == ("lease.granted", lease, 3)
    assert told["spent"] == [
        {"delegation": hers, "owner": "alice", "before": 10, "after": 7},
        {"delegation": his, "owner": "bob", "before": 4, "after": 1},
    ]


def test_a_lease_is_for_no_more_uses_than_the_least_delegation_has_left(bench: Bench) -> None:
    bench.lend("alice", uses=2)
    bench.lend("bob")
    lease = bench.look(leases.find_lease, "ca-1", bench.lease(uses=9))
    assert lease.uses == 2


def test_a_lease_ends_no_later_than_any_delegation(bench: Bench) -> None:
    bench.lend("alice", duration=timedelta(minutes=2))
    bench.lend("bob")
    lease = bench.look(leases.find_lease, "ca-1", bench.lease(duration=timedelta(hours=5)))
    assert lease.end == NOW + timedelta(minutes=2)


def test_a_third_delegation_is_not_spent_from(lent: Bench) -> None:
    before = lent.lend("carol")
    bench_left = [lent.left(each["id"]) for each in lent.entries() if each["type"] == "delegation.granted"]
    lent.lease(uses=2)
    after = [lent.left(each["id"]) for each in lent.entries() if each["type"] == "delegation.granted"]
    assert sum(bench_left) - sum(after) == 4
    assert before


def test_without_a_quorum_it_says_who_could_help(bench: Bench) -> None:
    bench.lend("alice")
    missing = bench.ask()
    assert isinstance(missing, Missing)
    assert (missing.count, missing.any_of, missing.granted) == (1, ("bob", "carol"), ("alice",))


def test_refusals_are_told_once_a_minute(bench: Bench) -> None:
    size = bench.size
    for n in range(50):
        bench.ask(f"request-{n}")
        bench.clock.advance(seconds=1)
    assert bench.events(size) == ["lease.refused"]
    bench.clock.advance(seconds=10)
    bench.ask("request-last")
    assert bench.events(size) == ["lease.refused"] * 2


@pytest.mark.parametrize(
    "what",
    [
        {"purpose": replace(PURPOSE, names=("evil.org",))},
        {"purpose": replace(PURPOSE, profile="ca")},
        {"purpose": replace(PURPOSE, validity=86_401)},
        {"purpose": replace(PURPOSE, ca=True)},
        {"recipient": private_key("somebody else's").public},
    ],
)
def test_delegations_that_do_not_fit_the_question_do_not_count(bench: Bench, what: dict[str, Any]) -> None:
    limits = Constraints(("server",), ("*.example.com",), 86_400)
    for owner in ("alice", "bob"):
        bench.lend(owner, constraints=limits)
    assert isinstance(bench.ask("outside", **what), Missing)
    assert bench.lease("inside")


def test_a_disabled_owners_delegation_does_not_count(lent: Bench) -> None:
    lent.do(accounts.disable, "bob", ADMIN)
    assert isinstance(lent.ask(), Missing)


def test_what_a_disabled_account_still_lends_does_not_count(lent: Bench) -> None:
    lent.do(lambda tx: tx.write("UPDATE account SET disabled = 1 WHERE name = 'bob'"))  # and revoked nothing
    assert isinstance(lent.ask(), Missing)


def test_leases_are_listed_newest_first_and_a_signer_sees_its_own(lent: Bench) -> None:
    first, second = lent.lease("request-1", uses=2), lent.lease("request-2")
    close(lent, first, 0)
    listed = lent.look(leases.list_leases)
    assert [(each.id, each.state(NOW)) for each in listed] == [(second, "live"), (first, "closed")]
    assert [each.state(NOW + HOUR) for each in listed] == ["expired", "closed"]
    assert len(listed[0].delegations) == 2
    assert lent.look(leases.list_leases, "ca-1") == listed
    assert lent.look(leases.list_leases, "ca-2") == []


def test_a_delegation_counts_from_its_first_second_to_its_last(bench: Bench) -> None:
    bench.lend("alice", start=NOW + HOUR)
    bench.lend("bob", duration=timedelta(hours=9))
    seen = []
    for step in (3599, 1, 3599, 1):
        bench.clock.advance(seconds=step)
        seen.append(isinstance(bench.ask(f"request-{len(seen)}"), str))
    assert seen == [False, True, True, False]


def test_a_signer_the_key_is_not_sealed_for_gets_nothing(lent: Bench) -> None:
    with pytest.raises(Forbidden, match="not sealed for the signer ca-2"):
        lent.do(leases.lease, "ca-2", lent.request())


# -- one answer for one question


def test_the_same_request_gets_the_same_lease_and_spends_nothing_again(lent: Bench) -> None:
    first = lent.lease("request-1", uses=2)
    size = lent.size
    assert lent.lease("request-1", uses=2) == first
    assert lent.size == size


@pytest.mark.parametrize(
    "other",
    [
        {"uses": 2},
        {"duration": timedelta(minutes=6)},
        {"purpose": replace(PURPOSE, names=("other.example.com",))},
        {"purpose": replace(PURPOSE, ca=True)},
        {"recipient": private_key("other").public},
    ],
)
def test_another_question_under_the_same_request_is_refused(lent: Bench, other: dict[str, Any]) -> None:
    lent.lease("request-1")
    with pytest.raises(Conflict, match="another question"):
        lent.ask("request-1", **other)


def test_a_request_whose_lease_has_ended_is_refused(lent: Bench) -> None:
    close(lent, lent.lease("request-1"), 0)
    with pytest.raises(Conflict, match="has ended: closed"):
        lent.ask("request-1")


def test_a_request_whose_lease_is_over_is_refused_though_nobody_closed_it(lent: Bench) -> None:
    lent.lease("request-1")
    lent.clock.advance(minutes=5)
    with pytest.raises(Conflict, match="has ended: expired"):
        lent.ask("request-1")


def test_a_refused_request_may_be_asked_again(bench: Bench) -> None:
    assert isinstance(bench.ask("request-1"), Missing)
    bench.lend("alice")
    bench.lend("bob")
    assert bench.lease("request-1")


# -- coming to an end


def test_a_clean_close_gives_unused_uses_back_to_each_delegation(bench: Bench) -> None:
    hers, his = bench.lend("alice"), bench.lend("bob")
    assert close(bench, bench.lease(uses=5), 2) == 3
    assert (bench.left(hers), bench.left(his)) == (8, 8)
    assert (bench.entries()[-1]["reason"], bench.entries()[-1]["returned"]) == ("closed", 3)


def test_closing_twice_gives_nothing_back_again(bench: Bench) -> None:
    hers, _ = bench.lend("alice"), bench.lend("bob")
    lease = bench.lease(uses=5)
    close(bench, lease, 0)
    assert close(bench, lease, 0) == 0
    assert bench.left(hers) == 10


@pytest.mark.parametrize("how", ["revoked", "expired", "replaced", "disabled"])
def test_nothing_comes_back_unless_the_close_is_clean(bench: Bench, how: str) -> None:
    hers, his = bench.lend("alice"), bench.lend("bob")
    lease = bench.lease(uses=5)
    if how == "revoked":
        bench.revoke("bob", his)
    elif how == "expired":
        bench.clock.advance(minutes=6, seconds=1)
        assert bench.do(ending.end_expired_leases) == [("ca-1", lease)]
    elif how == "replaced":
        assert bench.announce("second") == [("ca-1", lease)]
    else:
        bench.do(accounts.disable, "bob", ADMIN)
    assert close(bench, lease, 0) == 0
    assert bench.left(hers) == 5
    assert bench.entries()[-1]["returned"] == 0


@pytest.mark.parametrize("used", [-1, 6])
def test_a_close_with_an_impossible_count_is_refused(lent: Bench, used: int) -> None:
    lease = lent.lease(uses=5)
    with pytest.raises(BadInput, match="used"):
        close(lent, lease, used)
    assert live(lent) == [lease]


def test_a_close_may_not_deny_recorded_signatures(lent: Bench) -> None:
    lease = lent.lease(uses=5)
    record(lent, signature(lease, 1), signature(lease, 2))
    with pytest.raises(BadInput, match="2 signatures of this lease are recorded"):
        close(lent, lease, 1)


def test_no_signer_closes_anothers_lease(lent: Bench) -> None:
    lease = lent.lease()
    with pytest.raises(NotFound):
        lent.do(leases.close_lease, "ca-2", lease, 0)


def test_expired_leases_are_ended_after_a_minute_for_closing(lent: Bench) -> None:
    lent.lease()
    lent.clock.advance(minutes=6)
    assert not lent.look(ending.expired_leases)
    lent.clock.advance(seconds=1)
    assert lent.look(ending.expired_leases)


def test_a_replaced_recipient_makes_old_delegations_useless(lent: Bench) -> None:
    lent.announce("second")
    missing = lent.ask()
    assert isinstance(missing, Missing)
    assert missing.obstacles["alice"] == "sealed to a recipient that is gone"


# -- records


def test_a_record_is_written_once_however_often_it_is_sent(lent: Bench) -> None:
    lease = lent.lease(uses=3)
    size = lent.size
    assert record(lent, signature(lease, 1), signature(lease, 2)) == 2
    assert record(lent, signature(lease, 1), signature(lease, 2), signature(lease, 3)) == 1
    assert lent.events(size) == ["signature.recorded"] * 3


@pytest.mark.parametrize("number", [0, 4])
def test_a_record_of_a_signature_that_cannot_be_is_refused_with_its_batch(lent: Bench, number: int) -> None:
    lease = lent.lease(uses=3)
    size = lent.size
    with pytest.raises(BadInput, match="has no signature"):
        record(lent, signature(lease, 1), signature(lease, number))
    assert lent.size == size


def test_no_lease_while_records_are_owed(lent: Bench) -> None:
    lease = lent.lease(uses=3)
    record(lent, signature(lease, 1))
    close(lent, lease, 2)
    with pytest.raises(Conflict, match="records of 1 signatures are owed"):
        lent.ask("request-2")
    record(lent, signature(lease, 2))
    assert lent.lease("request-2")


def test_what_a_close_declared_holds_and_no_record_goes_beyond_it(lent: Bench) -> None:
    lease = lent.lease(uses=5)
    record(lent, signature(lease, 1))
    assert close(lent, lease, 2) == 3
    assert close(lent, lease, 5) == 0
    with pytest.raises(BadInput, match="has no signature 3"):
        record(lent, signature(lease, 2), signature(lease, 3))
    assert lent.look(records.records_owed, "ca-1") == 1
    assert record(lent, signature(lease, 1), signature(lease, 2)) == 1


def test_a_close_may_not_deny_a_recorded_number_though_those_before_it_are_owed(lent: Bench) -> None:
    lease = lent.lease(uses=5)
    record(lent, signature(lease, 3))
    with pytest.raises(BadInput, match="used"):
        close(lent, lease, 2)


def test_records_sent_before_a_close_are_not_owed(lent: Bench) -> None:
    lease = lent.lease(uses=3)
    record(lent, signature(lease, 1), signature(lease, 2))
    close(lent, lease, 2)
    assert lent.look(records.records_owed, "ca-1") == 0
