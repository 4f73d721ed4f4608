"""Who alone can stop a request, and that nobody answers their own, is sealed with the key."""

import pytest
from examples import SECRET, facts, identity, remade, seal_facts, sealed_key
from test_envelope import opens_a_share, seed_of

from custodian.envelope import open_payload, parse_envelope
from custodian.errors import CannotOpen, FormatError

POLICY = "policy: 2 of (alice, bob, carol)\n"
VETOES = "veto: bob\nveto: carol\n"
RULE = "rule: no-self-approval\n"
SIGNER = f"signer: ca-1 {identity()}\n"
RULES = {"veto": ("bob", "carol"), "no_self_approval": True}


def test_an_envelope_without_rules_has_no_word_about_them():
    assert (facts().veto, facts().no_self_approval) == ((), False)
    assert bytes(facts()).endswith((POLICY + SIGNER).encode())


def test_rules_stand_between_the_policy_and_the_signers():
    assert bytes(facts(**RULES)).endswith((POLICY + VETOES + RULE + SIGNER).encode())


@pytest.mark.parametrize(
    "rules",
    [{"veto": ("carol",)}, {"veto": ("alice", "bob", "carol")}, {"no_self_approval": True}, RULES],
    ids=str,
)
def test_an_envelope_reads_back_its_rules_and_opens(rules):
    envelope = sealed_key(**rules)
    assert parse_envelope(bytes(envelope)) == envelope
    assert envelope.facts == facts(**rules)
    assert open_payload(envelope, seed_of(envelope, ("alice", "bob"))) == SECRET


def test_a_key_with_rules_may_name_no_signer():
    assert parse_envelope(bytes(sealed_key(signers={}, **RULES))).facts == facts(signers={}, **RULES)


def test_a_veto_may_be_an_owners_however_deep_in_the_policy():
    nested = sealed_key("2 of (alice, bob, 1 of (carol, dave))", veto=("bob", "dave"))
    assert nested.facts.veto == ("bob", "dave")


CHANGES = {
    "veto_added": ({}, SIGNER, f"veto: carol\n{SIGNER}"),
    "rule_added": ({}, SIGNER, RULE + SIGNER),
    "another_veto_added": (RULES, VETOES, f"veto: alice\n{VETOES}"),
    "veto_of_another": (RULES, "veto: bob\n", "veto: alice\n"),
    "first_veto_dropped": (RULES, "veto: bob\n", ""),
    "last_veto_dropped": (RULES, "veto: carol\n", ""),
    "vetoes_dropped": (RULES, VETOES, ""),
    "rule_dropped": (RULES, RULE, ""),
    "all_dropped": (RULES, VETOES + RULE, ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_owners_share_opens_where_a_rule_was_dropped_or_added(change):
    rules, old, new = CHANGES[change]
    envelope = sealed_key(**rules)
    assert opens_a_share(envelope) == ["alice", "bob", "carol"]
    assert opens_a_share(parse_envelope(remade(envelope, (old, new)))) == []


@pytest.mark.parametrize("change", CHANGES)
def test_not_even_the_seed_opens_a_key_whose_rule_was_dropped_or_added(change):
    rules, old, new = CHANGES[change]
    envelope = sealed_key(**rules)
    with pytest.raises(CannotOpen):
        open_payload(parse_envelope(remade(envelope, (old, new))), seed_of(envelope, ("alice", "bob")))


def test_what_was_sealed_under_rules_does_not_open_in_an_envelope_without_them():
    strict, free = sealed_key(**RULES), sealed_key()
    moved = parse_envelope(remade(strict, (VETOES + RULE, "")))
    assert moved.facts == free.facts
    assert moved.holdings == strict.holdings
    assert opens_a_share(moved) == []
    assert opens_a_share(free) == ["alice", "bob", "carol"]


@pytest.mark.parametrize(
    "line",
    [
        "veto: mallory\n",
        "veto: ca-1\n",
        "veto: Bob\n",
        "veto: \n",
        "veto: bob carol\n",
        "veto: bob,carol\n",
        "veto: bob\nveto: bob\n",
        "veto: carol\nveto: bob\n",
        f"{VETOES}veto: mallory\n",
    ],
)
def test_a_veto_that_is_not_one_owners_or_out_of_order_is_refused(line):
    with pytest.raises(FormatError) as refusal:
        parse_envelope(remade(sealed_key(**RULES), (VETOES, line)))
    assert refusal.value.field == "envelope.veto"


@pytest.mark.parametrize(
    "line",
    [
        "rule: two-eyes\n",
        "rule: \n",
        "rule:  no-self-approval\n",
        "rule: No-Self-Approval\n",
        "rule: no-self-approval strictly\n",
        RULE + RULE,
        f"{RULE}rule: two-eyes\n",
        f"rule: two-eyes\n{RULE}",
    ],
)
def test_a_rule_that_is_unknown_or_said_twice_is_refused(line):
    with pytest.raises(FormatError) as refusal:
        parse_envelope(remade(sealed_key(**RULES), (RULE, line)))
    assert refusal.value.field == "envelope.rule"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (POLICY + VETOES, VETOES + POLICY),
        (VETOES + RULE, RULE + VETOES),
        (f"veto: carol\n{RULE}", f"{RULE}veto: carol\n"),
        (RULE + SIGNER, SIGNER + RULE),
        (f"{VETOES}{RULE}{SIGNER}", f"{RULE}{SIGNER}{VETOES}"),
        (f"{VETOES}{RULE}{SIGNER}", SIGNER + VETOES + RULE),
        ("veto: bob\n", "veto:bob\n"),
        ("rule:", "Rule:"),
    ],
)
def test_rules_out_of_their_place_are_refused(old, new):
    with pytest.raises(FormatError):
        parse_envelope(remade(sealed_key(**RULES), (old, new)))


@pytest.mark.parametrize("veto", [("carol", "bob"), ("bob", "bob"), ("mallory",), ("",), ("bob\nrule: x",)])
def test_no_key_is_sealed_with_vetoes_that_would_not_be_read(veto):
    with pytest.raises(FormatError):
        seal_facts(facts(veto=veto))
