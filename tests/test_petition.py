"""What a request says: one spelling, strict limits, an id and words of its digest."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from examples import HOUR, KEY_ID, NOW, SECOND

from custodian.checkwords import WORDS
from custodian.encoding import canonical_json, encode_base64, parse_json_object
from custodian.errors import Forbidden, FormatError
from custodian.petition import MAX_WAIT, UNLIMITED, Petition, parse_petition, parse_shown
from custodian.terms import MAX_LIFE, Constraints, Purpose
from custodian.wire import WireConstraints
from custodian.wire_requests import AskRequest, parse_made


def petition(**changes: Any) -> Petition:
    usual = Petition(
        key="ca",
        key_id=KEY_ID,
        signer="ca-1",
        role="signer",
        asker="ca-1",
        on_behalf="eve",
        uses=5,
        seconds=3600,
        constraints=Constraints(("server",), ("*.example.com",), 86_400),
        reason="renew the front ends",
        made=NOW,
        expires=NOW + HOUR,
        nonce="0" * 32,
    )
    return replace(usual, **changes)


def changed(**fields: Any) -> bytes:
    """Return a petition with some fields set, or left out where they are None."""
    value = parse_json_object(bytes(petition()), "request") | fields
    return canonical_json({name: each for name, each in value.items() if each is not None})


def test_a_petition_is_read_as_it_was_written() -> None:
    assert parse_petition(bytes(petition())) == petition()


def test_id_and_words_are_of_the_digest() -> None:
    digest = hashlib.sha256(bytes(petition())).digest()
    assert petition().id == f"r-{digest.hex()[:12]}"
    assert petition().words == tuple(WORDS[byte] for byte in digest[6:10])


def test_whatever_is_changed_changes_id_and_words() -> None:
    others = [
        petition(uses=6),
        petition(on_behalf="bob"),
        petition(reason="renew the front ends."),
        petition(constraints=Constraints(("server",), ("*.example.org",), 86_400)),
        petition(nonce="1" + "0" * 31),
    ]
    assert len({(each.id, each.words) for each in (petition(), *others)}) == 6


@pytest.mark.parametrize("field", sorted(parse_json_object(bytes(petition()), "request")))
def test_every_field_must_be_there(field: str) -> None:
    with pytest.raises(FormatError):
        parse_petition(changed(**{field: None}))


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "custodian/request/v2"},
        {"key": "CA"},
        {"key_id": KEY_ID.upper()},
        {"signer": ""},
        {"asker": {"role": "auditor", "name": "audrey"}},
        {"asker": {"role": "custodian", "name": ""}},
        {"asker": {"role": "owner", "name": "Alice"}},
        {"asker": {"role": "owner", "name": "alice", "more": ""}},
        {"asker": "alice"},
        {"on_behalf": "two\nlines"},
        {"uses": 0},
        {"uses": 1_000_001},
        {"uses": "5"},
        {"uses": True},
        {"seconds": 0},
        {"seconds": int(MAX_LIFE.total_seconds()) + 1},
        {"constraints": {"profiles": [], "names": [], "max_validity": 0}},
        {"constraints": {"profiles": [""], "names": [], "max_validity": 0, "ca": 0}},
        {"reason": ""},
        {"reason": "x" * 256},
        {"reason": "\x1b[2J"},
        {"made": "2026-11-23T12:00:00+00:00"},
        {"expires": "2026-11-23T12:00:00Z"},
        {"expires": "2026-11-23T11:59:59Z"},
        {"expires": "2026-12-24T12:00:01Z"},
        {"nonce": "0" * 30},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_outside_the_limits_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        parse_petition(changed(**fields))


def test_the_limits_themselves_are_read() -> None:
    widest = petition(uses=1_000_000, seconds=int(MAX_LIFE.total_seconds()), expires=NOW + MAX_WAIT)
    assert parse_petition(bytes(widest)) == widest
    least = petition(uses=1, seconds=1, expires=NOW + SECOND, on_behalf="", constraints=Constraints())
    assert parse_petition(bytes(least)) == least


@pytest.mark.parametrize(
    "change", [lambda data: b" " + data, lambda data: data + b"\n", lambda data: data[:-1]]
)
def test_there_is_one_spelling(change: Any) -> None:
    with pytest.raises(FormatError):
        parse_petition(change(bytes(petition())))


def test_what_must_be_admitted_is_what_is_asked_for() -> None:
    assert petition().purposes == (Purpose("server", ("*.example.com",), 86_400),)
    two = petition(constraints=Constraints(("server", "client"), ca=True))
    assert two.purposes == (
        Purpose("server", (), UNLIMITED, ca=True),
        Purpose("client", (), UNLIMITED, ca=True),
    )
    assert petition(constraints=Constraints()).purposes == (Purpose("", (), UNLIMITED),)


@pytest.mark.parametrize(
    "limits", [petition().constraints, Constraints(), Constraints(("a", "b"), ("x",), 1, ca=True)]
)
def test_what_is_asked_for_admits_itself(limits: Constraints) -> None:
    assert all(limits.refusal(purpose) is None for purpose in petition(constraints=limits).purposes)


def test_who_asks_is_known_by_name_and_a_signer_by_whom_it_asks_for() -> None:
    assert petition(role="owner", asker="alice", on_behalf="").is_by("alice")
    assert petition().is_by("eve")
    assert not petition().is_by("ca-1")
    assert not petition(made=NOW - timedelta(days=1)).is_by("")


def test_whoever_is_shown_another_request_is_told() -> None:
    body = encode_base64(bytes(petition()))
    assert parse_shown(body, petition().id) == petition()
    with pytest.raises(Forbidden, match="gave another request for r-000000000000"):
        parse_shown(body, "r-000000000000")


def asked(**changes: Any) -> AskRequest:
    usual: dict[str, Any] = {
        "key": "ca",
        "signer": "ca-1",
        "uses": 5,
        "duration": "1h",
        "reason": "renew the front ends",
        "on_behalf": "eve",
        "constraints": WireConstraints(profiles=["server"], names=["*.example.com"], max_validity=86_400),
    }
    return AskRequest(**usual | changes)


def made(**changes: Any) -> dict[str, str]:
    """What a custodian shows of the request it made."""
    made = petition(**changes)
    return {"id": made.id, "body": encode_base64(bytes(made))}


def test_an_asker_sees_that_the_custodian_made_just_that() -> None:
    assert parse_made(asked(), made()) == petition()


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "root"},
        {"signer": "ca-2"},
        {"uses": 6},
        {"seconds": 7200},
        {"constraints": Constraints()},
        {"reason": "renew the front ends, all of them"},
        {"on_behalf": "mallory"},
    ],
    ids=str,
)
def test_an_asker_sees_when_the_custodian_made_something_else_of_it(changes: dict[str, Any]) -> None:
    with pytest.raises(Forbidden, match="made something else"):
        parse_made(asked(), made(**changes))
