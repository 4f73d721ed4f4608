"""The vectors of docs/format.md: read by our code, made again byte by byte, and read by another program."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from custodian.commands.grantfiles import parse_grant
from custodian.devicekey import parse_device_key
from custodian.encoding import decode_base64, parse_instant, parse_name
from custodian.envelope import open_payload, parse_envelope
from custodian.errors import CannotOpen, CustodianError
from custodian.events import Evidence
from custodian.evidence import Credential
from custodian.evidence import check as check_evidence
from custodian.identity import parse_identity
from custodian.petition import parse_petition
from custodian.policy import parse_policy
from custodian.sealing import PrivateKey, parse_public_key
from custodian.shares import join
from custodian.site import Site
from custodian.slots import derive, login_verifier, parse_kdf, parse_slot
from custodian.terms import parse_terms

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "tests" / "vectors"
MADE = ["policy-v1", "share-v1", "envelope-v1", "slot-v1", "terms-v1", "recipient-v1", "request-v1"]
MADE += ["device-key-v1", "grant-v1"]


@dataclass(frozen=True)
class Vector:
    header: dict[str, list[str]]
    body: bytes

    def one(self, name: str) -> str:
        (value,) = self.header[name]
        return value

    def hexadecimal(self, name: str) -> bytes:
        return bytes.fromhex(self.one(name))

    def by_owner(self, name: str) -> dict[str, str]:
        return dict(value.split(" ") for value in self.header.get(name, []))


def read(path: Path) -> Vector:
    head, _, body = path.read_bytes().partition(b"\n\n")
    header: dict[str, list[str]] = {}
    for line in head.decode().splitlines():
        name, _, value = line.partition(": ")
        header.setdefault(name, []).append(value)
    return Vector(header, body)


def private_key(text: str) -> PrivateKey:
    suite, _, raw = text.partition(":")
    return PrivateKey(suite, bytes.fromhex(raw))


def check_policy(vector: Vector) -> None:
    policy = parse_policy(vector.body.decode())
    assert str(policy) == vector.one("canonical")
    assert all(policy.met_by(owners.split()) for owners in vector.header["opens"])
    assert not any(policy.met_by(owners.split()) for owners in vector.header["stays-shut"])


def check_share(vector: Vector) -> None:
    commitments, shares = (
        {owner: bytes.fromhex(value) for owner, value in vector.by_owner(name).items()}
        for name in ("commitment", "share")
    )
    seed = join(parse_policy(vector.one("policy")), vector.one("key-id"), commitments, shares)
    assert seed == vector.hexadecimal("seed")


def check_envelope(vector: Vector) -> None:
    envelope = parse_envelope(vector.body)
    facts, shares, unopened = envelope.facts, {}, []
    for owner, key in vector.by_owner("owner-key").items():
        sealed = envelope.holdings[owner].sealed
        try:
            shares[owner] = private_key(key).open(sealed, facts.share_info(owner))
        except CannotOpen:
            unopened.append(owner)
    if unopened:
        raise CannotOpen("a share does not open", tuple(unopened))
    seed = join(facts.policy, facts.id, envelope.commitments, shares)
    assert open_payload(envelope, seed) == vector.hexadecimal("secret")


def check_slot(vector: Vector) -> None:
    slot = parse_slot(vector.body)
    unlock = private_key(vector.one("unlock"))
    assert slot.open(unlock) == private_key(vector.one("owner-key"))
    if slot.kind == "password":
        derived = derive(vector.one("password"), parse_kdf(slot.parameters))
        assert derived.unlock == unlock
        assert login_verifier(derived) == vector.hexadecimal("verifier")


def check_terms(vector: Vector) -> None:
    terms = parse_terms(vector.body)
    share = private_key(vector.one("recipient-key")).open(
        decode_base64(vector.one("sealed"), "sealed"), terms.share_info
    )
    assert share == vector.hexadecimal("share")
    assert (terms.digest, terms.id) == (vector.hexadecimal("digest"), vector.one("id"))


def check_recipient(vector: Vector) -> None:
    identity = parse_identity(vector.one("identity"), "identity")
    recipient = parse_public_key(vector.one("recipient"), "recipient")
    signature = decode_base64(vector.one("signature"), "signature")
    announced = parse_instant(vector.one("announced"), "announced")
    signer = parse_name(vector.one("signer"), "signer")
    identity.check_announcement(signer, recipient, announced, signature)


def check_request(vector: Vector) -> None:
    petition = parse_petition(vector.body)
    assert (petition.id, " ".join(petition.words)) == (vector.one("id"), vector.one("words"))


def check_device_key(vector: Vector) -> None:
    key = parse_device_key(vector.body.decode())
    assert key.unlock == private_key(vector.one("unlock"))
    assert key.public == vector.one("credential")


def check_grant(vector: Vector) -> None:
    granted, terms = parse_grant(vector.body)
    kind, credential, public = vector.one("credential").split(" ", 2)
    known = Credential(credential, kind, "", public)
    check_evidence(Evidence(**granted.evidence.model_dump()), known, bytes(terms), Site("", ""))
    [sealed] = granted.sealed.values()
    recipient = private_key(vector.one("recipient-key"))
    share = recipient.open(decode_base64(sealed, "sealed"), terms.share_info)
    assert (share, terms.id) == (vector.hexadecimal("share"), vector.one("id"))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "policy-v1": check_policy,
    "share-v1": check_share,
    "envelope-v1": check_envelope,
    "slot-v1": check_slot,
    "terms-v1": check_terms,
    "recipient-v1": check_recipient,
    "request-v1": check_request,
    "device-key-v1": check_device_key,
    "grant-v1": check_grant,
}


def paths() -> list[tuple[str, Path]]:
    made = [(name, path) for name in MADE for path in sorted((VECTORS / name).iterdir())]
    return [*made, *((path.name.split("_")[0], path) for path in sorted((VECTORS / "frozen").iterdir()))]


@pytest.mark.parametrize(("name", "path"), paths(), ids=lambda value: str(getattr(value, "name", value)))
def test_a_vector_gives_what_it_says(name, path):
    vector = read(path)
    expected, wrong = vector.one("expect"), vector.header.get("wrong")
    if expected == "success":
        CHECKS[name](vector)
        return
    with pytest.raises(CustodianError) as refusal:
        CHECKS[name](vector)
    assert refusal.value.code == expected
    if wrong:
        assert list(refusal.value.members["owners"]) == wrong[0].split()


@pytest.mark.parametrize("name", MADE)
def test_there_are_four_negatives_for_each_positive(name):
    positives = [path for path in (VECTORS / name).iterdir() if read(path).one("expect") == "success"]
    negatives = len(list((VECTORS / name).iterdir())) - len(positives)
    assert positives
    assert negatives >= 4 * len(positives)


def test_the_vectors_are_made_again_byte_by_byte(tmp_path):
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_vectors.py", tmp_path], check=True, capture_output=True
    )
    for name in MADE:
        made = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        assert made == {path.name: path.read_bytes() for path in (VECTORS / name).iterdir()}


def test_a_second_implementation_agrees_with_every_vector():
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed, which runs scripts/verify-vectors.mjs")
    if int(re.findall(r"\d+", subprocess.check_output([node, "--version"], text=True))[0]) < 18:
        pytest.skip("node is older than 18")
    ended = subprocess.run(
        [node, ROOT / "scripts" / "verify-vectors.mjs", VECTORS], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(paths())} vectors" in ended.stdout
