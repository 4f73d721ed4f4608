"""The scanner sees what is there, and finds nothing in a keyholder that is shut in."""

import base64
import os
import threading
from collections.abc import Callable
from typing import Any

import memory_scan
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from keyholder_lab import Lab, derive, mask
from memory_scan import Needle, Scan, find, int_digits, key_needles, scan, scan_tree, secret_needles, tree
from register_scan import registers

KEYS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
}
USERS = sorted({os.getuid(), 65534} if os.getuid() == 0 else {os.getuid()})


def der_of(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def look(pid: int, needles: tuple[Needle, ...]) -> Scan:
    try:
        return scan(pid, needles)
    except PermissionError:
        pytest.skip("this user may not read that process's memory; run as root")


def look_at_registers(pid: int) -> bytes:
    try:
        return registers(pid)
    except PermissionError:
        pytest.skip("this user may not trace that process; run as root")


def look_at_all(lab: Lab, needles: tuple[Needle, ...]) -> dict[int, tuple[Any, ...]]:
    """The finds in the broker and in its keyholder, by process."""
    look(lab.pid, ())
    scans = scan_tree(lab.process.pid, needles)
    assert [found.pid for found in scans] == [lab.process.pid, lab.pid]
    assert all(found.read > 2**20 for found in scans)
    return {found.pid: found.hits for found in scans if found.hits}


# -- what the scanner sees


@pytest.mark.parametrize("kind", KEYS)
def test_every_form_of_a_key_is_found_where_it_was_planted(kind: str) -> None:
    with Lab("bare") as lab:
        needles = key_needles(KEYS[kind]())
        assert not look(lab.pid, needles).hits
        for needle in needles:
            lab.do("plant", masked=mask(needle.secret))
        found = {name for name, _ in look(lab.pid, needles).whole}
        assert found == {needle.label for needle in needles}


def test_every_form_of_a_share_is_found_where_it_was_planted() -> None:
    with Lab("bare") as lab:
        needles = secret_needles("share", os.urandom(16))
        for needle in needles:
            lab.do("plant", masked=mask(needle.secret))
            assert needle.label in {name for name, _ in look(lab.pid, needles).whole}


def test_an_integer_is_looked_for_as_python_holds_it() -> None:
    assert int_digits(2**30 + 5) == bytes.fromhex("05000000 01000000")
    assert int_digits(2**60 - 1) == bytes.fromhex("ffffff3f ffffff3f")


def test_base64_is_found_wherever_the_secret_stands_in_the_text() -> None:
    secret = os.urandom(32)
    forms = [needle.secret for needle in secret_needles("s", secret) if "base64" in needle.label]
    for before in range(6):
        text = base64.b64encode(os.urandom(before) + secret + os.urandom(7))
        assert any(form in text for form in forms)


@pytest.mark.parametrize("place", range(8))
def test_a_piece_of_sixteen_bytes_is_found_at_any_place(place: int) -> None:
    with Lab("bare") as lab:
        secret = os.urandom(32)
        needles = (Needle("secret", secret),)
        edge = bytes([secret[8] ^ 1]), bytes([secret[25] ^ 1])
        text = bytes(64 + place) + secret[9:25].join(edge) + bytes(64)
        lab.do("plant", masked=mask(text))
        found = look(lab.pid, needles)
        assert not found.whole
        assert [hit.length for hit in found.hits] == [16]


def test_a_secret_across_two_reads_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_scan, "CHUNK", memory_scan.PAGE)
    with Lab("bare") as lab:
        secret = os.urandom(300)
        text = b"".join(os.urandom(memory_scan.PAGE - 300) + secret for _ in range(40))
        lab.do("plant", masked=mask(text))
        found = look(lab.pid, (Needle("secret", secret),))
        assert sum(found.whole.values()) == 40
        assert not found.pieces


def test_public_parts_of_a_key_are_no_finds() -> None:
    with Lab("bare") as lab:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for text in (public, der_of(key)[:36], der_of(ec.generate_private_key(ec.SECP256R1()))):
            lab.do("plant", masked=mask(text))
        assert not look(lab.pid, key_needles(key)).hits


def test_memory_that_cannot_be_read_is_counted() -> None:
    with Lab("secret") as lab:
        found = look(lab.pid, ())
        if why := lab.lacks("secret memory"):
            pytest.skip(why)
        assert found.unreadable == {"/secretmem (deleted)": pytest.approx(6 * 2**20, rel=0.5)}
        assert not look(lab.process.pid, ()).unreadable


def test_a_process_that_has_ended_is_no_process() -> None:
    with Lab("bare") as lab:
        pid = lab.pid
        assert tree(lab.process.pid) == (lab.process.pid, pid)
    with pytest.raises(ProcessLookupError):
        scan(pid, ())


# -- what it sees in a keyholder


@pytest.mark.parametrize(("kind", "uid"), [*((kind, os.getuid()) for kind in KEYS), ("P-256", USERS[-1])])
def test_a_key_in_a_shut_in_keyholder_cannot_be_found(kind: str, uid: int) -> None:
    with Lab(uid=uid) as lab:
        if why := lab.lacks("secret memory"):
            pytest.skip(why)
        key, seed = KEYS[kind](), os.urandom(16)
        needles = key_needles(key) + secret_needles("seed", seed)
        needles += secret_needles("key-encryption key", derive(seed))
        assert not look_at_all(lab, needles), "before"
        lab.lend(der_of(key), seed)
        assert not look_at_all(lab, needles), "opened"
        signing = threading.Thread(target=lab.do, args=["sign"], kwargs={"text": "t", "times": 4000})
        signing.start()
        assert not look_at_all(lab, needles), "signing"
        signing.join()
        lab.do("sign", text="t", times=20)
        assert not look_at_all(lab, needles), "signed"


@pytest.mark.parametrize("kind", KEYS)
def test_the_same_key_is_found_with_secret_memory_off(kind: str) -> None:
    with Lab("plain") as lab:
        key, seed = KEYS[kind](), os.urandom(16)
        needles = key_needles(key)
        assert not look_at_all(lab, needles)
        lab.lend(der_of(key), seed)
        found = look(lab.pid, needles)
        assert {mapping for _, mapping in found.whole} == {"[heap]"}
        assert {"key d reversed", "key seed raw"} & {name for name, _ in found.whole}
        assert not look(lab.process.pid, needles).hits


def test_a_keyholder_that_does_not_wipe_is_found_out() -> None:
    with Lab() as lab:
        key, seed = KEYS["P-256"](), os.urandom(16)
        lab.lend(der_of(key), seed, careful=False)
        assert look(lab.pid, key_needles(key) + secret_needles("seed", seed)).hits


@pytest.mark.parametrize("depth", [600, 5000, 200_000])
def test_scrubbing_overwrites_what_lies_on_the_dead_stack(depth: int) -> None:
    with Lab() as lab:
        secret = os.urandom(64)
        needles = (Needle("residue", secret),)
        lab.do("soil", masked=mask(secret), depth=depth)
        assert depth < 1000 or {place for _, place in look(lab.pid, needles).whole} == {"[stack]"}
        lab.do("scrub")
        assert not look(lab.pid, needles).hits


@pytest.mark.parametrize("kind", ["P-256", "Ed25519"])
def test_scrubbing_leaves_no_key_in_the_registers_and_signing_brings_none_back(kind: str) -> None:
    with Lab() as lab:
        key, seed = KEYS[kind](), os.urandom(16)
        needles = secret_needles("key-encryption key", derive(seed)) + key_needles(key)
        lab.lend(der_of(key), seed)
        if not find(look_at_registers(lab.pid), "registers", needles):
            pytest.skip("this processor keeps nothing of an AES key, so there is nothing to see")
        lab.do("scrub")
        assert not find(look_at_registers(lab.pid), "registers", needles)
        lab.do("sign", text="t", times=20)
        assert not find(look_at_registers(lab.pid), "registers", needles)
