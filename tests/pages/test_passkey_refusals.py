"""What must not work with passkeys, in a real browser against a custodian that may be lying."""

from typing import Any

import pytest
from devtools import BrowserError
from page_owners import key_for, newcomer

from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import parse_envelope
from custodian.errors import CannotOpen
from custodian.identity import announce
from custodian.terms import parse_terms


async def test_a_grant_is_good_once_and_as_it_was_made(world, two):
    owner, other = two
    key = key_for(world, *two)
    grant = await owner.make_grant(key)
    terms = parse_terms(decode_base64(grant["terms"], "terms"))

    def post(**changes: Any) -> tuple[int, str]:
        answer = world.daemon.call("POST", "/grants", grant | changes)
        return answer.status, answer.json["detail"] if answer.status >= 400 else ""

    altered = bytes(terms).replace(b'"uses":5', b'"uses":9')
    assert post(terms=encode_base64(altered)) == (
        403,
        f"no credential of {owner.name} here agreed to these terms; make the grant anew by one of them",
    )
    others = (await other.make_grant(key))["evidence"]
    assert post(evidence=others)[0] == 403
    assert post(evidence=grant["evidence"] | {"credential": others["credential"]})[0] == 403
    stolen = bytes(terms).replace(owner.name.encode(), other.name.encode())
    assert post(terms=encode_base64(stolen))[0] == 403
    assert post(sealed={})[0] == 400
    before = world.size()
    assert post() == (201, "")
    assert post() == (409, "these terms were granted already")
    assert world.events(before) == ["delegation.granted"]


async def test_a_share_that_was_swapped_opens_nothing_and_its_owner_is_named(world, two):
    key = key_for(world, *two)
    first, second = [await two[0].make_grant(key) for _ in range(2)]
    world.daemon.call("POST", "/grants", first | {"sealed": second["sealed"]}).ok()
    await two[1].lend(key)
    lease = world.signer.ask(key=key).ok()
    with pytest.raises(CannotOpen, match="does not open with this key in this place"):
        world.signer.join(lease)


async def test_a_grant_to_a_recipient_of_before_is_refused(world, two):
    grant = await two[0].make_grant(key_for(world, *two))
    world.signer.announce()
    answer = world.daemon.call("POST", "/grants", grant)
    assert (answer.status, answer.json["type"]) == (409, "conflict")


async def test_a_passkey_that_was_removed_signs_for_nobody(world, two):
    owner = two[0]
    key = key_for(world, *two)
    grant = await owner.make_grant(key)
    await owner.remove(grant["evidence"]["credential"], device=owner.files[0])
    assert world.daemon.call("POST", "/grants", grant).status == 403
    owner.page.expect("403|401")
    with pytest.raises(BrowserError, match="no passkey here yet"):
        await owner.lend(key)


async def test_without_knowing_who_is_there_a_passkey_is_not_made(browser, world, site):
    for authenticator in ({"verifies": False}, {"protocol": "u2f", "verifies": False}):
        owner = await newcomer(browser, world, site, **authenticator)
        with pytest.raises(BrowserError, match="it must ask for a PIN or a fingerprint"):
            await owner.enrol("passkey", "device")


async def test_one_authenticator_is_not_enrolled_twice(browser, world, site):
    owner = await newcomer(browser, world, site)
    await owner.enrol("passkey", "device")
    await owner.sign_in_by_passkey()
    with pytest.raises(BrowserError, match="enrolled already: take another one"):
        await owner.add("passkey", device=owner.files[0])


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        ("identity", "your share of key-[0-9]+ does not open: the envelope is not as it was sealed"),
        ("recipient", "was not announced by the identity that key-[0-9]+ is sealed for"),
        ("commitment", "your share of key-[0-9]+ is not the one that was dealt"),
        ("another key", "the envelope is of key-[0-9]+, not of key-[0-9]+"),
    ],
)
async def test_a_custodian_that_lies_gets_no_share(world, two, lie, sentence):
    """It shows a signer of its own, whose private keys it has, or another envelope."""
    key, other = key_for(world, *two), key_for(world, *two)
    liar = world.add_signer(f"ca-{key}")
    owner = two[0]
    envelope = decode_base64(world.person("alice", "GET", f"/keys/{key}").ok()["envelope"], "it")
    announced = liar.announcement() | {"name": "ca-1", "announcement": ""}
    if lie == "identity":
        envelope = envelope.replace(str(world.signer.identity).encode(), str(liar.identity).encode())
    if lie == "commitment":
        mine = parse_envelope(envelope).holdings[owner.name]
        others = parse_envelope(envelope).holdings["alice"]
        envelope = envelope.replace(*(encode_base64(each.commitment).encode() for each in (mine, others)))
    if lie == "another key":
        found = world.person("alice", "GET", f"/keys/{other}").ok()
        envelope = decode_base64(found["envelope"], "it")
    shown = {"name": "ca-1"}
    if lie in ("identity", "recipient"):
        shown |= {"recipient": announced["recipient"], "announced": announced["announced"]}
        shown |= {"announcement": forged(liar)}
    await owner.lie(key, encode_base64(envelope), shown)
    sent = len(owner.page.sent)
    with pytest.raises(BrowserError, match=sentence):
        await owner.lend(key)
    assert [each for each in owner.page.sent[sent:] if each.method == "POST"] == []


def forged(liar: Any) -> str:
    """Return the liar's announcement, as if it were the signer."""
    return encode_base64(announce(liar.key, "ca-1", liar.recipient.public, liar.announced))


async def test_wrong_clocks_stretch_no_terms(world, two):
    owner = two[0]
    key = key_for(world, *two)
    await owner.page.js("(() => { const now = Date.now; Date.now = () => now() + 400_000; })()")
    with pytest.raises(BrowserError, match="differ by more than five minutes"):
        await owner.lend(key)
