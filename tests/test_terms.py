import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from examples import HOUR, KEY_ID, NOW, OTHER_ID, PURPOSE, SECOND, private_key, terms
from hypothesis import given
from hypothesis import strategies as st

from custodian.encoding import canonical_json
from custodian.errors import CannotOpen, FormatError
from custodian.terms import (
    MAX_LIFE,
    MAX_LIST,
    MAX_RECIPIENTS,
    MAX_USES,
    Constraints,
    check_limits,
    matches,
    parse_terms,
)

SHARE = bytes(range(48))
LIMITED = Constraints(profiles=("server",), names=("*.example.com",), max_validity=86_400, ca=True)
# field -> another value of it that is as good
CHANGES = {
    "key": "root",
    "key_id": OTHER_ID,
    "owner": "bob",
    "signer": "ca-2",
    "recipients": (private_key("other").public,),
    "uses": 11,
    "start": NOW + SECOND,
    "end": NOW + HOUR + SECOND,
    "constraints": Constraints(ca=True),
    "request": "",
    "nonce": "0" * 32,
}


def edited(**changes: object) -> bytes:
    """Return the canonical bytes of the usual terms with JSON values replaced or, for ..., left out."""
    value = json.loads(bytes(terms())) | changes
    return canonical_json({name: each for name, each in value.items() if each is not ...})


@pytest.mark.parametrize("constraints", [Constraints(), LIMITED])
def test_terms_read_back_what_they_wrote(constraints):
    written = terms(constraints=constraints)
    assert parse_terms(bytes(written)) == written


def test_terms_say_which_recipients_they_are_for():
    recipients = (private_key("recipient").public, private_key("second", "mlkem768-x25519").public)
    assert parse_terms(bytes(terms(recipients=recipients))).recipients == recipients


def test_a_delegation_is_named_by_the_digest_of_its_terms():
    digest = hashlib.sha256(bytes(terms())).digest()
    assert terms().digest == digest
    assert terms().id == f"d-{digest.hex()[:24]}"
    assert terms().share_info == b"custodian/delegation/v1\x00" + digest


@pytest.mark.parametrize("field", CHANGES)
def test_a_share_sealed_under_terms_does_not_open_under_altered_ones(field):
    recipient = private_key("recipient")
    sealed = recipient.public.seal(SHARE, terms().share_info)
    assert recipient.open(sealed, terms().share_info) == SHARE
    altered = terms(**{field: CHANGES[field]})
    assert parse_terms(bytes(altered)) == altered
    with pytest.raises(CannotOpen):
        recipient.open(sealed, altered.share_info)


def test_a_share_sealed_for_a_delegation_opens_for_its_recipient_only():
    sealed = private_key("recipient").public.seal(SHARE, terms().share_info)
    with pytest.raises(CannotOpen):
        private_key("other").open(sealed, terms().share_info)


def test_every_flipped_bit_of_terms_is_refused_or_gives_other_terms():
    data = bytes(terms(constraints=LIMITED))
    digests = set()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            digests.add(parse_terms(bytes(changed)).digest)
        except FormatError:
            continue
    assert hashlib.sha256(data).digest() not in digests


def test_every_truncation_of_terms_is_refused():
    data = bytes(terms())
    for changed in [
        *(data[:size] for size in range(len(data))),
        data + b"\n",
        b" " + data,
        b"\xef\xbb\xbf" + data,
    ]:
        with pytest.raises(FormatError):
            parse_terms(changed)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "custodian/terms/v2"}, "terms.type"),
        ({"type": 1}, "terms.type"),
        ({"type": ...}, "terms.type"),
        ({"key": "ca\n"}, "terms.key"),
        ({"key": None}, "terms.key"),
        ({"key_id": KEY_ID[2:]}, "terms.key_id"),
        ({"key_id": KEY_ID.upper()}, "terms.key_id"),
        ({"owner": "Alice"}, "terms.owner"),
        ({"owner": ["alice"]}, "terms.owner"),
        ({"signer": ""}, "terms.signer"),
        ({"recipients": []}, "recipients"),
        ({"recipients": "x25519:"}, "terms.recipients"),
        ({"recipients": [1]}, "terms.recipients"),
        ({"recipients": [""]}, "terms.recipients"),
        ({"recipients": ["x25519:AAAA"]}, "terms.recipients"),
        ({"recipients": [str(private_key("r").public)] * (MAX_RECIPIENTS + 1)}, "terms.recipients"),
        ({"uses": 0}, "terms.uses"),
        ({"uses": -1}, "terms.uses"),
        ({"uses": MAX_USES + 1}, "terms.uses"),
        ({"uses": True}, "terms.uses"),
        ({"uses": "5"}, "terms.uses"),
        ({"uses": ...}, "terms.uses"),
        ({"start": "2026-11-23"}, "terms.start"),
        ({"end": "2026-11-23T12:00:00Z"}, "end"),
        ({"end": "2026-11-23T11:59:59Z"}, "end"),
        ({"end": "2026-12-24T12:00:01Z"}, "end"),
        ({"end": "2036-11-23T12:00:00Z"}, "end"),
        ({"constraints": None}, "terms.constraints"),
        ({"constraints": {}}, "terms.constraints.profiles"),
        ({"request": "line\nbreak"}, "terms.request"),
        ({"request": "\u001b[2J"}, "terms.request"),
        ({"request": "caf\u00e9"}, "terms.request"),
        ({"request": "r" * 256}, "terms.request"),
        ({"nonce": "00"}, "terms.nonce"),
        ({"nonce": "Z" * 32}, "terms.nonce"),
        ({"note": "x"}, "terms"),
    ],
)
def test_what_is_not_terms_is_refused_and_the_field_is_named(changes, field):
    with pytest.raises(FormatError) as refusal:
        parse_terms(edited(**changes))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"profiles": "server"}, "profiles"),
        ({"profiles": [""]}, "profiles"),
        ({"profiles": ["p"] * (MAX_LIST + 1)}, "profiles"),
        ({"names": [None]}, "names"),
        ({"names": ["n" * 256]}, "names"),
        ({"max_validity": -1}, "max_validity"),
        ({"max_validity": 2**31 + 1}, "max_validity"),
        ({"ca": True}, "ca"),
        ({"ca": 2}, "ca"),
    ],
)
def test_constraints_are_read_as_strictly(changes, field):
    usual = json.loads(bytes(terms()))["constraints"]
    with pytest.raises(FormatError) as refusal:
        parse_terms(edited(constraints=usual | changes))
    assert refusal.value.field == f"terms.constraints.{field}"
    with pytest.raises(FormatError, match="unknown field 'also'"):
        parse_terms(edited(constraints=usual | {"also": 1}))


def test_the_limits_themselves_are_allowed():
    widest = terms(uses=MAX_USES, end=NOW + MAX_LIFE, request="r" * 255)
    assert parse_terms(bytes(widest)) == widest
    shortest = terms(uses=1, end=NOW + SECOND)
    assert parse_terms(bytes(shortest)) == shortest


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"uses": 0}, "uses"),
        ({"uses": MAX_USES + 1}, "uses"),
        ({"end": NOW}, "end"),
        ({"end": NOW - SECOND}, "end"),
        ({"end": NOW + MAX_LIFE + SECOND}, "end"),
        ({"end": NOW + timedelta(days=3652)}, "end"),
        ({"recipients": ()}, "recipients"),
    ],
)
def test_terms_outside_the_limits_are_refused_before_they_are_agreed(changes, field):
    with pytest.raises(FormatError) as refusal:
        check_limits(terms(**changes))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("constraints", "purpose", "reason"),
    [
        (Constraints(), PURPOSE, None),
        (Constraints(), replace(PURPOSE, names=()), None),
        (Constraints(), replace(PURPOSE, ca=True), "certificates of CAs"),
        (Constraints(ca=True), replace(PURPOSE, ca=True), None),
        (Constraints(ca=True), PURPOSE, None),
        (Constraints(profiles=("server", "client")), PURPOSE, None),
        (Constraints(profiles=("client",)), PURPOSE, "profile 'server' is not one of client"),
        (Constraints(max_validity=86_400), PURPOSE, None),
        (Constraints(max_validity=86_399), PURPOSE, "86400 s is longer than 86399 s"),
        (Constraints(names=("*.example.com",)), PURPOSE, None),
        (Constraints(names=("example.com", "www.example.com")), PURPOSE, None),
        (Constraints(names=("example.com",)), PURPOSE, "'www.example.com' is outside example.com"),
        (Constraints(names=("*.example.com",)), replace(PURPOSE, names=()), "without names"),
        (
            Constraints(names=("*.example.com",)),
            replace(PURPOSE, names=("www.example.com", "evil.org")),
            "'evil.org' is outside",
        ),
        (LIMITED, replace(PURPOSE, ca=True), None),
    ],
)
def test_each_constraint_limits_what_may_be_signed(constraints, purpose, reason):
    refusal = constraints.refusal(purpose)
    assert refusal is None if reason is None else reason in str(refusal)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("www.example.com", "www.example.com"),
        ("www.example.com", "WWW.Example.Com"),
        ("*.example.com", "www.example.com"),
        ("*.EXAMPLE.com", "a.b.c.example.COM"),
        ("*.example.com", "*.example.com"),
        ("*.example.com", "*.www.example.com"),
        ("*.example.com", "_acme.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("ops@example.com", "ops@example.com"),
    ],
)
def test_a_pattern_matches(pattern, name):
    assert matches(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("www.example.com", "example.com"),
        ("www.example.com", "www.example.com."),
        ("www.example.com", "www.example.com\n"),
        ("kiosk.example.com", "\u212aiosk.example.com"),  # the Kelvin sign is k in lower case
        ("*.example.com", "example.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "..example.com"),
        ("*.example.com", "a..example.com"),
        ("*.example.com", "wwwexample.com"),
        ("*.example.com", "www.example.com.evil.org"),
        ("*.example.com", "evil.org/.example.com"),
        ("*.example.com", "evil.org\x00.example.com"),
        ("*.example.com", "https://evil.org/?.example.com"),
        ("*.example.com", "eve@www.example.com"),
        ("*.example.com", "w*.example.com"),
        ("*.example.com", "a.*.example.com"),
        ("*.example.com", "\u0430.example.com"),
        ("*.example.com", "a\n.example.com"),
        ("*", "www.example.com"),
        ("w*.example.com", "www.example.com"),
    ],
)
def test_a_pattern_does_not_match(pattern, name):
    assert not matches(pattern, name)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_request_is_kept_as_it_is_or_refused(text):
    if len(text) <= 255 and all(" " <= character <= "~" for character in text):
        assert parse_terms(edited(request=text)).request == text
    else:
        with pytest.raises(FormatError, match=r"^terms.request: "):
            parse_terms(edited(request=text))
