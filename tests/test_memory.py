"""The promise, looked at: a lent key is in its keyholder only, and there out of reach.

Real processes, whole trees of them: the custodian with its openers, the signer's API process, its
broker and its keyholders. The test makes the CA key, the seed and the shares itself, so it knows what
must not be found, seals them as the ceremony does, and lends over the password path. It looks before
the lease, while the key is live, and after its end, for the whole of each secret and for any 16 bytes.

What is public is no needle: neither the public key, which a PKCS#8 file holds too, nor the constant
head of such a file; see memory_scan.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from ca_in_memory import ca_pem, key_of
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from keyholder_lab import PROBES
from memory_scan import Needle, Scan, key_needles, scan, scan_tree, secret_needles
from running import OWNERS, password_of, wait_until
from signing import POLICY, Site, alive, make_site

from custodian.encoding import encode_base64
from custodian.envelope import Envelope, KeyFacts, derive_kek, seal
from custodian.identity import parse_identity
from custodian.policy import parse_policy
from custodian.sealing import parse_public_key
from custodian.shares import SEED_SIZE
from custodian.slots import derive, parse_kdf, parse_slot

ALGORITHMS = {"P-256": "ecdsa-p256", "RSA-2048": "rsa-2048", "Ed25519": "ed25519"}
SIGNATURES = 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running custodian and a signer that is not started yet."""
    try:
        scan(os.getppid(), ())
    except PermissionError:
        pytest.skip("this user may not read the memory of other processes; run as root")
    running = make_site(tmp_path_factory.mktemp("memory"))
    yield running
    running.stop()


@dataclass
class Custody:
    """A key in custody of which the test knows every secret."""

    needles: tuple[Needle, ...]
    inside: tuple[Needle, ...]  # what a keyholder must hold to sign: the key itself


def put_into_custody(site: Site, kind: str, prefix: str = "") -> Custody:
    """Make a CA key, seal it as the ceremony does, and configure the signer to sign with it."""
    key, algorithm = key_of(kind, f"{prefix}ca in custody"), ALGORITHMS[kind]
    name = prefix + algorithm
    pem = ca_pem(key, not_before=datetime.now(UTC).replace(microsecond=0))
    facts = facts_of(site, (name, algorithm), key, x509.load_pem_x509_certificate(pem.encode()))
    drawn: list[bytes] = []

    def random(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return bytes(bytearray(drawn[-1]))  # a copy, since what was drawn is wiped

    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    envelope = seal(facts, public_keys(site), der, random)
    token = (site.signer.directory / "token").read_text().strip()
    body = {"envelope": encode_base64(bytes(envelope)), "certificate": pem}
    site.daemon.call("POST", "/keys", body, authorization=f"Bearer {token}").ok()
    (site.signer.directory / f"{name}.pem").write_text(pem)
    site.signer.configure(ca={"key": name, "certificate": f"{name}.pem"})
    seed = next(each for each in drawn if len(each) == SEED_SIZE)
    secrets = {"seed": seed, "key-encryption key": bytes(derive_kek(seed, facts.id))}
    for owner in OWNERS:
        secrets |= secrets_of(site, owner, envelope)
    needles = [each for label, secret in secrets.items() for each in secret_needles(label, secret)]
    inside = key_needles(key, "key")
    return Custody((*inside, *needles), inside)


def facts_of(site: Site, names: tuple[str, str], key: Any, certificate: x509.Certificate) -> KeyFacts:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signers = site.world.person("admin", "GET", "/signers").ok()
    return KeyFacts(
        name=names[0],
        id=os.urandom(16).hex(),
        created=datetime.now(UTC).replace(microsecond=0),
        algorithm=names[1],
        public=sha256(spki).digest(),
        subject=certificate.subject.public_bytes(),
        policy=parse_policy(POLICY),
        signers={each["name"]: parse_identity(each["identity"], "identity") for each in signers},
    )


def public_keys(site: Site) -> dict[str, Any]:
    people = site.world.person("admin", "GET", "/owners").ok()
    return {each["name"]: parse_public_key(each["public"], "public") for each in people if each["public"]}


def secrets_of(site: Site, owner: str, envelope: Envelope) -> dict[str, bytes]:
    """Return an owner's share and what opens it, opened with their password as an opener does."""
    database = sqlite3.connect(f"file:{site.daemon.directory / 'custodian.db'}?mode=ro", uri=True)
    [(body,)] = database.execute("SELECT body FROM slot WHERE owner = ?", (owner,))
    database.close()
    slot = parse_slot(body)
    unlock = derive(password_of(owner), parse_kdf(slot.parameters)).unlock
    private = slot.open(unlock)
    share = private.open(envelope.holdings[owner].sealed, envelope.facts.share_info(owner))
    return {
        f"{owner}'s share": share,
        f"{owner}'s value": share[:SEED_SIZE],
        f"{owner}'s blind": share[SEED_SIZE:],
        f"{owner}'s key": private.raw,
        f"{owner}'s unlocking key": unlock.raw,
    }


def look(site: Site, needles: tuple[Needle, ...]) -> dict[str, Scan]:
    """Scan every process of the custodian and of the signer; return the scans by what they are."""
    custodian = as_named("custodian", scan_tree(site.daemon.pid, needles))
    return custodian | as_named("signer", scan_tree(site.signer.pid, needles))


def as_named(part: str, scans: tuple[Scan, ...]) -> dict[str, Scan]:
    assert all(found.read > 2**20 for found in scans)
    return {f"{part} {found.pid}": found for found in scans}


def finds(scans: dict[str, Scan]) -> dict[str, Any]:
    return {who: (found.whole, found.pieces) for who, found in scans.items() if found.hits}


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_lent_key_is_nowhere_to_be_read(site: Site, kind: str) -> None:
    custody = put_into_custody(site, kind)
    site.signer.start()
    try:
        before = look(site, custody.needles)
        assert len(before) >= 5  # custodian, openers' parent; API process, broker, spare keyholder
        assert not finds(before), "before the lease"
        lent = site.world.lend("alice", "bob", key=ALGORITHMS[kind], uses=100)
        assert not finds(as_named("custodian", scan_tree(site.daemon.pid, custody.needles))), "lent"
        site.signer.issue()
        [keyholder] = site.signer.keyholders()
        opened = look(site, custody.needles)
        assert f"signer {keyholder}" in opened
        expect_nothing_readable(site, opened, keyholder, "just opened")
        for _ in range(SIGNATURES):
            site.signer.issue()
        holders = site.signer.keyholders()
        used = look(site, custody.needles)
        for each in holders:
            expect_nothing_readable(site, used, each, "in use")
        site.world.person("bob", "DELETE", f"/delegations/{lent[1]}").ok()
        wait_until(lambda: not any(map(alive, [keyholder, *holders])))
        after = look(site, custody.needles)
        assert not finds(after), "after the end"
    finally:
        site.signer.stop()


def expect_nothing_readable(site: Site, scans: dict[str, Scan], keyholder: int, when: str) -> None:
    """Find nothing outside the keyholder, nor inside where this kernel has secret memory."""
    name = f"signer {keyholder}"
    assert not finds({who: found for who, found in scans.items() if who != name}), when
    [lease] = [each for each in site.signer.status()["keyholders"]["open"] if each["pid"] == keyholder]
    if any(measure["name"] == "secret memory" for measure in lease["not_taken"]):
        try:
            PROBES["secret memory"]()
        except OSError as error:
            pytest.skip(f"the keyholder's own memory: {error}")
        raise AssertionError(lease["not_taken"])
    assert not finds({name: scans[name]}), when
    assert sum(scans[name].unreadable.values()) > 2**20, "its heap is what cannot be read"


def test_the_same_look_finds_a_key_that_is_not_in_secret_memory(site: Site) -> None:
    custody = put_into_custody(site, "P-256", "plain-")
    site.signer.configure(lease={"secret_memory": False})
    site.signer.start()
    try:
        site.world.lend("alice", "carol", key="plain-ecdsa-p256", uses=10)
        site.signer.issue()
        [keyholder] = site.signer.keyholders()
        scans = look(site, custody.needles)
        found = scans.pop(f"signer {keyholder}")
        assert {needle for needle, _ in found.whole} & {each.label for each in custody.inside}
        assert not {needle for needle, _ in found.whole + found.pieces} - {
            each.label for each in custody.inside
        }
        assert not finds(scans)
    finally:
        site.signer.configure(lease={"secret_memory": True})
        site.signer.stop()
