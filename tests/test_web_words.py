"""What the pages say of numbers, times, requests and quorums."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custodian.encoding import format_instant
from custodian.policy import parse_policy
from custodian.web import asked, dial, words
from custodian.web.asked import Asked
from custodian.web.dial import ending, make_dial
from custodian.wire import DelegationView, LiveOwner, Outlook, WireConstraints
from custodian.wire_requests import RequestAnswer, RequestDecline, RequestView

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POLICY = "2 of (alice, bob, carol)"


def at(**later: int) -> str:
    return format_instant(NOW + timedelta(**later))


def view(**changes: Any) -> RequestView:
    usual: dict[str, Any] = {
        "id": "r-0123456789ab",
        "key": "ca",
        "signer": "ca-1",
        "asker": "ca-1",
        "asker_role": "signer",
        "on_behalf": "",
        "uses": 40,
        "seconds": 3_600,
        "constraints": WireConstraints(),
        "reason": "change 8812",
        "made": at(minutes=-4),
        "expires": at(minutes=25),
        "state": "waiting",
        "ended": None,
        "words": ["otter", "violet", "canyon", "maple"],
        "policy": POLICY,
        "needed": 2,
        "any_of": ["alice", "bob", "carol"],
        "vetoers": [],
        "self_approval": True,
        "answers": [],
        "declines": [],
        "before": {},
        "last_before": None,
        "body": "",
    }
    return RequestView(**usual | changes)


def answer(owner: str) -> RequestAnswer:
    return RequestAnswer(owner=owner, delegation="d-1", uses=40, left=40, end=at(hours=1), state="live")


def loan(owner: str, end: str, **changes: Any) -> DelegationView:
    usual: dict[str, Any] = {
        "id": f"d-{owner}",
        "owner": owner,
        "key": "ca",
        "signer": "ca-1",
        "uses": 5,
        "left": 3,
        "start": at(minutes=-5),
        "end": end,
        "state": "live",
        "constraints": WireConstraints(),
        "request": "",
        "terms": "",
    }
    return DelegationView(**usual | changes)


def outlook(*lent: DelegationView, policy: str = POLICY) -> Outlook:
    parsed, owners = parse_policy(policy), {each.owner for each in lent}
    return Outlook(
        key="ca",
        signer="ca-1",
        policy=policy,
        open=parsed.met_by(owners),
        needed=parsed.still_needed(owners),
        any_of=list(parsed.could_help(owners)),
        live=[LiveOwner(owner=each.owner, left=each.left, end=each.end) for each in lent],
        until=min((each.end for each in lent), default=None) if parsed.met_by(owners) else None,
        leases=0,
    )


def made(*lent: DelegationView, **changes: Any) -> dial.Dial:
    usual: dict[str, Any] = {"disabled": frozenset(), "now": NOW, "requests": []}
    given = usual | changes
    requests = given.pop("requests")
    return make_dial(outlook(*lent), ["alice", "bob", "carol"], lent, requests, **given)


# --- numbers and times


@pytest.mark.parametrize(
    ("seconds", "shown", "brief"),
    [
        (-1, "0:00", "0:00"),
        (0, "0:00", "0:00"),
        (59, "0:59", "0:59"),
        (543, "9:03", "9:03"),
        (3_599, "59:59", "59:59"),
        (3_600, "1 h 00 min", "1:00 h"),
        (86_399, "23 h 59 min", "23:59 h"),
        (86_400, "1 d 0 h", "1 d"),
        (273_600, "3 d 4 h", "3 d"),
    ],
)
def test_a_countdown_is_calm_when_it_is_long(seconds: int, shown: str, brief: str) -> None:
    assert (words.clock(seconds), words.brief(seconds)) == (shown, brief)


def test_small_numbers_are_words() -> None:
    assert [words.number(n) for n in (0, 1, 12, 13, 1_000)] == ["no", "one", "twelve", "13", "1,000"]


def test_lists_read_as_people_say_them() -> None:
    assert [words.listed(each) for each in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert words.listed(["a", "b"], "or") == "a or b"


def test_durations_have_two_units_at_most() -> None:
    assert words.long_duration(3_600) == "1 hour"
    assert words.long_duration(93_784) == "1 day 2 hours"
    assert words.long_duration(1) == "1 second"


def test_times_are_said_from_now() -> None:
    assert words.ago(at(minutes=-4), now=NOW) == "4 minutes ago"
    assert words.ago(at(), now=NOW) == "just now"
    assert words.ahead(at(minutes=25), now=NOW) == "in 25 minutes"
    assert words.ahead(at(minutes=-1), now=NOW) == "now"
    assert words.moment(at(hours=2), now=NOW) == "14:00 UTC"
    assert words.moment(at(days=1), now=NOW) == "24 November 12:00 UTC"


def test_days_have_names_when_they_are_near() -> None:
    assert words.day(at(hours=-1), now=NOW) == "Today, 23 November"
    assert words.day(at(hours=-13), now=NOW) == "Yesterday, 22 November"
    assert words.day(at(days=-2), now=NOW) == "21 November"
    assert words.day("2025-11-23T12:00:00Z", now=NOW) == "23 November 2025"


def test_the_share_of_time_that_is_left_is_never_more_than_all_nor_less_than_nothing() -> None:
    assert words.share_left(at(minutes=-15), at(minutes=45), now=NOW) == 75
    assert words.share_left(at(hours=1), at(hours=2), now=NOW) == 100
    assert words.share_left(at(hours=-2), at(hours=-1), now=NOW) == 0
    assert words.share_left(at(), at(), now=NOW) == 0


def test_initials_stand_for_a_name() -> None:
    assert [words.initials(each) for each in ("alice", "jun.tanaka", "a", "ca-1")] == ["AL", "JT", "A", "C1"]


# --- requests


def test_a_request_is_named_by_what_would_be_signed() -> None:
    assert Asked(view(), "alice").title == "Sign 40 certificates"
    server = WireConstraints(profiles=["server"], names=["a.x", "b.x", "c.x", "d.x"])
    assert Asked(view(uses=1, constraints=server), "alice").title == "Sign one server certificate"
    assert Asked(view(constraints=server), "alice").subject == "a.x, b.x, c.x and 1 more name"
    assert (
        Asked(view(uses=2, constraints=WireConstraints(ca=True)), "alice").title == "Sign two CA certificates"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nobody has lent yet; with you, one more owner to go"),
        ({"needed": 1, "answers": [answer("bob")]}, "bob has lent; your answer decides"),
        ({"needed": 1}, "what was lent before counts; your answer decides"),
        ({"needed": 1, "any_of": ["bob"], "answers": [answer("alice")]}, "you have lent"),
        ({"any_of": ["bob"]}, "nobody has lent yet"),
        (
            {"state": "answered", "needed": 0, "answers": [answer("bob"), answer("carol")]},
            "bob and carol have lent",
        ),
        ({"state": "expired"}, "nobody lent"),
    ],
)
def test_a_request_says_who_has_lent_and_what_my_answer_does(changes: dict[str, Any], said: str) -> None:
    assert Asked(view(**changes), "alice").standing == said


def test_only_what_waits_for_me_is_mine() -> None:
    assert Asked(view(), "alice").mine
    assert not Asked(view(), "dave").mine
    assert not Asked(view(state="vetoed"), "alice").mine
    assert not Asked(view(state="vetoed", vetoers=["alice"]), "alice").may_veto
    assert Asked(view(vetoers=["alice"]), "alice").may_veto


def test_a_signer_of_my_name_is_not_me() -> None:
    assert not Asked(view(asker="alice", asker_role="signer"), "alice").asked_by_me
    assert Asked(view(asker="alice", asker_role="owner"), "alice").asked_by_me


@pytest.mark.parametrize(
    ("seconds", "times"),
    [
        (600, [600]),
        (900, [900]),
        (1_800, [900, 1_800]),
        (3_600, [900, 3_600]),
        (86_400, [900, 3_600, 14_400, 86_400]),
    ],
)
def test_no_preset_is_longer_than_asked(seconds: int, times: list[int]) -> None:
    assert [each for each, _ in Asked(view(seconds=seconds), "alice").times] == times


@pytest.mark.parametrize(("uses", "offered"), [(1, [1]), (3, [1, 3]), (5, [1, 5]), (40, [1, 5, 40])])
def test_no_preset_has_more_uses_than_asked(uses: int, offered: list[int]) -> None:
    assert [each for each, _ in Asked(view(uses=uses), "alice").uses] == offered


def test_the_history_of_earlier_requests_is_one_sentence() -> None:
    assert Asked(view(), "alice").earlier == "This is the first request of ca-1 for ca."
    before = {"answered": 2, "declined": 1}
    assert (
        Asked(view(before=before), "alice").earlier
        == "Three earlier requests of ca-1 for ca: two answered and one declined."
    )


def test_the_line_for_a_terminal_quotes_what_a_shell_would_read() -> None:
    hostile = WireConstraints(
        names=["*.example.com", "; rm -rf ~"], profiles=["$(id)"], max_validity=86_400, ca=True
    )
    assert Asked(view(constraints=hostile), "alice").command() == (
        "custodian delegate ca --signer ca-1 --uses 40 --for 1h --profile '$(id)' --name '*.example.com'"
        " --name '; rm -rf ~' --max-validity 1d --allow-ca --request r-0123456789ab -u alice"
    )


def test_the_headline_answers_why_one_opened_the_page() -> None:
    mine, other = Asked(view(), "alice"), Asked(view(any_of=["bob"]), "alice")
    assert asked.headline([mine, mine, other], "alice", "owner") == "Two requests need you, alice"
    assert asked.headline([mine], "alice", "owner") == "One request needs you, alice"
    assert asked.headline([other], "alice", "owner") == "Nothing needs you, alice"
    assert asked.headline([other], "admin", "admin") == "One request waits"
    assert asked.headline([], "admin", "admin") == "No requests wait"


# --- quorums


def test_arcs_fill_the_circle_and_a_closed_one_shows_no_gap() -> None:
    one = made(loan("alice", at(hours=1)))
    assert [each.lent for each in one.arcs] == [True, False]
    assert sum(each.length for each in one.arcs) == dial.CIRCLE - 2 * dial.GAP
    whole = made(loan("alice", at(hours=1)), loan("bob", at(hours=1)))
    assert [each.lent for each in whole.arcs] == [True, True]
    assert sum(each.length for each in whole.arcs) >= dial.CIRCLE


def test_each_owner_is_shown_as_they_stand() -> None:
    declined = RequestDecline(owner="bob", reason="no", veto=False, at=at())
    request = view(declines=[declined], any_of=["carol"], needed=1)
    found = made(loan("alice", at(hours=1)), requests=[request])
    assert [(each.name, each.state) for each in found.owners] == [
        ("alice", "lent"),
        ("bob", "declined"),
        ("carol", "asked"),
    ]
    assert found.request == request.id
    out = made(disabled=frozenset({"bob"}))
    assert [each.state for each in out.owners] == ["idle", "out", "idle"]
    over = made(requests=[view(state="expired")])
    assert [each.state for each in over.owners] == ["idle", "idle", "idle"]


def test_of_several_loans_of_an_owner_the_one_that_lasts_longest_is_shown() -> None:
    short, long = loan("alice", at(minutes=5)), loan("alice", at(hours=5), id="d-long")
    assert made(long, short).owners[0].delegation == long


@pytest.mark.parametrize(
    ("ends", "lost"),
    [
        ({"alice": 60, "bob": 60}, None),
        ({"alice": 60, "bob": 14}, ("bob", ("bob", "carol"))),
        ({"alice": 60, "bob": 15}, ("bob", ("bob", "carol"))),
        ({"alice": 60, "bob": 16}, None),
        ({"alice": 60, "bob": 5, "carol": 60}, None),
        ({"alice": 9, "bob": 5, "carol": 60}, ("alice", ("alice", "bob"))),
        ({"alice": 5}, None),
    ],
)
def test_a_quorum_that_ends_within_fifteen_minutes_says_who_can_keep_it(
    ends: dict[str, int], lost: tuple[str, tuple[str, ...]] | None
) -> None:
    instants = {owner: at(minutes=minutes) for owner, minutes in ends.items()}
    found = ending(parse_policy(POLICY), instants, frozenset(), NOW)
    assert (found and (found.owner, found.helpers)) == lost


def test_whoever_is_shut_out_can_keep_nothing() -> None:
    ends = {"alice": at(hours=1), "bob": at(minutes=5)}
    found = ending(parse_policy(POLICY), ends, frozenset({"carol"}), NOW)
    assert found is not None
    assert found.helpers == ("bob",)


def test_the_head_of_the_quorum_page_says_how_things_stand() -> None:
    one, whole = made(loan("alice", at(hours=1))), made(loan("alice", at(hours=1)), loan("bob", at(hours=1)))
    assert dial.headline([]) == "There is no key yet"
    assert dial.headline([made()]) == "ca is two owners short"
    assert dial.headline([one]) == "ca is one owner short"
    assert dial.headline([whole]) == "ca can open"
    assert dial.headline([one, whole]) == "1 of 2 quorums are complete"
    assert dial.headline([one, one]) == "No quorum is complete"
    assert dial.headline([whole, whole]) == "Every quorum is complete"
