"""Answering a request at the terminal: what was asked is what is lent, and the check words are made here."""

from typing import Any

import pytest
from middleman import middleman
from running import ADMIN, SECRET, World
from terminals import KeyTerminal, delegations

from custodian.encoding import decode_base64, encode_base64
from custodian.petition import parse_petition

ASKED = {
    "key": "ca",
    "signer": "ca-1",
    "uses": 3,
    "duration": "30m",
    "constraints": {"profiles": ["server"], "names": ["*.example.com"], "max_validity": 172_800},
    "reason": "renew the front ends",
}


@pytest.fixture
def request_(world: World) -> Any:
    return world.person(ADMIN, "POST", "/requests", ASKED).ok()


def by_device(request_: Any, *more: str) -> tuple[str, ...]:
    return ("delegate", "ca", "--request", request_["id"], "--device-key", "alice.key", *more)


def limits(lent: Any) -> tuple[Any, ...]:
    constraints = lent["constraints"]
    assert not constraints["ca"]
    return lent["uses"], constraints["profiles"], constraints["names"], constraints["max_validity"]


def test_what_was_asked_is_lent_and_no_more(terminal: KeyTerminal, world: World, request_: Any) -> None:
    terminal.say(*by_device(request_))
    [lent] = delegations(world)
    assert limits(lent) == (3, ["server"], ["*.example.com"], 172_800)
    assert (lent["signer"], lent["request"]) == ("ca-1", request_["id"])
    world.lend("bob", request=request_["id"], **{name: ASKED[name] for name in ("uses", "constraints")})
    assert world.signer.join(world.signer.ask().ok()) == SECRET


def test_who_asks_what_for_and_the_check_words_are_said(terminal: KeyTerminal, request_: Any) -> None:
    said = terminal.run(*by_device(request_)).stderr
    assert "It answers this; hear the check words from who asks:\n" in said
    assert f"{request_['id']}, asked for at " in said
    assert "by           admin admin" in said
    assert "needs        3 signatures by ca through ca-1, lent for 30m" in said
    assert "because      renew the front ends" in said
    assert f"check words  {' '.join(request_['words'])}\n" in said


def test_what_is_typed_goes_before_what_was_asked(terminal: KeyTerminal, world: World, request_: Any) -> None:
    terminal.say(*by_device(request_, "--uses", "1", "--for", "5m", "--name", "www.example.com"))
    [lent] = delegations(world)
    assert limits(lent) == (1, ["server"], ["www.example.com"], 172_800)


def test_a_password_answers_a_request_too(terminal: KeyTerminal, world: World, request_: Any) -> None:
    answer = ("delegate", "ca", "--request", request_["id"], *terminal.with_password("alice"))
    result = terminal.run(*answer)
    assert result.exit_code == 0, result.output
    assert "check words  " in result.stderr
    assert [limits(each) for each in delegations(world)] == [(3, ["server"], ["*.example.com"], 172_800)]


def test_a_request_is_answered_without_a_network(terminal: KeyTerminal, world: World, request_: Any) -> None:
    material = ("grant", "material", "ca", "--request", request_["id"], "-o", "material.json")
    terminal.say(*material, "--device-key", "alice.key")
    lend = ("delegate", "ca", "--material", "material.json", "-o", "grant.json", "--device-key", "alice.key")
    said = terminal.run(*lend, CUSTODIAN_URL="https://127.0.0.1:1").stderr
    assert " ".join(request_["words"]) in said
    terminal.say("grant", "post", "grant.json")
    assert [each["request"] for each in delegations(world)] == [request_["id"]]


def test_a_custodian_that_shows_another_request_is_refused(
    terminal: KeyTerminal, world: World, request_: Any
) -> None:
    """The words that it would show are its own; those of the request come from its bytes."""

    def lie(view: Any) -> Any:
        body = decode_base64(view["body"], "body").replace(b'"uses":3', b'"uses":9')
        return view | {"body": encode_base64(body)}

    with middleman(world.daemon) as (man, url):
        man.lies[f"GET /requests/{request_['id']}"] = lie
        refusal = terminal.refusal(*by_device(request_), CUSTODIAN_URL=url)
        assert refusal.startswith(f"the custodian gave another request for {request_['id']}; lend nothing")
        man.lies[f"GET /requests/{request_['id']}"] = lambda view: view | {"words": ["not", "its", "own"]}
        said = terminal.run(*by_device(request_), CUSTODIAN_URL=url).stderr
    petition = parse_petition(decode_base64(request_["body"], "body"))
    assert " ".join(petition.words) in said
    assert "not its own" not in said


def test_a_request_for_one_key_is_not_answered_with_another(
    terminal: KeyTerminal, world: World, request_: Any
) -> None:
    name = f"other-{request_['id']}"
    world.seal_key(name)
    answer = ("delegate", name, "--request", request_["id"], "--device-key", "alice.key")
    assert terminal.refusal(*answer) == f"{request_['id']} asks for ca through ca-1, not for this"
    assert delegations(world) == []
