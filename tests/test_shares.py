import os

import pytest
from Crypto.Protocol.SecretSharing import Shamir
from examples import KEY_ID, OTHER_ID, random_from, subsets

from custodian.errors import CannotOpen, QuorumMissing
from custodian.policy import Policy, parse_policy
from custodian.shares import SHARE_SIZE, commit, join, split

SEED = bytes(range(16))
POLICIES = [
    "2 of (alice, bob, carol)",
    "3 of (alice, bob, carol)",
    "3 of (alice, bob, carol, dave, erin)",
    "2 of (alice, bob, 1 of (carol, dave))",
    "1 of (2 of (alice, bob), 3 of (carol, dave, erin))",
    "2 of (2 of (alice, bob), 1 of (carol, 2 of (dave, erin)), frank)",
    "2 of (1 of (alice, bob), 1 of (carol, dave))",
]


def dealt(text: str) -> tuple[Policy, dict[str, bytes], dict[str, bytes]]:
    policy = parse_policy(text)
    shares = split(policy, SEED, random_from("blinds"))
    return policy, shares, {owner: commit(share, KEY_ID, owner) for owner, share in shares.items()}


@pytest.mark.parametrize("text", POLICIES)
def test_exactly_the_sets_that_satisfy_the_policy_join(text):
    policy, shares, commitments = dealt(text)
    for owners in subsets(list(shares)):
        brought = {owner: shares[owner] for owner in owners}
        if policy.met_by(owners):
            assert join(policy, KEY_ID, commitments, brought) == SEED
        else:
            with pytest.raises(QuorumMissing, match=f"^{policy.still_needed(owners)} more"):
                join(policy, KEY_ID, commitments, brought)


@pytest.mark.parametrize("text", POLICIES)
def test_too_few_shares_do_not_hold_the_seed(text):
    """Even interpolated by hand, k - 1 shares of a node give something else."""
    policy, shares, _ = dealt(text)
    for owners in subsets(list(shares)):
        if not policy.met_by(owners) and owners:
            points = [(list(shares).index(owner) + 1, shares[owner][:16]) for owner in owners]
            assert Shamir.combine(points) != SEED
            assert SEED not in b"".join(shares[owner] for owner in owners)


def test_every_owner_gets_one_share_of_48_bytes():
    policy, shares, _ = dealt("2 of (alice, bob, 1 of (carol, dave))")
    assert list(shares) == list(policy.owners())
    assert {len(share) for share in shares.values()} == {SHARE_SIZE}
    assert len({share[16:] for share in shares.values()}) == 4


def test_a_group_that_needs_one_gives_each_member_its_own_value():
    _, shares, commitments = dealt("2 of (alice, bob, 1 of (carol, dave))")
    assert shares["carol"][:16] == shares["dave"][:16] != shares["alice"][:16]
    assert commitments["carol"] != commitments["dave"]


@pytest.mark.parametrize("owner", ["alice", "bob", "carol"])
def test_every_flipped_bit_of_a_share_names_its_owner(owner):
    policy, shares, commitments = dealt(POLICIES[0])
    for bit in range(8 * SHARE_SIZE):
        changed = bytearray(shares[owner])
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CannotOpen) as refusal:
            join(policy, KEY_ID, commitments, shares | {owner: changed})
        assert refusal.value.owners == (owner,)


def test_swapped_shares_name_both_owners():
    policy, shares, commitments = dealt(POLICIES[0])
    swapped = {"alice": shares["bob"], "bob": shares["alice"], "carol": shares["carol"]}
    with pytest.raises(CannotOpen, match="share of alice, bob is not") as refusal:
        join(policy, KEY_ID, commitments, swapped)
    assert refusal.value.owners == ("alice", "bob")
    assert refusal.value.members == {"owners": ["alice", "bob"]}


def test_a_wrong_share_is_named_even_if_it_would_not_be_needed():
    policy, shares, commitments = dealt(POLICIES[0])
    with pytest.raises(CannotOpen) as refusal:
        join(policy, KEY_ID, commitments, shares | {"carol": os.urandom(SHARE_SIZE)})
    assert refusal.value.owners == ("carol",)


def test_a_wrong_share_is_named_before_a_missing_one():
    policy, _, commitments = dealt(POLICIES[0])
    with pytest.raises(CannotOpen):
        join(policy, KEY_ID, commitments, {"alice": bytes(SHARE_SIZE)})


@pytest.mark.parametrize("size", [0, 16, 47, 49, 96])
def test_a_share_of_another_size_is_wrong(size):
    policy, shares, commitments = dealt(POLICIES[0])
    resized = (shares["bob"] * 2)[:size]
    commitments["bob"] = commit(resized, KEY_ID, "bob")  # even if someone committed to it
    with pytest.raises(CannotOpen) as refusal:
        join(policy, KEY_ID, commitments, shares | {"bob": resized})
    assert refusal.value.owners == ("bob",)


def test_a_stranger_with_a_good_share_is_refused():
    policy, shares, commitments = dealt(POLICIES[0])
    with pytest.raises(CannotOpen) as refusal:
        join(policy, KEY_ID, commitments, {"mallory": shares["bob"], "alice": shares["alice"]})
    assert refusal.value.owners == ("mallory",)


def test_shares_of_another_key_are_wrong():
    policy, shares, commitments = dealt(POLICIES[0])
    with pytest.raises(CannotOpen) as refusal:
        join(policy, OTHER_ID, commitments, shares)
    assert refusal.value.owners == ("alice", "bob", "carol")


def test_shares_of_two_deals_do_not_mix():
    policy, shares, commitments = dealt(POLICIES[0])
    _, others, _ = dealt(POLICIES[0])
    with pytest.raises(CannotOpen) as refusal:
        join(policy, KEY_ID, commitments, {"alice": shares["alice"], "bob": others["bob"]})
    assert refusal.value.owners == ("bob",)


def test_a_commitment_binds_the_share_the_key_and_the_owner():
    share = bytes(range(48))
    usual = commit(share, KEY_ID, "alice")
    assert len(usual) == 32
    assert commit(bytearray(share), KEY_ID, "alice") == usual
    others = [
        commit(bytes(48), KEY_ID, "alice"),
        commit(share, OTHER_ID, "alice"),
        commit(share, KEY_ID, "bob"),
    ]
    assert usual not in others


def test_no_error_holds_a_share():
    policy, shares, commitments = dealt(POLICIES[0])
    wrong = os.urandom(SHARE_SIZE)
    with pytest.raises(CannotOpen) as refusal:
        join(policy, KEY_ID, commitments, shares | {"bob": wrong})
    said = repr(refusal.value) + repr(refusal.value.members)
    assert wrong.hex() not in said
    assert repr(wrong) not in said


def test_a_group_of_255_splits_and_joins():
    policy, shares, commitments = dealt(f"3 of ({', '.join(f'a{n}' for n in range(255))})")
    brought = {owner: shares[owner] for owner in ("a0", "a127", "a254")}
    assert join(policy, KEY_ID, commitments, brought) == SEED


def test_what_pycryptodome_lets_pass_cannot_be_asked_for():
    """k > n, k = 1 and k = 0, index 0: the policy, which every share is dealt by, rules them out."""
    assert Shamir.split(3, 2, SEED)
    assert {part for _, part in Shamir.split(1, 2, SEED)} == {SEED}
    assert Shamir.combine([(0, b"chosen by sender"), (1, SEED)]) == b"chosen by sender"
    policy, shares, commitments = dealt(POLICIES[0])
    chosen = b"chosen by sender" + shares["alice"][16:]
    with pytest.raises(CannotOpen):
        join(policy, KEY_ID, commitments, {"alice": chosen, "bob": shares["bob"]})
