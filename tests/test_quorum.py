"""The rule, clause by clause; `ask()` is what a signer wants at NOW, `delegation()` what an owner lent."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from examples import HOUR, NOW, OTHER_ID, PURPOSE, SECOND, ask, delegation, private_key, subsets

from custodian.errors import BadInput
from custodian.policy import parse_policy
from custodian.quorum import Delegation, Grant, Missing, judge, spend
from custodian.terms import Constraints

POLICY = parse_policy("2 of (alice, bob, carol)")
MICROSECOND = timedelta(microseconds=1)


def granted(*delegations: Delegation, now=NOW, **asked) -> Grant:
    verdict = judge(POLICY, delegations, ask(**asked), now)
    assert isinstance(verdict, Grant)
    return verdict


def missing(*delegations: Delegation, now=NOW, **asked) -> Missing:
    verdict = judge(POLICY, delegations, ask(**asked), now)
    assert isinstance(verdict, Missing)
    return verdict


@pytest.mark.parametrize(
    "text",
    [
        "2 of (alice, bob, carol)",
        "3 of (alice, bob, carol, dave)",
        "2 of (alice, bob, 1 of (carol, dave))",
        "alice & (bob | carol) | dave & erin",
        "2 of (2 of (alice, bob), 1 of (carol, 2 of (dave, erin)), frank)",
    ],
)
def test_exactly_the_sets_of_owners_that_satisfy_the_policy_open_the_key(text):
    policy = parse_policy(text)
    for owners in subsets(list(policy.owners())):
        verdict = judge(policy, [delegation(owner) for owner in owners], ask(), NOW)
        if policy.met_by(owners):
            assert isinstance(verdict, Grant)
            assert policy.met_by([each.terms.owner for each in verdict.spent])
        else:
            assert isinstance(verdict, Missing)
            assert verdict.count == policy.still_needed(owners)
            assert verdict.any_of == policy.could_help(owners)
            assert verdict.granted == tuple(sorted(owners))


def test_two_delegations_of_one_owner_are_one_owner():
    verdict = missing(delegation("alice"), delegation("alice", nonce="1" * 32))
    assert (verdict.count, verdict.any_of) == (1, ("bob", "carol"))


def test_nothing_delegated_is_nothing_lent():
    assert missing() == Missing(count=2, any_of=("alice", "bob", "carol"), granted=(), obstacles={})


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (delegation("bob", revoked=True), "revoked"),
        (delegation("bob", left=0), "no uses left"),
        (delegation("bob", left=-1), "no uses left"),
        (delegation("bob", start=NOW + SECOND), "not begun"),
        (delegation("bob", start=NOW - HOUR, end=NOW), "ended"),
        (delegation("bob", key_id=OTHER_ID), "for another key or signer"),
        (delegation("bob", signer="ca-2"), "for another key or signer"),
        (delegation("bob", recipients=(private_key("old").public,)), "sealed to a recipient that is gone"),
        (
            delegation("bob", constraints=Constraints(profiles=("client",))),
            "profile 'server' is not one of client",
        ),
        (
            delegation("bob", constraints=Constraints(names=("*.example.org",))),
            "name 'www.example.com' is outside",
        ),
        (
            delegation("bob", constraints=Constraints(max_validity=60)),
            "a validity of 86400 s is longer than 60 s",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_each_clause_alone_keeps_a_delegation_from_counting(broken, why):
    verdict = missing(delegation("alice"), broken)
    assert verdict.obstacles["bob"].startswith(why)
    assert (verdict.count, verdict.any_of, verdict.granted) == (1, ("bob", "carol"), ("alice",))
    granted(delegation("alice"), broken, delegation("carol"))


def test_a_certificate_of_a_ca_needs_owners_who_allow_it():
    ca = replace(PURPOSE, ca=True)
    allowed = delegation("alice", constraints=Constraints(ca=True))
    assert "certificates of CAs" in missing(allowed, delegation("bob"), purpose=ca).obstacles["bob"]
    granted(allowed, delegation("bob", constraints=Constraints(ca=True)), purpose=ca)


@pytest.mark.parametrize(
    ("moment", "live"),
    [
        (NOW - SECOND, False),
        (NOW - MICROSECOND, False),
        (NOW, True),
        (NOW + SECOND, True),
        (NOW + HOUR - SECOND, True),
        (NOW + HOUR - MICROSECOND, True),
        (NOW + HOUR, False),
        (NOW + HOUR + SECOND, False),
    ],
)
def test_a_delegation_is_live_from_its_start_up_to_but_not_at_its_end(moment, live):
    both = [delegation("alice"), delegation("bob")]
    verdict = judge(POLICY, both, ask(until=NOW + 2 * HOUR), moment)
    assert isinstance(verdict, Grant if live else Missing)


def test_a_signer_with_several_recipients_is_lent_to_at_each():
    both = (private_key("recipient").public, private_key("second").public)
    lent = [delegation(owner, recipients=both) for owner in ("alice", "bob")]
    for recipient in both:
        granted(*lent, recipient=recipient)
    missing(*lent, recipient=private_key("third").public)


def test_a_recipient_of_another_suite_is_another_recipient():
    recipient = replace(private_key("recipient").public, suite="mlkem768-x25519")
    assert set(missing(delegation("alice"), delegation("bob"), recipient=recipient).obstacles) == {
        "alice",
        "bob",
    }


def test_a_stranger_is_named_and_counts_for_nothing():
    verdict = missing(delegation("alice"), delegation("mallory"))
    assert verdict.obstacles == {"mallory": "not an owner of this key"}
    assert verdict.granted == ("alice",)


def test_a_live_delegation_hides_the_obstacles_of_the_owners_others():
    verdict = missing(delegation("alice"), delegation("alice", revoked=True))
    assert verdict.obstacles == {}


@pytest.mark.parametrize(
    ("asked", "left", "uses"),
    [(1, (10, 10), 1), (10, (10, 10), 10), (11, (10, 10), 10), (50, (3, 7), 3), (50, (7, 1), 1)],
)
def test_uses_are_those_asked_but_no_more_than_the_least_left(asked, left, uses):
    lent = [delegation("alice", left=left[0]), delegation("bob", left=left[1])]
    assert granted(*lent, uses=asked).uses == uses


@pytest.mark.parametrize(
    ("until", "ends", "end"),
    [
        (NOW + SECOND, (HOUR, HOUR), NOW + SECOND),
        (NOW + 2 * HOUR, (HOUR, 2 * HOUR), NOW + HOUR),
        (NOW + 2 * HOUR, (2 * HOUR, HOUR), NOW + HOUR),
        (NOW + HOUR, (HOUR, HOUR), NOW + HOUR),
    ],
)
def test_a_lease_ends_when_asked_but_not_after_any_delegation_it_spends(until, ends, end):
    lent = [delegation("alice", end=NOW + ends[0]), delegation("bob", end=NOW + ends[1])]
    assert granted(*lent, until=until).end == end


def test_a_delegation_that_is_not_spent_does_not_limit():
    poor = delegation("carol", left=1, end=NOW + SECOND)
    grant = granted(poor, delegation("alice"), delegation("bob"), uses=5)
    assert [each.terms.owner for each in grant.spent] == ["alice", "bob"]
    assert (grant.uses, grant.end) == (5, NOW + HOUR)


def test_no_more_owners_are_spent_than_the_policy_needs():
    grant = granted(*map(delegation, ("alice", "bob", "carol")))
    assert len(grant.spent) == 2


def test_of_an_owners_delegations_the_longest_is_spent():
    longer = delegation("alice", left=1, end=NOW + 2 * HOUR)
    assert longer in granted(delegation("alice"), longer, delegation("bob")).spent


def test_of_equally_long_delegations_the_one_with_more_left_is_spent():
    fuller = delegation("alice", left=9, nonce="1" * 32)
    assert fuller in granted(delegation("alice", left=2), fuller, delegation("bob")).spent


def test_a_use_is_charged_to_the_delegation_that_granted_it():
    other = delegation("alice", left=9, nonce="1" * 32, constraints=Constraints(profiles=("client",)))
    mine = delegation("alice", left=4)
    grant = granted(other, mine, delegation("bob", left=6), uses=3)
    assert [(each.terms.id, each.left) for each in spend(grant)] == [
        (mine.terms.id, 1),
        (delegation("bob").terms.id, 3),
    ]


def test_spending_changes_nothing_but_the_uses_left():
    grant = granted(delegation("alice"), delegation("bob"), uses=10)
    after = spend(grant)
    assert [each.left for each in after] == [0, 0]
    assert [each.terms for each in after] == [each.terms for each in grant.spent]
    assert {each.left for each in grant.spent} == {10}
    assert missing(*after).obstacles == {"alice": "no uses left", "bob": "no uses left"}


def test_uses_run_out_exactly():
    lent = [delegation("alice", left=3), delegation("bob", left=5)]
    for left in (2, 1, 0):
        lent = list(spend(granted(*lent)))
        assert lent[0].left == left
    missing(*lent)


@pytest.mark.parametrize("uses", [0, -1, -(10**9)])
def test_no_lease_without_a_use(uses):
    with pytest.raises(BadInput, match=r"^uses: "):
        granted(delegation("alice"), delegation("bob"), uses=uses)


@pytest.mark.parametrize("until", [NOW, NOW - SECOND])
def test_no_lease_that_is_over(until):
    with pytest.raises(BadInput, match=r"^until: "):
        granted(delegation("alice"), delegation("bob"), until=until)


def test_the_verdict_does_not_depend_on_the_order_of_the_delegations():
    lent = [
        delegation(owner, left=left, end=NOW + end, nonce=f"{number:032x}")
        for number, (owner, left, end) in enumerate(
            [
                ("alice", 3, HOUR),
                ("alice", 3, HOUR),
                ("bob", 1, HOUR),
                ("bob", 9, 2 * HOUR),
                ("carol", 9, HOUR),
            ]
        )
    ]
    usual = granted(*lent, uses=5)
    for seed in range(50):
        Random(seed).shuffle(lent)  # noqa: S311 - an order, not a secret
        assert granted(*lent, uses=5) == usual
