"""Requests: who may ask, how owners answer, and each way in which a request ends."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bench import ADMIN, KDF, SIGNER, Bench
from examples import HOUR, NOW, OTHER_ID, PURPOSE, SECOND, SECRET, facts, private_key

from custodian import accounts, answering, asking, delegations, granting, keys, requests, signers, snapshot
from custodian.asking import AUTOMATIC, MOST_AN_HOUR, MOST_AUTOMATIC, MOST_WAITING, Need
from custodian.encoding import decode_base64
from custodian.envelope import seal
from custodian.errors import BadInput, Conflict, Forbidden, NotFound, QuorumMissing, TooMany
from custodian.events import Actor
from custodian.identity import Identity
from custodian.petition import MAX_WAIT, parse_petition
from custodian.quorum import Missing
from custodian.request_views import request as view_of
from custodian.requests import Request
from custodian.service import Custody
from custodian.terms import MAX_LIFE, Constraints, Purpose
from custodian.wire_requests import RequestView

ALICE, BOB, CAROL = (Actor(role="owner", name=name) for name in ("alice", "bob", "carol"))
CA_1 = Actor(role="signer", name="ca-1")
DAY = timedelta(days=1)


def need(**changes: Any) -> Need:
    usual: dict[str, Any] = {
        "key": "ca",
        "signer": "ca-1",
        "uses": 5,
        "duration": HOUR,
        "constraints": Constraints(),
        "reason": "renew the front ends",
    }
    return Need(**usual | changes)


def ask(bench: Bench, asker: Actor = ADMIN, **changes: Any) -> str:
    """Ask; return the request's id."""
    return bench.do(asking.make, asker, need(**changes)).id


def find(bench: Bench, request: str) -> Request:
    return bench.look(requests.find_request, request)


def state(bench: Bench, request: str) -> str:
    return bench.look(lambda tx: requests.find_request(tx, request).state(tx.now))


def view(bench: Bench, request: str) -> RequestView:
    return bench.look(lambda tx: view_of(tx, requests.find_request(tx, request)))


def answer(bench: Bench, owner: str, request: str, key: str = "ca", **changes: Any) -> str:
    """Lend as `owner` for a request; return the delegation's id."""
    found = bench.look(keys.find_key, key)
    wish = bench.wish(**{"request": request} | changes)
    terms = bench.look(delegations.draft, owner, found, wish, bench.recipient.public)
    bench.do(granting.grant, owner, terms, {str(each): "sealed" for each in terms.recipients})
    return str(terms.id)


def decline(bench: Bench, owner: str, request: str, reason: str = "not today") -> Request:
    return bench.do(answering.decline, owner, request, reason)


def veto(bench: Bench, owner: str, request: str) -> tuple[Request, list[tuple[str, str]]]:
    return bench.do(answering.veto, owner, request, "stop this")


def seal_key(bench: Bench, policy: str = "2 of (alice, bob, carol)", **rules: Any) -> None:
    """Put another key, `root`, into custody, with rules of its own."""
    identity = Identity(SIGNER.public_key().public_bytes_raw())
    about = facts(policy, name="root", id=OTHER_ID, signers={"ca-1": identity}, **rules)
    owners = {owner: private_key(owner).public for owner in about.policy.owners()}
    bench.do(keys.seal_key, "ca-1", bytes(seal(about, owners, SECRET, os.urandom)), "PEM")


# -- asking


def test_a_request_is_in_the_history_with_all_it_says(bench: Bench) -> None:
    limits = Constraints(("server",), ("*.example.com",), 86_400, ca=True)
    request = ask(bench, CA_1, constraints=limits, on_behalf="eve")
    told = bench.entries()[-1]
    assert (told["type"], told["actor"]) == ("request.made", {"role": "signer", "name": "ca-1"})
    assert (told["request"], told["key"], told["signer"], told["on_behalf"]) == (request, "ca", "ca-1", "eve")
    assert (told["uses"], told["seconds"], told["reason"]) == (5, 3600, "renew the front ends")
    assert told["expires"] == "2026-11-24T12:00:00Z"
    assert told["constraints"] == limits.record()


def test_what_is_asked_is_kept_to_the_byte(bench: Bench) -> None:
    petition = bench.do(asking.make, ADMIN, need()).petition
    assert find(bench, petition.id).petition == petition
    assert (petition.made, petition.expires, petition.role) == (NOW, NOW + DAY, "admin")


def test_equal_needs_are_different_requests(bench: Bench) -> None:
    assert ask(bench) != ask(bench)


@pytest.mark.parametrize("asker", [ADMIN, ALICE, CA_1])
def test_admins_owners_and_the_signer_itself_ask(bench: Bench, asker: Actor) -> None:
    assert state(bench, ask(bench, asker)) == "waiting"


def test_a_signer_asks_for_itself_only(bench: Bench) -> None:
    with pytest.raises(Forbidden, match="a signer asks for itself"):
        ask(bench, Actor(role="signer", name="ca-2"))


def test_people_ask_in_their_own_name(bench: Bench) -> None:
    with pytest.raises(BadInput, match="on_behalf"):
        ask(bench, ALICE, on_behalf="bob")


def test_nobody_asks_for_a_signer_that_the_key_is_not_sealed_for(bench: Bench) -> None:
    with pytest.raises(Forbidden, match="not sealed for the signer ca-2"):
        ask(bench, signer="ca-2")


def test_nobody_asks_for_a_signer_that_is_shut_out(bench: Bench) -> None:
    bench.do(signers.disable_signer, "ca-1", ADMIN)
    with pytest.raises(Conflict, match="is disabled"):
        ask(bench)


def test_nobody_asks_for_a_key_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(NotFound):
        ask(bench, key="nothing")


def test_nobody_asks_owners_who_are_too_few(bench: Bench) -> None:
    for owner in ("alice", "bob"):
        bench.do(accounts.disable, owner, ADMIN)
    with pytest.raises(Conflict, match="too few"):
        ask(bench)


@pytest.mark.parametrize(
    "wrong",
    [
        {"uses": 0},
        {"uses": 1_000_001},
        {"duration": timedelta(0)},
        {"duration": MAX_LIFE + SECOND},
        {"patience": timedelta(0)},
        {"patience": MAX_WAIT + SECOND},
        {"reason": ""},
        {"reason": "two\nlines"},
        {"reason": "x" * 256},
        {"constraints": Constraints(names=("é",))},
    ],
    ids=str,
)
def test_what_is_asked_keeps_to_the_limits(bench: Bench, wrong: dict[str, Any]) -> None:
    size = bench.size
    with pytest.raises(BadInput):
        ask(bench, **wrong)
    assert (bench.size, bench.look(requests.list_requests)) == (size, [])


def test_the_limits_themselves_are_allowed(bench: Bench) -> None:
    ask(bench, uses=1_000_000, duration=MAX_LIFE, patience=MAX_WAIT, reason="x" * 255)


def test_one_asker_has_so_many_requests_waiting_and_no_more(bench: Bench) -> None:
    made = [ask(bench, patience=timedelta(hours=2)) for _ in range(MOST_WAITING)]
    with pytest.raises(TooMany) as refused:
        ask(bench)
    assert refused.value.members["retry_after"] == 7200
    ask(bench, ALICE)
    bench.do(answering.withdraw, ADMIN, made[0])
    ask(bench)


def test_who_takes_back_what_they_asked_does_not_ask_without_end(bench: Bench) -> None:
    """It told every owner of each, twice, and made what every viewer is sent larger each time."""
    for _ in range(MOST_AN_HOUR):
        bench.clock.advance(seconds=10)
        bench.do(answering.withdraw, ADMIN, ask(bench))
    size = bench.size
    with pytest.raises(TooMany, match="times within an hour") as refused:
        ask(bench)
    assert bench.size == size
    ask(bench, ALICE)
    bench.clock.advance(seconds=refused.value.members["retry_after"])
    ask(bench)
    with pytest.raises(TooMany):
        ask(bench)


def test_the_live_view_shows_the_newest_of_what_ended_and_all_that_waits(bench: Bench) -> None:
    first = ask(bench, ALICE)
    ended = [ask(bench) for _ in range(3)]
    waiting = ask(bench)
    for each in ended:
        bench.do(answering.withdraw, ADMIN, each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "MOST_ENDED", 2)
        shown = bench.look(snapshot.take).state["requests"]
    assert [each["id"] for each in shown] == [waiting, ended[2], ended[1], first]


def test_what_has_expired_does_not_wait(bench: Bench) -> None:
    for _ in range(MOST_WAITING):
        ask(bench, patience=HOUR)
    bench.clock.advance(seconds=3600)
    ask(bench)


# -- answering


def test_a_quorum_answers_a_request(bench: Bench) -> None:
    request = ask(bench)
    answer(bench, "alice", request)
    assert (state(bench, request), view(bench, request).needed) == ("waiting", 1)
    answer(bench, "bob", request)
    assert state(bench, request) == "answered"
    granted, ended = bench.entries()[-2:]
    assert (granted["type"], granted["request"]) == ("delegation.granted", request)
    assert (ended["type"], ended["outcome"]) == ("request.ended", "answered")
    assert ended["actor"] == {"role": "owner", "name": "bob"}


def test_delegations_from_before_count(bench: Bench) -> None:
    bench.lend("alice")
    request = ask(bench)
    assert state(bench, request) == "waiting"
    answer(bench, "bob", request)
    assert state(bench, request) == "answered"


def test_a_delegation_that_does_not_name_the_request_answers_it_too(bench: Bench) -> None:
    request = ask(bench)
    bench.lend("alice")
    bench.lend("bob", request="ticket 7")
    assert state(bench, request) == "answered"


def test_a_quorum_for_less_than_what_is_asked_does_not_answer(bench: Bench) -> None:
    request = ask(bench, constraints=Constraints(names=("*.example.com",)))
    answer(bench, "alice", request)
    answer(bench, "bob", request, constraints=Constraints(names=("www.example.com",)))
    assert state(bench, request) == "waiting"
    answer(bench, "carol", request, constraints=Constraints(names=("*.example.com", "example.org")))
    assert state(bench, request) == "answered"


@pytest.mark.parametrize(
    "narrow",
    [
        Constraints(profiles=("server",)),
        Constraints(names=("*.example.com",)),
        Constraints(max_validity=2**31),
    ],
)
def test_what_is_not_limited_is_answered_by_what_is_not_limited(bench: Bench, narrow: Constraints) -> None:
    request = ask(bench)
    answer(bench, "alice", request)
    answer(bench, "bob", request, constraints=narrow)
    assert state(bench, request) == "waiting"


def test_every_profile_that_is_asked_for_must_be_lent_for(bench: Bench) -> None:
    request = ask(bench, constraints=Constraints(profiles=("server", "client")))
    answer(bench, "alice", request, constraints=Constraints(profiles=("server", "client")))
    answer(bench, "bob", request, constraints=Constraints(profiles=("server",)))
    assert state(bench, request) == "waiting"
    answer(bench, "carol", request, constraints=Constraints(profiles=("client", "server")))
    assert state(bench, request) == "answered"


def test_certificates_of_cas_are_asked_for_and_answered_by_name(bench: Bench) -> None:
    request = ask(bench, constraints=Constraints(ca=True))
    answer(bench, "alice", request, constraints=Constraints(ca=True))
    answer(bench, "bob", request)
    assert state(bench, request) == "waiting"


def test_a_delegation_that_begins_later_answers_then(bench: Bench) -> None:
    request = ask(bench)
    answer(bench, "alice", request)
    answer(bench, "bob", request, start=NOW + 60 * SECOND)
    assert state(bench, request) == "waiting"
    bench.clock.advance(seconds=59)
    assert bench.look(answering.overdue) == []
    bench.clock.advance(seconds=1)
    bench.do(answering.end_overdue)
    assert state(bench, request) == "answered"
    assert bench.entries()[-1]["actor"] == {"role": "custodian", "name": ""}


def test_nothing_answers_for_a_signer_that_was_shut_out(bench: Bench) -> None:
    request = ask(bench)
    answer(bench, "alice", request)
    answer(bench, "bob", request, start=NOW + 60 * SECOND)
    bench.do(signers.disable_signer, "ca-1", ADMIN)
    bench.clock.advance(seconds=60)
    assert bench.look(answering.overdue) == []
    assert view(bench, request).needed == 2


def test_a_request_made_while_a_quorum_is_live_waits_for_an_answer_of_its_own(bench: Bench) -> None:
    bench.lend("alice")
    bench.lend("bob")
    request = ask(bench)
    bench.do(answering.end_overdue)
    assert (state(bench, request), view(bench, request).needed) == ("waiting", 0)
    answer(bench, "carol", request)
    assert state(bench, request) == "answered"


def test_another_owner_may_add_to_an_answered_request_until_it_expires(bench: Bench) -> None:
    request = ask(bench)
    for owner in ("alice", "bob"):
        answer(bench, owner, request, duration=2 * DAY)
    bench.clock.advance(seconds=86_399)
    answer(bench, "carol", request)
    bench.clock.advance(seconds=1)
    with pytest.raises(Conflict, match="has ended: expired"):
        answer(bench, "carol", request)
    assert state(bench, request) == "answered"


def test_an_owner_may_lend_more_than_was_asked(bench: Bench) -> None:
    request = ask(bench, uses=1)
    answer(bench, "alice", request, uses=100, duration=DAY)
    assert [each.uses for each in view(bench, request).answers] == [100]


def test_an_answer_is_for_the_key_and_signer_of_the_request(bench: Bench) -> None:
    seal_key(bench)
    request, size = ask(bench), bench.size
    with pytest.raises(BadInput, match="is for ca through ca-1"):
        answer(bench, "alice", request, key="root")
    assert bench.size == size


def test_a_request_that_is_not_there_is_not_answered(bench: Bench) -> None:
    with pytest.raises(NotFound, match="there is no request r-0123456789ab"):
        answer(bench, "alice", "r-0123456789ab")


@pytest.mark.parametrize("text", ["", "ticket 7", "r-7", "r-0123456789abc", "R-0123456789ab"])
def test_a_text_that_is_no_id_of_ours_is_a_ticket_of_somewhere_else(bench: Bench, text: str) -> None:
    answer(bench, "alice", text)


# -- declining


def test_a_request_ends_when_those_who_did_not_decline_are_too_few(bench: Bench) -> None:
    request = ask(bench)
    assert decline(bench, "alice", request).outcome == ""
    assert decline(bench, "bob", request, "neither do I").outcome == "declined"
    declined, ended = bench.entries()[-2:]
    assert declined == declined | {"type": "request.declined", "request": request, "veto": 0}
    assert (declined["reason"], declined["actor"]["name"]) == ("neither do I", "bob")
    assert (ended["outcome"], ended["actor"]) == ("declined", {"role": "owner", "name": "bob"})


def test_owners_who_are_shut_out_count_as_if_they_had_declined(bench: Bench) -> None:
    request = ask(bench)
    bench.do(accounts.disable, "alice", ADMIN)
    assert decline(bench, "bob", request).outcome == "declined"


def test_who_declined_is_not_asked_any_more(bench: Bench) -> None:
    request = ask(bench)
    decline(bench, "alice", request)
    seen = view(bench, request)
    assert (seen.any_of, seen.needed) == (["bob", "carol"], 2)
    assert [(each.owner, each.reason, each.veto) for each in seen.declines] == [("alice", "not today", False)]


def test_declining_twice_is_not_an_error_and_told_once(bench: Bench) -> None:
    request = ask(bench)
    decline(bench, "alice", request)
    size = bench.size
    assert decline(bench, "alice", request).outcome == ""
    assert bench.size == size


def test_who_declined_may_still_answer_and_then_counts_again(bench: Bench) -> None:
    request = ask(bench)
    decline(bench, "alice", request)
    answer(bench, "alice", request)
    assert decline(bench, "bob", request).outcome == ""
    answer(bench, "carol", request)
    assert state(bench, request) == "answered"


def test_who_declined_answered_and_took_that_back_has_declined(bench: Bench) -> None:
    request = ask(bench)
    decline(bench, "alice", request)
    bench.revoke("alice", answer(bench, "alice", request))
    assert decline(bench, "bob", request).outcome == "declined"


def test_who_answered_takes_that_back_before_declining(bench: Bench) -> None:
    request = ask(bench)
    delegation = answer(bench, "alice", request)
    with pytest.raises(Conflict, match=f"custodian revoke {delegation}"):
        decline(bench, "alice", request)
    bench.revoke("alice", delegation)
    decline(bench, "alice", request)


def test_only_owners_of_the_key_decline(bench: Bench) -> None:
    bench.enrol("dora")
    request = ask(bench)
    with pytest.raises(Forbidden, match="dora holds no share of ca"):
        decline(bench, "dora", request)


def test_nobody_answers_a_declined_request(bench: Bench) -> None:
    request = ask(bench)
    decline(bench, "alice", request)
    decline(bench, "bob", request)
    with pytest.raises(Conflict, match="has ended: declined"):
        answer(bench, "carol", request)
    with pytest.raises(Conflict, match="has ended: declined"):
        decline(bench, "carol", request)


# -- a veto


def test_one_veto_ends_a_request_and_takes_back_what_answered_it(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    request = ask(bench, key="root")
    lent = [answer(bench, owner, request, key="root") for owner in ("alice", "bob")]
    apart = answer(bench, "bob", "ticket 7", key="root", duration=HOUR / 2)  # worth less
    lease = bench.lease(key="root")
    assert state(bench, request) == "answered"
    before = bench.size
    stopped, ended = veto(bench, "carol", request)
    assert (stopped.outcome, ended) == ("vetoed", [("ca-1", lease)])
    states = [bench.look(delegations.find_delegation, each).delegation.revoked for each in (*lent, apart)]
    assert states == [True, True, False]
    told = bench.entries(before)
    assert [each["type"] for each in told] == [
        "request.declined",
        "delegation.revoked",
        "lease.ended",
        "delegation.revoked",
        "request.ended",
    ]
    assert {each["actor"]["name"] for each in told if each["type"] != "lease.ended"} == {"carol"}
    assert told[0] == told[0] | {"veto": 1, "reason": "stop this"}
    assert isinstance(bench.ask("request-2", key="root"), Missing)


def test_a_vetoed_request_is_answered_no_more(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    request = ask(bench, key="root")
    veto(bench, "carol", request)
    with pytest.raises(Conflict, match="has ended: vetoed"):
        answer(bench, "alice", request, key="root")


def test_who_cannot_stop_a_request_alone_may_decline(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    request = ask(bench, key="root")
    with pytest.raises(Forbidden, match="may decline"):
        veto(bench, "alice", request)
    assert state(bench, request) == "waiting"


def test_a_veto_twice_is_not_an_error(bench: Bench) -> None:
    seal_key(bench, veto=("bob", "carol"))
    request = ask(bench, key="root")
    veto(bench, "carol", request)
    size = bench.size
    assert veto(bench, "bob", request)[1] == []
    assert bench.size == size


def test_an_owner_who_declined_can_still_veto(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    request = ask(bench, key="root")
    decline(bench, "carol", request)
    veto(bench, "carol", request)
    assert [(each.owner, each.veto) for each in view(bench, request).declines] == [("carol", True)]


def test_a_request_that_expired_is_vetoed_while_something_that_answers_it_is_live(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    request = ask(bench, key="root", patience=HOUR)
    answer(bench, "alice", request, key="root", duration=2 * HOUR)
    bench.clock.advance(seconds=7199)
    bench.do(answering.end_overdue)
    assert state(bench, request) == "expired"
    veto(bench, "carol", request)
    assert state(bench, request) == "vetoed"


def test_there_is_nothing_to_veto_once_all_is_over(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    request = ask(bench, key="root", patience=HOUR)
    answer(bench, "alice", request, key="root", duration=2 * HOUR)
    bench.clock.advance(seconds=7200)
    with pytest.raises(Conflict, match="has ended: expired"):
        veto(bench, "carol", request)


# -- no self-approval


def test_no_owner_answers_what_they_asked_for(bench: Bench) -> None:
    seal_key(bench, no_self_approval=True)
    request = ask(bench, ALICE, key="root")
    with pytest.raises(Forbidden, match="another owner of root has to answer"):
        answer(bench, "alice", request, key="root")
    answer(bench, "bob", request, key="root")
    answer(bench, "carol", request, key="root")
    assert state(bench, request) == "answered"


def test_a_signer_that_asks_for_an_owner_does_not_help_them(bench: Bench) -> None:
    seal_key(bench, no_self_approval=True)
    request = ask(bench, CA_1, key="root", on_behalf="alice")
    with pytest.raises(Forbidden, match="another owner"):
        answer(bench, "alice", request, key="root")


@pytest.mark.parametrize("text", ["", "ticket 7"])
def test_such_a_key_is_lent_for_requests_only(bench: Bench, text: str) -> None:
    seal_key(bench, no_self_approval=True)
    with pytest.raises(Forbidden, match="somebody else asked for"):
        answer(bench, "alice", text, key="root")


def test_the_asker_is_not_counted_among_those_who_could_answer(bench: Bench) -> None:
    seal_key(bench, no_self_approval=True)
    request = ask(bench, ALICE, key="root")
    seen = view(bench, request)
    assert (seen.any_of, seen.self_approval) == (["bob", "carol"], False)
    assert decline(bench, "bob", request).outcome == "declined"


def test_an_owner_whose_help_is_needed_cannot_ask_where_they_may_not_answer(bench: Bench) -> None:
    seal_key(bench, "2 of (alice, bob)", no_self_approval=True)
    with pytest.raises(Conflict, match="too few"):
        ask(bench, ALICE, key="root")
    ask(bench, ADMIN, key="root")


def test_where_it_is_not_forbidden_owners_answer_themselves(bench: Bench) -> None:
    request = ask(bench, ALICE)
    answer(bench, "alice", request)
    assert view(bench, request).self_approval


# -- withdrawing, reminding, expiring


def test_who_asked_withdraws(bench: Bench) -> None:
    request = ask(bench, CA_1)
    assert bench.do(answering.withdraw, CA_1, request).outcome == "withdrawn"
    assert bench.entries()[-1]["actor"] == {"role": "signer", "name": "ca-1"}
    with pytest.raises(Conflict, match="has ended: withdrawn"):
        bench.do(answering.withdraw, CA_1, request)
    with pytest.raises(Conflict, match="has ended: withdrawn"):
        answer(bench, "alice", request)


@pytest.mark.parametrize("other", [ALICE, CA_1, Actor(role="owner", name="admin")])
def test_nobody_else_withdraws(bench: Bench, other: Actor) -> None:
    request = ask(bench, ADMIN)
    with pytest.raises(Forbidden, match="only admin"):
        bench.do(answering.withdraw, other, request)


def test_what_is_answered_cannot_be_withdrawn(bench: Bench) -> None:
    request = ask(bench)
    answer(bench, "alice", request)
    answer(bench, "bob", request)
    with pytest.raises(Conflict, match="has ended: answered"):
        bench.do(answering.withdraw, ADMIN, request)


def test_a_request_expires_at_its_end_and_not_before(bench: Bench) -> None:
    request = ask(bench, patience=HOUR)
    bench.clock.advance(seconds=3599)
    bench.do(answering.end_overdue)
    assert state(bench, request) == "waiting"
    bench.clock.advance(seconds=1)
    with pytest.raises(Conflict, match="has ended: expired"):
        answer(bench, "alice", request)
    with pytest.raises(Conflict, match="has ended: expired"):
        decline(bench, "alice", request)
    assert (state(bench, request), find(bench, request).outcome) == ("expired", "")
    bench.do(answering.end_overdue)
    assert find(bench, request).outcome == "expired"
    last = bench.entries()[-1]
    assert (last["outcome"], last["actor"]["role"]) == ("expired", "custodian")
    assert bench.look(answering.overdue) == []


def test_a_grants_clock_starts_at_the_grant(bench: Bench) -> None:
    request = ask(bench, duration=HOUR)
    bench.clock.advance(minutes=30)
    answer(bench, "alice", request)
    assert view(bench, request).answers[0].end == "2026-11-23T13:30:00Z"


def test_owners_are_reminded_of_what_waits_but_not_without_pause(bench: Bench) -> None:
    request = ask(bench)
    bench.do(asking.remind, request)
    bench.clock.advance(seconds=599)
    with pytest.raises(TooMany) as refused:
        bench.do(asking.remind, request)
    assert refused.value.members["retry_after"] == 1
    bench.clock.advance(seconds=1)
    bench.do(asking.remind, request)
    bench.do(answering.withdraw, ADMIN, request)
    with pytest.raises(Conflict):
        bench.do(asking.remind, request)


# -- asked by the custodian, for a signer that found no quorum


def refused(bench: Bench, **changes: Any) -> Request | None:
    """Be refused a lease; return the request that asks for it."""
    wanted = bench.request(os.urandom(4).hex(), **changes)
    return bench.do(asking.ask_for_quorum, "ca-1", wanted)


def test_a_refused_lease_asks_for_exactly_what_was_refused(bench: Bench) -> None:
    made = refused(bench, uses=10)
    assert made is not None
    asked = made.petition
    assert (asked.role, asked.asker, asked.signer, asked.reason) == ("signer", "ca-1", "ca-1", AUTOMATIC)
    assert (asked.uses, asked.seconds, asked.expires - asked.made) == (10, 3600, HOUR)
    assert asked.constraints == Constraints(("server",), ("www.example.com",), 86_400)
    assert bench.entries()[-1]["actor"] == {"role": "signer", "name": "ca-1"}


def test_owners_lend_for_as_long_as_the_lease_if_that_is_longer(bench: Bench) -> None:
    made = refused(bench, duration=2 * HOUR)
    assert made is not None
    assert made.petition.seconds == 7200


def test_a_lease_answers_what_asked_for_it(bench: Bench) -> None:
    made = refused(bench)
    assert made is not None
    for owner in ("alice", "bob"):
        answer(bench, owner, made.id, constraints=made.petition.constraints, uses=made.petition.uses)
    assert state(bench, made.id) == "answered"
    bench.lease()


def test_the_same_need_is_asked_for_once(bench: Bench) -> None:
    first, again = refused(bench), refused(bench)
    assert first == again
    assert bench.events().count("request.made") == 1


def test_what_a_person_asks_for_is_not_asked_again(bench: Bench) -> None:
    request = ask(bench, ALICE, constraints=Constraints(names=("*.example.com",)))
    made = refused(bench)
    assert made is not None
    assert made.id == request


def test_another_need_is_another_request(bench: Bench) -> None:
    first = refused(bench)
    for other in (
        replace(PURPOSE, names=("api.example.com",)),
        replace(PURPOSE, profile="client"),
        replace(PURPOSE, validity=86_401),
        replace(PURPOSE, ca=True),
    ):
        assert refused(bench, purpose=other) != first


def test_so_many_automatic_requests_wait_and_no_more(bench: Bench) -> None:
    for number in range(MOST_AUTOMATIC):
        assert refused(bench, purpose=replace(PURPOSE, names=(f"{number}.example.com",)))
    assert refused(bench) is None
    bench.clock.advance(hours=1)
    assert refused(bench)


def test_what_was_declined_is_not_asked_again_for_ten_minutes(bench: Bench) -> None:
    made = refused(bench)
    assert made is not None
    decline(bench, "alice", made.id)
    decline(bench, "bob", made.id)
    assert refused(bench) is None
    assert refused(bench, purpose=replace(PURPOSE, names=("api.example.com",)))
    bench.clock.advance(seconds=599)
    assert refused(bench) is None
    bench.clock.advance(seconds=1)
    assert refused(bench)


def test_what_was_vetoed_is_not_asked_again_at_once(bench: Bench) -> None:
    seal_key(bench, veto=("carol",))
    made = refused(bench, key="root")
    assert made is not None
    veto(bench, "carol", made.id)
    assert refused(bench, key="root") is None


def test_what_one_owner_declined_still_asks_the_others(bench: Bench) -> None:
    made = refused(bench)
    assert made is not None
    decline(bench, "alice", made.id)
    assert refused(bench) == made


@pytest.mark.parametrize(
    "purpose",
    [
        Purpose("server", ("é.example.com",), 86_400),
        Purpose("server", tuple(f"{n}.example.com" for n in range(65)), 86_400),
        Purpose("server", ("x" * 256,), 86_400),
        Purpose("server", ("www.example.com",), 2**31 + 1),
    ],
    ids=["not ASCII", "too many names", "a long name", "a long validity"],
)
def test_what_constraints_cannot_say_is_not_asked_for(bench: Bench, purpose: Purpose) -> None:
    size = bench.size
    assert refused(bench, purpose=purpose) is None
    assert bench.size == size


def test_a_purpose_without_names_profile_or_validity_is_admitted_by_what_is_asked(bench: Bench) -> None:
    purpose = Purpose("", (), 0)
    made = refused(bench, purpose=purpose)
    assert made is not None
    assert made.petition.constraints == Constraints(max_validity=1)
    assert made.petition.constraints.refusal(purpose) is None


def test_too_few_owners_are_not_asked(bench: Bench) -> None:
    for owner in ("alice", "bob"):
        bench.do(accounts.disable, owner, ADMIN)
    assert refused(bench) is None


@pytest.mark.parametrize("automatic", [True, False])
async def test_a_refusal_names_the_request_that_asks_unless_that_is_off(
    bench: Bench, automatic: bool
) -> None:
    openers: Any = None  # none is asked
    custody = Custody(bench.store, openers, KDF, "vkey")
    custody.asks_for_quorums = automatic
    with pytest.raises(QuorumMissing) as refusal:
        await custody.lease("ca-1", bench.request(), 0)
    made = bench.look(requests.list_requests)
    assert [each.id for each in made] == ([refusal.value.members["request"]] if automatic else [])
    who = "2 more of the owners of ca must delegate: any of alice, bob, carol"
    assert refusal.value.detail == (f"{who}; request {made[0].id} asks them" if automatic else who)


async def test_what_a_signer_that_saw_more_than_there_is_asks_for_is_not_asked(bench: Bench) -> None:
    openers: Any = None
    custody = Custody(bench.store, openers, KDF, "vkey")
    with pytest.raises(Conflict, match="it was cut"):
        await custody.lease("ca-1", bench.request(), 1_000_000)
    assert bench.look(requests.list_requests) == []


# -- what people see


def test_a_view_says_what_was_asked_and_how_it_stands(bench: Bench) -> None:
    request = ask(bench, CA_1, on_behalf="eve")
    delegation = answer(bench, "bob", request)
    seen = view(bench, request)
    petition = find(bench, request).petition
    assert (seen.id, seen.asker, seen.asker_role, seen.on_behalf) == (request, "ca-1", "signer", "eve")
    assert (seen.state, seen.ended, seen.needed, seen.any_of) == ("waiting", None, 1, ["alice", "carol"])
    assert [(each.owner, each.delegation, each.state) for each in seen.answers] == [
        ("bob", delegation, "live")
    ]
    assert tuple(seen.words) == petition.words
    assert seen.policy == "2 of (alice, bob, carol)"


def test_a_view_knows_the_bytes(bench: Bench) -> None:
    request = ask(bench)
    assert parse_petition(decode_base64(view(bench, request).body, "body")) == find(bench, request).petition


def test_who_took_an_answer_back_could_answer_again(bench: Bench) -> None:
    request = ask(bench)
    delegation = answer(bench, "alice", request)
    assert view(bench, request).any_of == ["bob", "carol"]
    bench.revoke("alice", delegation)
    assert view(bench, request).any_of == ["alice", "bob", "carol"]


def test_a_request_that_ended_asks_nobody(bench: Bench) -> None:
    request = ask(bench, patience=HOUR)
    bench.clock.advance(hours=1)
    seen = view(bench, request)
    assert (seen.state, seen.ended, seen.needed, seen.any_of) == ("expired", "2026-11-23T13:00:00Z", 0, [])


def test_a_view_tells_of_earlier_requests_of_this_asker_for_this_key(bench: Bench) -> None:
    first = ask(bench)
    assert (view(bench, first).before, view(bench, first).last_before) == ({}, None)
    bench.do(answering.withdraw, ADMIN, first)
    bench.clock.advance(minutes=5)
    ask(bench, patience=HOUR)
    ask(bench, ALICE)
    bench.clock.advance(hours=1)
    seen = view(bench, ask(bench))
    assert seen.before == {"withdrawn": 1, "expired": 1}
    assert seen.last_before == "2026-11-23T12:05:00Z"
    assert view(bench, first).before == {}


def test_requests_are_listed_newest_first_by_state_key_and_signer(bench: Bench) -> None:
    seal_key(bench)
    old, new = ask(bench, patience=HOUR), ask(bench, key="root")
    bench.clock.advance(hours=1)

    def listed(**chosen: str) -> list[str]:
        return [each.id for each in bench.look(requests.list_requests, **chosen)]

    assert listed() == [new, old]
    assert (listed(state="waiting"), listed(state="expired")) == ([new], [old])
    assert (listed(key_id=OTHER_ID), listed(signer="ca-1"), listed(signer="ca-2")) == ([new], [new, old], [])
    bench.do(answering.withdraw, ADMIN, new)
    assert (listed(state="waiting"), listed(state="withdrawn")) == ([], [new])


def test_what_is_recent_waits_or_ended_a_moment_ago(bench: Bench) -> None:
    old, new = ask(bench), ask(bench)
    bench.do(answering.withdraw, ADMIN, old)
    at = int(bench.clock.now.timestamp())
    assert [each.id for each in bench.look(requests.recent_requests, at - 1)] == [new, old]
    assert [each.id for each in bench.look(requests.recent_requests, at)] == [new]
