"""Passkeys in a real browser: owners enrol, add and remove, lend; nobody learns what is theirs."""

import base64
import hashlib
import json
from typing import Any

import pytest
from blank import serving
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from devtools import BrowserError
from page_owners import by_password, entry, key_for, leaked, newcomer, sign_in
from running import SECRET, basic

from custodian.devicekey import parse_device_key
from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import parse_envelope
from custodian.lending import open_share
from custodian.slots import parse_slot
from custodian.terms import parse_terms

WATCH = """(() => {
    globalThis.seen = [];
    for (const verb of ["create", "get"]) {
        const real = navigator.credentials[verb].bind(navigator.credentials);
        navigator.credentials[verb] = async (options) => {
            const credential = await real(options);
            const first = credential.getClientExtensionResults().prf?.results?.first;
            if (first) globalThis.seen.push(Array.from(new Uint8Array(first)));
            return credential;
        };
    }
})()"""


async def test_two_owners_enrol_and_lend_by_passkey_and_a_lease_opens(world, two):
    key = key_for(world, *two)
    granted = [await owner.lend(key) for owner in two]
    assert [each["state"] for each in granted] == ["live", "live"]
    terms = parse_terms(decode_base64(granted[0]["terms"], "terms"))
    assert (terms.uses, (terms.end - terms.start).total_seconds()) == (5, 900)
    lease = world.signer.ask(key=key).ok()
    assert world.signer.join(lease) == SECRET


async def test_no_secret_of_an_owner_is_in_any_request(browser, world, site):
    owner = await newcomer(browser, world, site)
    await owner.page.js(WATCH)
    await owner.enrol("passkey", "device")
    enrolling = list(owner.page.sent)
    outputs = await owner.page.js("globalThis.seen")
    await owner.sign_in_by_passkey()
    await owner.page.js(WATCH)
    key = key_for(world, owner)
    await owner.lend(key)
    device = parse_device_key(owner.files[0])
    outputs += await owner.page.js("globalThis.seen")
    slots = [parse_slot(decode_base64(each, "slot")) for each in (await owner.me())["slots"]]
    owner_key = next(each for each in slots if each.kind == "device").open(device.unlock)
    found = world.person("alice", "GET", f"/keys/{key}").ok()
    share = open_share(parse_envelope(decode_base64(found["envelope"], "it")), owner.name, owner_key)
    secrets = [*map(bytes, outputs), device.seed, device.unlock.raw, owner_key.raw, share, share[:16]]
    assert len(outputs) == 2
    assert outputs[0] == outputs[1]  # a passkey always gives the same
    assert len([each for each in owner.page.sent if each.method == "POST"]) >= 3
    assert leaked(secrets, [*enrolling, *owner.page.sent]) == []


async def test_a_secret_that_is_sent_would_be_found(browser, world, site):
    owner = await newcomer(browser, world, site)
    owner.page.expect("40[0-9]")
    secret = bytes(range(32))
    for sent in (secret.hex(), encode_base64(b"ab" + secret + b"c"), "\\x00" + secret.decode("latin-1")):
        await owner.page.js("(body) => fetch('/api/v1/x', { method: 'POST', body }).then(() => 1)", sent)
    shortened = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    await owner.page.js("(text) => fetch(`/api/v1/x?${text}`).then(() => 1)", shortened)
    assert len(leaked([secret], owner.page.sent)) >= 3


async def test_who_has_only_the_history_can_verify_that_the_owner_agreed(world, two, site):
    owner = two[0]
    granted = await owner.lend(key_for(world, *two))
    agreed = entry(world, "delegation.granted", id=granted["id"])
    evidence = agreed["evidence"]
    added = entry(world, "credential.added", owner=owner.name, credential=evidence["credential"])
    client_data = base64.b64decode(evidence["client_data"])
    said = json.loads(client_data)
    challenge = base64.urlsafe_b64decode(said["challenge"] + "=")
    assert challenge.hex() == agreed["terms_sha256"]
    assert (said["type"], said["origin"]) == ("webauthn.get", site)
    data = base64.b64decode(evidence["authenticator_data"])
    assert data[:32] == hashlib.sha256(b"localhost").digest()
    assert data[32] & 5 == 5
    key = load_der_public_key(base64.b64decode(added["public"]))
    signed = data + hashlib.sha256(client_data).digest()
    key.verify(base64.b64decode(evidence["signature"]), signed, ECDSA(SHA256()))


# --- ways on


async def test_a_passkey_without_prf_signs_and_a_device_key_opens(browser, world, site):
    owner = await newcomer(browser, world, site, prf=False)
    with pytest.raises(BrowserError, match="make one more way to open your share"):
        await owner.enrol("passkey", "device")
    await owner.enrol("passkey", "device", "device")
    await owner.sign_in_by_passkey()
    key = key_for(world, owner)
    with pytest.raises(BrowserError, match="choose your device key file as well"):
        await owner.lend(key)
    both = await owner.lend(key, device=owner.files[1], passkey=True)
    assert entry(world, "delegation.granted", id=both["id"])["evidence"]["kind"] == "passkey"
    alone = await owner.lend(key, device=owner.files[0])
    assert entry(world, "delegation.granted", id=alone["id"])["evidence"]["kind"] == "device"
    world.lend("alice", key=key)
    assert world.signer.join(world.signer.ask(key=key).ok()) == SECRET


async def test_a_passkey_that_gives_its_prf_only_when_used_is_used_at_once(browser, world, site):
    owner = await newcomer(browser, world, site)
    await owner.page.js(
        """(() => {
            const real = navigator.credentials.create.bind(navigator.credentials);
            globalThis.asked = [];
            navigator.credentials.create = async (options) => {
                const made = await real(options);
                globalThis.asked.push("create");
                made.getClientExtensionResults = () => ({ prf: { enabled: true } });
                return made;
            };
            const get = navigator.credentials.get.bind(navigator.credentials);
            navigator.credentials.get = (options) => { globalThis.asked.push("get"); return get(options); };
        })()"""
    )
    await owner.enrol("passkey", "device")
    assert await owner.page.js("globalThis.asked") == ["create", "get", "get"]
    await owner.sign_in_by_passkey()
    assert (await owner.lend(key_for(world, owner)))["state"] == "live"


async def test_a_passkey_that_gives_another_prf_output_opens_nothing_and_says_so(world, two):
    await two[0].page.js(
        """(() => {
            const get = navigator.credentials.get.bind(navigator.credentials);
            navigator.credentials.get = async (options) => {
                const got = await get(options);
                const first = new ArrayBuffer(32);
                got.getClientExtensionResults = () => ({ prf: { results: { first } } });
                return got;
            };
        })()"""
    )
    with pytest.raises(BrowserError, match="the seal does not open with this key"):
        await two[0].lend(key_for(world, *two))


async def test_an_owner_with_a_password_adds_a_passkey_and_lends_by_it(browser, world, site):
    owner = await by_password(browser, world, site, "bob")
    me = await owner.add("passkey", password="correct horse battery bob")
    assert {parse_slot(decode_base64(each, "slot")).kind for each in me["slots"]} == {"password", "passkey"}
    granted = await owner.lend(key_for(world, owner), uses=1)
    assert entry(world, "delegation.granted", id=granted["id"])["evidence"]["kind"] == "passkey"
    left = await owner.remove(me["credentials"][0]["id"], password="correct horse battery bob")
    assert (len(left["slots"]), left["credentials"]) == (1, [])
    await sign_in(owner.page, world, site, "bob")
    owner.page.expect("401")
    with pytest.raises(BrowserError, match="the name or the password is not right"):
        await owner.add("passkey", password="wrong horse battery bob")


async def test_a_passkey_adds_a_device_key_and_a_device_key_another_passkey(browser, world, site):
    owner = await newcomer(browser, world, site)
    await owner.enrol("passkey", "device")
    await owner.sign_in_by_passkey()
    (first,) = passkeys(await owner.me())
    assert len((await owner.add("device"))["slots"]) == 3
    await owner.page.hold_still(owner.page.authenticators[0])
    await owner.page.authenticator(transport="usb")
    (second,) = passkeys(await owner.add("passkey", device=owner.files[0])) - {first}
    await owner.remove(first, device=owner.files[0])
    granted = await owner.lend(key_for(world, owner))
    assert entry(world, "delegation.granted", id=granted["id"])["evidence"]["credential"] == second


def passkeys(me: Any) -> set[str]:
    return {each["id"] for each in me["credentials"] if each["kind"] == "passkey"}


async def test_a_session_alone_changes_no_way_to_open(browser, world, site):
    owner = await by_password(browser, world, site, "carol")
    owner.page.expect("403")
    with pytest.raises(BrowserError, match="a session only reads"):
        await owner.run("api", "(m) => m.call('POST', '/me/slots/password/remove', {})")
    assert world.daemon.call("GET", "/me", authorization=basic("carol")).ok()["slots"]


async def test_a_page_where_there_are_no_passkeys_says_why(browser, world, site):
    page = await (await browser.person()).page(site.replace("localhost", "127.0.0.1") + "/sign-in")
    why = await page.js("import('/static/any/passkey.js').then(m => m.available().why)")
    assert "no passkeys for an address such as 127.0.0.1: open the custodian by its name" in why
    async with serving() as blank:
        await page.goto(blank.replace("localhost", "somewhere.localhost"))
        assert await page.js("import('/static/x/passkey.js').then(m => m.available().ok)")


async def test_a_person_who_does_nothing_is_told_what_to_do(two, world):
    await two[0].page.js(
        "navigator.credentials.get = () => Promise.reject(new DOMException('x', 'NotAllowedError'))"
    )
    with pytest.raises(BrowserError, match="touch it within two minutes"):
        await two[0].lend(key_for(world, *two))
