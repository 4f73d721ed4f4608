"""docs/format.md is true: its examples open, its grammar fits what is read, its numbers are the code's."""

import re
from pathlib import Path

import pytest
from abnf import Grammar
from test_vectors import (
    MADE,
    VECTORS,
    check_device_key,
    check_envelope,
    check_grant,
    check_request,
    check_slot,
    check_terms,
    private_key,
    read,
)

from custodian import envelope, fields, policy, sealing, shares, slots, terms
from custodian.checkwords import WORDS
from custodian.envelope import parse_envelope
from custodian.policy import parse_policy
from custodian.sealing import PublicKey
from custodian.slots import parse_slot
from custodian.terms import parse_terms

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "format.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)\n```", TEXT, re.DOTALL)
GRAMMAR = Grammar("\n".join(block for kind, block in BLOCKS if kind == "abnf"))


# What only the sentences beside the grammar refuse.
BEYOND_THE_GRAMMAR = {
    "policy": {
        "256-members",
        "name-twice",
        "one-owner-alone",
        "too-deep",
        "too-deep-when-written-out",
        "too-long",
        "too-many-needed",
    },
    "envelope": {
        "identity-of-31-bytes",
        "owner-key-of-small-order",
        "owner-missing",
        "owner-twice",
        "owners-reordered",
        "payload-loose-bits",
        "payload-of-28-bytes",
        "policy-of-one",
        "policy-without-carol",
        "signer-twice",
        "veto-of-a-signer",
        "veto-of-a-stranger",
        "veto-of-a-stranger-too",
        "veto-twice",
        "vetoes-reordered",
    },
}


def example(kind: str) -> str:
    (block,) = [block for name, block in BLOCKS if name == kind]
    return block


@pytest.mark.parametrize(
    ("kind", "path", "check", "end"),
    [
        ("envelope", "envelope-v1/threshold", check_envelope, "\n"),
        ("slot", "slot-v1/password", check_slot, ""),
        ("terms", "terms-v1/limited", check_terms, ""),
        ("request", "request-v1/limited", check_request, ""),
        ("devicekey", "device-key-v1/labelled", check_device_key, "\n"),
        ("grant", "grant-v1/device", check_grant, ""),
    ],
)
def test_the_examples_are_whole_and_open(kind, path, check, end):
    vector = read(VECTORS / path)
    assert (example(kind) + end).encode() == vector.body
    check(vector)


@pytest.mark.parametrize(
    ("kind", "path"), [("share", "share-v1/threshold"), ("announcement", "recipient-v1/announcement")]
)
def test_the_examples_without_a_file_are_those_of_the_vectors(kind, path):
    assert set(example(kind).splitlines()) < set((VECTORS / path).read_text().splitlines())


def test_the_example_of_rules_stands_in_an_envelope_that_has_them():
    vector = read(VECTORS / "envelope-v1/rules")
    assert f"\n{example('rules')}\nowner: " in vector.body.decode()
    check_envelope(vector)


def test_the_check_words_are_those_of_the_code():
    assert tuple(example("words").split()) == WORDS


def test_the_example_of_a_policy_opens_for_those_it_says():
    parsed = parse_policy(example("policy"))
    assert all(parsed.met_by(owners) for owners in (["alice", "bob"], ["alice", "dave"], ["bob", "carol"]))
    assert not parsed.met_by(["carol", "dave"])


@pytest.mark.parametrize("rule", BEYOND_THE_GRAMMAR)
def test_everything_that_is_read_fits_the_grammar(rule):
    for path in sorted((VECTORS / f"{rule}-v1").iterdir()):
        vector = read(path)
        if vector.one("expect") != "malformed":
            assert GRAMMAR.fits(rule, vector.body.decode()), path.name


@pytest.mark.parametrize("rule", BEYOND_THE_GRAMMAR)
def test_what_the_grammar_cannot_say_is_said_beside_it(rule):
    """Every other malformed vector is outside the grammar."""
    inside = {
        path.name.partition("_")[2]
        for path in (VECTORS / f"{rule}-v1").iterdir()
        if read(path).one("expect") == "malformed" and GRAMMAR.fits(rule, read(path).body.decode())
    }
    assert inside == BEYOND_THE_GRAMMAR[rule]


def test_the_values_of_slots_and_terms_fit_their_grammar():
    slot = parse_slot(example("slot").encode())
    agreed = parse_terms(example("terms").encode())
    head = parse_envelope((example("envelope") + "\n").encode()).facts
    for rule, values in {
        "name": [slot.owner, slot.id, agreed.key, agreed.owner, agreed.signer, "a" * 63],
        "key-id": [agreed.key_id, agreed.nonce],
        "public-key": [slot.public, slot.owner_public, *agreed.recipients],
        "identity": head.signers.values(),
        "canonical": [head.policy],
        "text": [agreed.request, *agreed.constraints.names, *agreed.constraints.profiles],
    }.items():
        for value in values:
            assert GRAMMAR.fits(rule, str(value)), (rule, value)
    assert not GRAMMAR.fits("name", "a" * 64)
    assert not GRAMMAR.fits("text", "\n")


def test_the_numbers_are_those_of_the_code():
    assert (policy.MAX_MEMBERS, policy.MAX_DEPTH, policy.MAX_TEXT) == (255, 8, 16_384)
    assert (shares.SEED_SIZE, shares.BLIND_SIZE, shares.SHARE_SIZE) == (16, 32, 48)
    assert (envelope.MAX_SIZE, envelope.NONCE_SIZE + envelope.TAG_SIZE, envelope.LINE) == (1_048_576, 28, 64)
    assert slots.Kdf.LIMITS == {"memory_kib": (8_192, 1_048_576), "passes": (1, 16), "lanes": (1, 16)}
    assert (terms.MAX_USES, terms.MAX_LIFE.days, terms.MAX_LIST) == (1_000_000, 31, 64)
    assert (terms.MAX_RECIPIENTS, fields.MAX_TEXT) == (16, 255)
    for number in ("16,384", "1,048,576", "8,192", "1,000,000", "31 days", "48 bytes", "28 bytes"):
        assert number in TEXT


def test_every_word_the_code_knows_is_in_the_document():
    for word in (*envelope.ALGORITHMS, *slots.PARAMETERS, *sealing._SCHEMES):
        assert f'"{word}' in TEXT or f"`{word}`" in TEXT
    for module in (envelope, slots, terms):
        assert module.VERSION in TEXT
    for name in MADE:
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize(("suite", "overhead"), [("x25519", 32), ("mlkem768-x25519", 1120)])
def test_a_seal_is_as_long_as_the_document_says(suite, overhead):
    public: PublicKey = private_key(f"{suite}:{'07' * 32}").public
    assert len(public.seal(b"message", b"")) == overhead + len(b"message") + 16


def test_the_history_has_its_own_document():
    assert "(format-history.md)" in TEXT
    assert (ROOT / "docs" / "format-history.md").exists()
