import hashlib
from dataclasses import replace

import pytest
from examples import (
    KEY_ID,
    NOW,
    OTHER_ID,
    SECRET,
    facts,
    identity,
    opened_shares,
    private_key,
    random_from,
    remade,
    seal_facts,
    sealed_key,
    subsets,
)

from custodian.encoding import encode_base64
from custodian.envelope import (
    ALGORITHMS,
    Envelope,
    Holding,
    derive_kek,
    open_payload,
    parse_envelope,
    seal,
)
from custodian.errors import CannotOpen, FormatError, QuorumMissing
from custodian.shares import commit, join

NESTED = "2 of (alice, bob, 1 of (carol, dave))"


def seed_of(envelope: Envelope, owners: tuple[str, ...]) -> bytearray:
    shares = opened_shares(envelope, owners)
    return join(envelope.facts.policy, envelope.facts.id, envelope.commitments, shares)


@pytest.mark.parametrize("policy", ["2 of (alice, bob, carol)", NESTED, "alice & bob | carol & dave"])
def test_every_quorum_opens_and_no_other_set_does(policy):
    envelope = parse_envelope(bytes(sealed_key(policy)))
    for owners in subsets(list(envelope.holdings)):
        if envelope.facts.policy.met_by(owners):
            assert open_payload(envelope, seed_of(envelope, owners)) == SECRET
        else:
            with pytest.raises(QuorumMissing):
                seed_of(envelope, owners)


def test_every_flipped_bit_is_refused_even_with_the_right_seed():
    envelope = sealed_key()
    seed, data = seed_of(envelope, ("alice", "bob")), bytes(envelope)
    opened = []
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            opened.append((bit, open_payload(parse_envelope(bytes(changed)), seed)))
        except (FormatError, CannotOpen):
            continue
    assert opened == []


def test_every_truncation_and_every_byte_too_many_is_refused():
    envelope = sealed_key()
    seed, data = seed_of(envelope, ("alice", "bob")), bytes(envelope)
    for changed in [
        *(data[:size] for size in range(len(data))),
        data + b"\n",
        data + b"A",
        data + data,
        b"\n" + data,
    ]:
        with pytest.raises((FormatError, CannotOpen)):
            open_payload(parse_envelope(changed), seed)


@pytest.mark.parametrize("rules", [{}, {"veto": ("bob", "carol"), "no_self_approval": True}], ids=str)
def test_every_line_left_out_or_doubled_or_swapped_is_refused(rules):
    envelope = sealed_key(**rules)
    seed, lines = seed_of(envelope, ("alice", "bob")), bytes(envelope).splitlines(keepends=True)
    variants = []
    for at in range(len(lines)):
        variants += [lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:]]
        variants += (
            [lines[:at] + lines[at + 1 : at + 2] + lines[at : at + 1] + lines[at + 2 :]]
            if lines[at + 1 :]
            else []
        )
    for variant in variants:
        with pytest.raises((FormatError, CannotOpen)):
            open_payload(parse_envelope(b"".join(variant)), seed)


def test_an_envelope_reads_back_what_it_wrote():
    envelope = sealed_key(NESTED, signers={"ca-1": identity(), "ca-2": identity("ca-2")})
    assert parse_envelope(bytes(envelope)) == envelope
    assert envelope.facts == facts(NESTED, signers={"ca-1": identity(), "ca-2": identity("ca-2")})


def test_an_envelope_may_name_no_signer_and_no_subject():
    envelope = parse_envelope(bytes(sealed_key(signers={}, subject=b"")))
    assert (envelope.facts.signers, envelope.facts.subject) == ({}, b"")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_of_the_format_is_read(algorithm):
    assert parse_envelope(bytes(sealed_key(algorithm=algorithm))).facts.algorithm == algorithm


@pytest.mark.parametrize(
    "change",
    [
        {"name": "CA\nsigner: eve"},
        {"id": KEY_ID.upper()},
        {"created": NOW.replace(year=999)},
        {"algorithm": "dsa"},
        {"public": bytes(31)},
        {"signers": {"ca 1": identity()}},
        {"policy": replace(facts().policy, needed=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_key_is_sealed_into_an_envelope_that_would_not_be_read(change):
    with pytest.raises(FormatError):
        seal_facts(replace(facts(), **change))


def test_an_empty_secret_is_not_sealed():
    owners = {owner: private_key(owner).public for owner in ("alice", "bob", "carol")}
    with pytest.raises(FormatError, match="too short"):
        seal(facts(), owners, b"", random_from("envelope"))


def test_a_secret_of_any_length_fills_the_lines():
    owners = {owner: private_key(owner).public for owner in ("alice", "bob", "carol")}
    for size in (1, 19, 20, 21, 67, 68, 69, 5000):
        envelope = seal(facts(), owners, bytes(size), random_from("envelope"))
        assert open_payload(envelope, seed_of(envelope, ("bob", "carol"))) == bytes(size)
        body = bytes(envelope).partition(b"\n\n")[2].splitlines()
        assert {len(line) for line in body[:-1]} <= {64}
        assert 0 < len(body[-1]) <= 64


def test_the_seed_of_another_key_does_not_open():
    envelope, other = sealed_key(), seal_facts(facts(id=OTHER_ID), seed="other")
    with pytest.raises(CannotOpen):
        open_payload(envelope, seed_of(other, ("alice", "bob")))


def test_a_payload_under_another_header_does_not_open():
    """The same seed and nonce, but the header lets another signer have the key."""
    envelope = sealed_key()
    lent_to_eve = remade(envelope, (f"ca-1 {identity()}", f"ca-1 {identity('eve')}"))
    with pytest.raises(CannotOpen):
        open_payload(parse_envelope(lent_to_eve), seed_of(envelope, ("alice", "bob")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: ca\n", "name: root\n"),
        (KEY_ID, OTHER_ID),
        ("12:00:00Z", "12:00:01Z"),
        ("ecdsa-p256", "ecdsa-p384"),
        ("public: 00", "public: 01"),
        ("signer: ca-1 ", "signer: ca-2 "),
        (f"signer: ca-1 {identity()}\n", ""),
    ],
)
def test_no_word_of_the_header_can_be_changed(old, new):
    envelope = sealed_key()
    with pytest.raises(CannotOpen):
        open_payload(parse_envelope(remade(envelope, (old, new))), seed_of(envelope, ("alice", "bob")))


def test_a_policy_cannot_be_weakened():
    envelope = sealed_key("3 of (alice, bob, carol)")
    weaker = parse_envelope(remade(envelope, ("3 of (alice", "2 of (alice")))
    shares = opened_shares(envelope, ("alice", "bob"))
    with pytest.raises(CannotOpen):
        open_payload(weaker, join(weaker.facts.policy, KEY_ID, weaker.commitments, shares))


OTHER_FACTS = {
    "name": ("name: ca\n", "name: cb\n"),
    "id": (KEY_ID, OTHER_ID),
    "created": ("12:00:00Z", "12:00:01Z"),
    "algorithm": ("ecdsa-p256", "ecdsa-p384"),
    "public": ("public: 00", "public: 01"),
    "subject": (encode_base64(facts().subject), encode_base64(facts().subject[:-1] + b"B")),
    "policy": ("2 of (alice, bob, carol)", "3 of (alice, bob, carol)"),
    "signer_identity": (str(identity()), str(identity("eve"))),
    "signer_name": ("signer: ca-1 ", "signer: ca-2 "),
    "signer_added": ("\nowner: alice", f"\nsigner: eve {identity('eve')}\nowner: alice"),
    "signer_dropped": (f"signer: ca-1 {identity()}\n", ""),
}


def test_an_envelope_with_another_signer_identity_opens_no_owners_share():
    """Who keeps the envelope names a signer of their own; nobody's share may end up at its recipient."""
    envelope = sealed_key()
    lent_to_eve = parse_envelope(remade(envelope, OTHER_FACTS["signer_identity"]))
    assert lent_to_eve.facts.signers == {"ca-1": identity("eve")}
    assert lent_to_eve.holdings == envelope.holdings
    assert opens_a_share(envelope) == ["alice", "bob", "carol"]
    assert opens_a_share(lent_to_eve) == []


@pytest.mark.parametrize("change", OTHER_FACTS)
def test_an_envelope_with_another_word_about_the_key_opens_no_owners_share(change):
    assert opens_a_share(parse_envelope(remade(sealed_key(), OTHER_FACTS[change]))) == []


def test_an_envelope_with_its_signers_in_another_order_opens_no_owners_share():
    envelope = sealed_key(signers={"ca-1": identity(), "ca-2": identity("ca-2")})
    first, second = (f"signer: {name} {identity(name)}\n" for name in ("ca-1", "ca-2"))
    assert opens_a_share(envelope) == ["alice", "bob", "carol"]
    assert opens_a_share(parse_envelope(remade(envelope, (first + second, second + first)))) == []


def test_a_share_sealed_anew_under_other_facts_is_not_the_one_dealt():
    """Anyone can seal to an owner: such a share opens, and names its owner when it is joined."""
    envelope = sealed_key()
    lent_to_eve = parse_envelope(remade(envelope, OTHER_FACTS["signer_identity"]))
    alice = lent_to_eve.holdings["alice"]
    forged = alice.public.seal(bytes(48), lent_to_eve.facts.share_info("alice"))
    text = remade(lent_to_eve, (encode_base64(alice.sealed), encode_base64(forged)))
    with pytest.raises(CannotOpen) as refusal:
        seed_of(parse_envelope(text), ("alice",))
    assert refusal.value.owners == ("alice",)


def test_the_facts_are_the_header_up_to_the_first_owner():
    envelope = sealed_key(NESTED, signers={"ca-1": identity(), "ca-2": identity("ca-2")})
    before, _, _ = envelope.header.partition(b"owner: ")
    assert bytes(envelope.facts) == before
    digest = hashlib.sha256(before).digest()
    assert envelope.facts.share_info("bob") == b"custodian/share/v1\0" + digest + b"\0bob"


def opens_a_share(envelope: Envelope) -> list[str]:
    opened = []
    for owner in envelope.holdings:
        try:
            opened += opened_shares(envelope, [owner])
        except CannotOpen:
            continue
    return opened


def test_a_share_moved_to_another_owner_does_not_open():
    envelope = sealed_key()
    sealed = envelope.holdings["alice"].sealed
    with pytest.raises(CannotOpen):
        private_key("alice").open(sealed, envelope.facts.share_info("bob"))


def test_a_share_moved_to_another_key_does_not_open():
    sealed = sealed_key().holdings["alice"].sealed
    with pytest.raises(CannotOpen):
        private_key("alice").open(sealed, facts(id=OTHER_ID).share_info("alice"))


def test_a_replaced_share_names_its_owner():
    """Anyone can seal to an owner; what was not dealt does not match its commitment."""
    envelope = sealed_key()
    forged = private_key("bob").public.seal(bytes(48), envelope.facts.share_info("bob"))
    bob = envelope.holdings["bob"]
    text = remade(envelope, (encode_base64(bob.sealed), encode_base64(forged)))
    with pytest.raises(CannotOpen) as refusal:
        seed_of(parse_envelope(text), ("alice", "bob"))
    assert refusal.value.owners == ("bob",)


def test_a_replaced_share_with_its_commitment_does_not_open():
    envelope = sealed_key()
    share = bytes(48)
    bob = envelope.holdings["bob"]
    sealed = bob.public.seal(share, envelope.facts.share_info("bob"))
    forged = Holding(bob.public, commit(share, KEY_ID, "bob"), sealed)
    text = remade(
        envelope,
        (encode_base64(bob.commitment), encode_base64(forged.commitment)),
        (encode_base64(bob.sealed), encode_base64(forged.sealed)),
    )
    changed = parse_envelope(text)
    with pytest.raises(CannotOpen):
        open_payload(changed, seed_of(changed, ("alice", "bob")))


def test_a_key_encryption_key_belongs_to_one_key():
    seed = bytes(16)
    assert derive_kek(seed, KEY_ID) != derive_kek(seed, OTHER_ID)
    assert len(derive_kek(bytearray(seed), KEY_ID)) == 32


def test_no_error_about_a_payload_says_why():
    envelope = sealed_key()
    with pytest.raises(CannotOpen) as wrong_seed:
        open_payload(envelope, bytes(16))
    changed = remade(envelope, ("name: ca\n", "name: cb\n"))
    with pytest.raises(CannotOpen) as wrong_header:
        open_payload(parse_envelope(changed), seed_of(envelope, ("alice", "bob")))
    assert str(wrong_seed.value) == str(wrong_header.value)
    assert wrong_seed.value.__cause__ is None


def test_owners_with_hybrid_keys_stand_beside_others():
    owners = {
        "alice": private_key("alice"),
        "bob": private_key("bob", "mlkem768-x25519"),
        "carol": private_key("carol"),
    }
    envelope = seal(
        facts(), {name: key.public for name, key in owners.items()}, SECRET, random_from("envelope")
    )
    shares = {
        name: owners[name].open(envelope.holdings[name].sealed, envelope.facts.share_info(name))
        for name in ("alice", "bob")
    }
    seed = join(envelope.facts.policy, KEY_ID, envelope.commitments, shares)
    assert open_payload(parse_envelope(bytes(envelope)), seed) == SECRET
