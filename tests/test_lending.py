"""What an owner's side checks before a share leaves: a custodian that lies gets nothing it can use."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from examples import HOUR, NOW, SECOND, facts, private_key, remade, seal_facts, sealed_key

from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import Envelope, KeyFacts, parse_envelope
from custodian.errors import BadInput, CannotOpen, Conflict, Forbidden
from custodian.identity import Identity, announce
from custodian.lending import Announcement, Wish, announced_recipient, draft, open_share, seal_share
from custodian.sealing import PublicKey
from custodian.terms import MAX_LIFE, Constraints, Terms

SIGNER, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
RECIPIENT, EVES = private_key("recipient"), private_key("eve's recipient")


def identity_of(key: Ed25519PrivateKey) -> Identity:
    return Identity(key.public_key().public_bytes_raw())


def key_facts(**changes: Any) -> KeyFacts:
    return facts(**{"signers": {"ca-1": identity_of(SIGNER)}} | changes)


def announcement(by: Ed25519PrivateKey = SIGNER, recipient: PublicKey = RECIPIENT.public) -> Announcement:
    return Announcement(recipient, NOW, announce(by, "ca-1", recipient, NOW))


def wish(**changes: Any) -> Wish:
    usual: dict[str, Any] = {
        "signer": "ca-1",
        "uses": 10,
        "start": None,
        "duration": HOUR,
        "constraints": Constraints(),
        "request": "",
    }
    return Wish(**usual | changes)


def drafted(envelope: Envelope, owner: str = "alice", **changes: Any) -> Terms:
    return draft(envelope, owner, wish(**changes), RECIPIENT.public, now=NOW, nonce=bytes(16))


def with_holding(envelope: Envelope, owner: str, sealed: bytes) -> Envelope:
    """Return the envelope with another sealed share in one owner's line, as its keeper could write it."""
    old = encode_base64(envelope.holdings[owner].sealed)
    return parse_envelope(remade(envelope, (old, encode_base64(sealed))))


# -- where a share may go


def test_a_share_goes_to_what_the_pinned_identity_announced():
    assert announced_recipient(key_facts(), "ca-1", announcement()) == RECIPIENT.public


@pytest.mark.parametrize(
    "said",
    [
        announcement(EVE, EVES.public),
        replace(announcement(), recipient=EVES.public),
        replace(announcement(), announced=NOW + SECOND),
        replace(announcement(), signature=bytes(64)),
        replace(announcement(), signature=b""),
        Announcement(RECIPIENT.public, NOW, announce(SIGNER, "ca-2", RECIPIENT.public, NOW)),
    ],
    ids=["another identity", "another recipient", "another time", "zeros", "nothing", "for another signer"],
)
def test_what_the_pinned_identity_did_not_announce_gets_no_share(said):
    with pytest.raises(Forbidden, match="not announced by the identity pinned for ca-1"):
        announced_recipient(key_facts(), "ca-1", said)


def test_a_signer_that_the_key_was_not_sealed_for_gets_no_share():
    said = Announcement(EVES.public, NOW, announce(EVE, "eve", EVES.public, NOW))
    with pytest.raises(Forbidden, match="not sealed for the signer eve"):
        announced_recipient(key_facts(), "eve", said)


def test_a_signer_that_never_started_is_waited_for():
    with pytest.raises(Conflict, match="start it, then delegate"):
        announced_recipient(key_facts(), "ca-1", None)


# -- what is agreed to


def test_terms_are_exactly_what_was_wished_for():
    limits = Constraints(("server",), ("*.example.com",), 86_400, ca=True)
    made = drafted(sealed_key(), uses=3, constraints=limits, request="r-7")
    assert made == Terms(
        key="ca",
        key_id=sealed_key().facts.id,
        owner="alice",
        signer="ca-1",
        recipients=(RECIPIENT.public,),
        uses=3,
        start=NOW,
        end=NOW + HOUR,
        constraints=limits,
        request="r-7",
        nonce="00" * 16,
    )


@pytest.mark.parametrize(
    ("field", "outside"),
    [
        ("duration", {"duration": MAX_LIFE + SECOND}),
        ("start", {"start": NOW + MAX_LIFE + SECOND}),
        ("start", {"start": NOW - HOUR}),
        ("terms.uses", {"uses": 0}),
        ("terms.end", {"duration": timedelta(0), "start": NOW + SECOND}),
        ("terms.request", {"request": "two\nlines"}),
    ],
)
def test_a_wish_outside_the_limits_becomes_no_terms(field, outside):
    with pytest.raises(BadInput) as refused:
        drafted(sealed_key(), **outside)
    assert refused.value.field in (field, field.removeprefix("terms."))


def test_who_holds_no_share_and_who_has_no_part_in_the_key_become_no_terms():
    with pytest.raises(Forbidden, match="dora holds no share of ca"):
        drafted(sealed_key(), "dora")
    with pytest.raises(Forbidden, match="not sealed for the signer ca-2"):
        drafted(sealed_key(), signer="ca-2")


# -- what is sealed


def test_a_share_opens_for_the_recipient_under_its_terms_and_for_nobody_else():
    envelope = sealed_key()
    terms = drafted(envelope)
    sealed = seal_share(envelope, terms, private_key("alice"))
    assert set(sealed) == {str(RECIPIENT.public)}
    share = decode_base64(sealed[str(RECIPIENT.public)], "share")
    dealt = open_share(envelope, "alice", private_key("alice"))
    assert RECIPIENT.open(share, terms.share_info) == dealt
    for key, info in ((EVES, terms.share_info), (RECIPIENT, replace(terms, uses=11).share_info)):
        with pytest.raises(CannotOpen):
            key.open(share, info)


def test_a_share_is_sealed_to_every_recipient_of_the_terms():
    envelope, both = sealed_key(), (RECIPIENT.public, EVES.public)
    terms = replace(drafted(envelope), recipients=both)
    sealed = seal_share(envelope, terms, private_key("alice"))
    assert list(sealed) == [str(each) for each in both]
    dealt = open_share(envelope, "alice", private_key("alice"))
    for recipient in (RECIPIENT, EVES):
        lent = decode_base64(sealed[str(recipient.public)], "share")
        assert recipient.open(lent, terms.share_info) == dealt


def test_an_identity_planted_in_the_facts_announces_in_vain():
    """The announcement is right by the planted identity; but then the share does not open."""
    envelope = seal_facts(key_facts())
    old, new = (str(identity_of(each)) for each in (SIGNER, EVE))
    planted = parse_envelope(remade(envelope, (old, new)))
    recipient = announced_recipient(planted.facts, "ca-1", announcement(EVE, EVES.public))
    terms = draft(planted, "alice", wish(), recipient, now=NOW, nonce=bytes(16))
    with pytest.raises(CannotOpen, match="not as it was sealed; lend nothing"):
        seal_share(planted, terms, private_key("alice"))


def test_another_owners_share_in_its_place_is_not_sealed_on():
    envelope = sealed_key()
    bobs = open_share(envelope, "bob", private_key("bob"))
    moved = with_holding(envelope, "alice", envelope.holdings["bob"].sealed)
    with pytest.raises(CannotOpen, match="does not open"):
        seal_share(moved, drafted(moved), private_key("alice"))
    alice = envelope.holdings["alice"].public
    resealed = with_holding(envelope, "alice", alice.seal(bobs, envelope.facts.share_info("alice")))
    with pytest.raises(CannotOpen, match="share of alice is not the one that was dealt") as refusal:
        seal_share(resealed, drafted(resealed), private_key("alice"))
    assert refusal.value.owners == ("alice",)


def test_another_owners_key_opens_no_share():
    envelope = sealed_key()
    with pytest.raises(CannotOpen):
        seal_share(envelope, drafted(envelope), private_key("bob"))
