"""Slots, envelopes, announcements and terms in a real browser: the vectors, and both ways with Python."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blank import outcome, run, vector
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from devtools import BrowserError

from custodian.devicekey import format_device_key, make_device_key, parse_device_key
from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import parse_envelope
from custodian.errors import CannotOpen, FormatError
from custodian.identity import Identity, announce
from custodian.lending import open_share
from custodian.sealing import PrivateKey, parse_public_key
from custodian.slots import parse_slot
from custodian.terms import Constraints, parse_terms

VECTORS = Path(__file__).parents[1] / "vectors"
KEY = PrivateKey("x25519", bytes(range(32)))

# --- slots


SLOT = """async (m, encoded, key) => {
    const { privateKey } = await import("/static/x/hpke.js");
    return b.hex(await m.openSlot(m.parseSlot(encoded), await privateKey(raw(key))));
}"""


async def test_slot_vectors_end_as_they_must(blank):
    for path in (VECTORS / "slot-v1").iterdir():
        header, body = vector(path)
        unlock, owner_key = (header.get(name, "").partition(":")[2] for name in ("unlock", "owner-key"))
        expected = owner_key if header["expect"] == "success" else None
        assert await outcome(blank, "slots", SLOT, encode_base64(body), unlock) == expected, path.name


async def test_a_slot_made_in_the_browser_opens_in_python(blank):
    made = await run(
        blank,
        "slots",
        """async (m) => {
            const device = await m.newDeviceKey("alice", "laptop"), ownerKey = m.newOwnerKey();
            const place = { owner: "alice", id: "device-1", kind: "device", parameters: { label: "laptop" } };
            const slot = await m.makeSlot(ownerKey, { ...place, unlock: device.unlock });
            return { slot, file: device.file, owner: b.hex(ownerKey), public: device.public };
        }""",
    )
    device = parse_device_key(made["file"])
    assert (device.owner, device.label, device.public) == ("alice", "laptop", made["public"])
    slot = parse_slot(decode_base64(made["slot"], "slot"))
    assert slot.open(device.unlock).raw.hex() == made["owner"]
    assert (slot.id, slot.kind, slot.owner) == ("device-1", "device", "alice")


async def test_a_device_key_signs_evidence_that_its_public_key_verifies(blank):
    device = make_device_key("alice", os.urandom(32), "laptop")
    made = await run(
        blank,
        "slots",
        """async (m, file, message) => {
            const device = await m.readDeviceKey(file);
            return { ...(await m.deviceEvidence(device, "device-1", raw(message))), public: device.public };
        }""",
        format_device_key(device),
        b"the terms",
    )
    assert made["public"] == device.public
    assert made["signature"] == device.agree(b"the terms", "device-1").signature  # Ed25519 has one


async def test_device_key_vectors_end_as_they_must(blank):
    reading = """async (m, file) => {
        const device = await m.readDeviceKey(file);
        return [device.owner, device.public, device.slotPublic];
    }"""
    for path in (VECTORS / "device-key-v1").glob("*"):
        header, body = vector(path)
        expected = None
        if header["expect"] == "success":
            unlock = PrivateKey("x25519", bytes.fromhex(header["unlock"].partition(":")[2]))
            expected = ["alice", header["credential"], str(unlock.public)]
        assert await outcome(blank, "slots", reading, body.decode()) == expected, path.name


async def test_a_file_that_is_no_device_key_is_refused_in_a_sentence(blank):
    head = "custodian/device-key/v1\n"
    for file in (
        "",
        "custodian/device-key/v2\nowner: alice\nseed: x\n",
        f"{head}owner: Alice\nseed: x\n",
        f"{head}owner: alice\n",
        f"{head}owner: alice\nseed: AAAA\n",
        f"{head}owner: alice\nseed: A\n",
    ):
        with pytest.raises(BrowserError, match="device key"):
            await run(blank, "slots", "(m, file) => m.readDeviceKey(file)", file)


# --- envelopes, announcements, terms


SHARE = """async (m, encoded, owner, key) =>
    b.hex(await m.openShare(m.parseEnvelope(encoded), owner, raw(key)))"""
CLASSICAL = [
    path
    for path in sorted((VECTORS / "envelope-v1").iterdir())
    if b"owner-key: alice x25519:" in path.read_bytes()
]


def asked(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the owners whose keys a vector gives, and the keys."""
    for line in path.read_bytes().partition(b"\n\n")[0].decode().splitlines():
        if line.startswith("owner-key: "):
            owner, key = line.split()[1:]
            yield owner, key.partition(":")[2]


def in_python(path: Path, owner: str, key: str) -> str | None:
    """Return the share that opens; None if it is refused. Raises FormatError for the envelope."""
    envelope = parse_envelope(path.read_bytes().partition(b"\n\n")[2])
    try:
        return open_share(envelope, owner, PrivateKey("x25519", bytes.fromhex(key))).hex()
    except CannotOpen:
        return None


async def test_shares_open_in_the_browser_where_they_do_in_python(blank):
    """Where the whole envelope is malformed, the browser, which reads only a part, opens what was dealt."""
    dealt, seen = {}, 0
    for path in CLASSICAL:  # each whole vector comes before its defects
        body = encode_base64(path.read_bytes().partition(b"\n\n")[2])
        for owner, key in asked(path):
            share = await outcome(blank, "envelope", SHARE, body, owner, key)
            whole = path.name.partition("_")[0], owner, key
            try:
                assert share == in_python(path, owner, key), path.name
                dealt.setdefault(whole, share)
            except FormatError:
                assert share in (None, dealt[whole]), path.name
            seen += 1
    assert seen > 100
    assert None not in dealt.values()


ANNOUNCED = """async (m, identity, signer) => m.checkAnnouncement({
    name: "ca", signers: new Map([[signer.name, identity]]),
}, signer)"""


async def test_announcement_vectors_end_as_they_must(blank):
    for path in (VECTORS / "recipient-v1").iterdir():
        header, _ = vector(path)
        signer = {"name": header["signer"], "announcement": header["signature"]}
        signer |= {name: header[name] for name in ("recipient", "announced")}
        expected = header["recipient"] if header["expect"] == "success" else None
        if path.name != "announcement_small-order-recipient":  # sealing to it fails, below
            assert await outcome(blank, "envelope", ANNOUNCED, header["identity"], signer) == expected, path


async def test_nothing_is_sealed_to_a_point_of_small_order(blank):
    nobody = f"x25519:{encode_base64(bytes(32))}"
    with pytest.raises(BrowserError):
        await run(blank, "hpke", "(m, to) => m.seal(m.parsePublicKey(to, 'it'), raw(''), raw('00'))", nobody)


async def test_a_signer_that_is_not_pinned_or_has_not_announced_is_refused(blank):
    key = Ed25519PrivateKey.generate()
    identity = str(Identity(key.public_key().public_bytes_raw()))
    signed = announce(key, "ca-1", KEY.public, datetime(2026, 11, 23, tzinfo=UTC))
    signer = {
        "name": "ca-1",
        "recipient": str(KEY.public),
        "announced": "2026-11-23T00:00:00Z",
        "announcement": encode_base64(signed),
    }
    assert await run(blank, "envelope", ANNOUNCED, identity, signer) == str(KEY.public)
    with pytest.raises(BrowserError, match="start it, then lend"):
        await run(blank, "envelope", ANNOUNCED, identity, signer | {"recipient": ""})
    function = ANNOUNCED.replace("[signer.name, identity]", "['ca-1', identity]")
    with pytest.raises(BrowserError, match="not sealed for the signer ca-2"):
        await run(blank, "envelope", function, identity, signer | {"name": "ca-2"})


async def test_terms_and_the_share_sealed_under_them_are_what_python_reads(blank):
    wish = {
        "signer": "ca-1",
        "uses": 5,
        "seconds": 900,
        "constraints": {"profiles": ["server"], "names": ["*.example.org"], "max_validity": 60, "ca": True},
        "request": 'r-7 "quoted" <b>',
    }
    made = await run(
        blank,
        "envelope",
        """async (m, wish, recipient, now, share) => {
            const envelope = { name: "ca", id: "00".repeat(16) };
            const terms = m.makeTerms({ envelope, owner: "alice", wish, recipient, now: new Date(now) });
            const sealed = await m.sealShare(raw(share), terms, [recipient]);
            return { terms: b.hex(terms), sealed, digest: b.hex(await b.sha256(terms)) };
        }""",
        wish,
        str(KEY.public),
        "2026-11-23T12:00:00.999Z",
        bytes(48),
    )
    terms = parse_terms(bytes.fromhex(made["terms"]))
    assert bytes(terms).hex() == made["terms"]
    assert terms.digest.hex() == made["digest"]
    assert (terms.key, terms.owner, terms.signer, terms.uses) == ("ca", "alice", "ca-1", 5)
    assert terms.end - terms.start == timedelta(seconds=900)
    assert terms.start == datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert terms.constraints == Constraints(("server",), ("*.example.org",), 60, ca=True)
    assert terms.request == wish["request"]
    (sealed,) = made["sealed"].values()
    assert KEY.open(decode_base64(sealed, "sealed"), terms.share_info) == bytes(48)
    altered = bytes.fromhex(made["terms"]).replace(b'"uses":5', b'"uses":6')
    with pytest.raises(CannotOpen):
        KEY.open(decode_base64(sealed, "sealed"), parse_terms(altered).share_info)


async def test_a_wish_outside_the_limits_is_refused_in_a_sentence(blank):
    making = """(m, wish) => m.makeTerms({
        envelope: { name: "ca", id: "" }, owner: "alice", wish, recipient: "", now: new Date(),
    })"""
    usual = {"signer": "ca-1", "uses": 1, "seconds": 1}
    for wish in ({"uses": 0}, {"uses": 1_000_001}, {"uses": 1.5}, {"seconds": 0}, {"seconds": 2_678_401}):
        with pytest.raises(BrowserError, match="Error: lend for"):
            await run(blank, "envelope", making, usual | wish)


@pytest.mark.parametrize("name", ["limited", "plain"])
async def test_the_share_of_a_terms_vector_opens_under_its_digest(blank, name):
    header, body = vector(VECTORS / "terms-v1" / name)
    opened = await run(
        blank,
        "hpke",
        """async (m, terms, key, sealed) => {
            const digest = await b.sha256(raw(terms));
            const info = b.joined("custodian/delegation/v1", digest);
            const share = await m.open(await m.privateKey(raw(key)), info, b.fromBase64(sealed, "it"));
            return [b.hex(digest), b.hex(share)];
        }""",
        body,
        header["recipient-key"].partition(":")[2],
        header["sealed"],
    )
    assert opened == [header["digest"], header["share"]]
    assert parse_public_key(str(parse_terms(body).recipients[0]), "x")
