"""Passkeys in a real browser: enrolment, lending, and everything that must not work."""

import pytest
from owners import key_for, newcomer

from custodian.encoding import decode_base64
from custodian.terms import parse_terms


@pytest.fixture
async def two(browser, world, site):
    """Two owners who enrolled with a passkey and a device key, signed in by passkey."""
    owners = [await newcomer(browser, world, site) for _ in range(2)]
    for owner in owners:
        await owner.enrol("passkey", "device")
        await owner.sign_in_by_passkey()
    return owners


async def test_two_owners_enrol_and_lend_by_passkey_and_a_lease_opens(world, two):
    key = key_for(world, *two)
    granted = [await owner.lend(key) for owner in two]
    assert [each["state"] for each in granted] == ["live", "live"]
    terms = parse_terms(decode_base64(granted[0]["terms"], "terms"))
    assert (terms.uses, (terms.end - terms.start).total_seconds()) == (5, 900)
    lease = world.signer.ask(key=key).ok()
    assert world.signer.join(lease) == b"not really the DER of a private key"
