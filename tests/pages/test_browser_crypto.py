"""Bytes and seals as the pages make and read them, in a real browser, against Python and an RFC."""

import hashlib
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from blank import outcome, run
from devtools import BrowserError

from custodian.encoding import canonical_json, decode_base64
from custodian.errors import CustodianError
from custodian.sealing import PrivateKey

KEY = PrivateKey("x25519", bytes(range(32)))

# --- bytes


LOOSE = ["AA==", "AB==", "AA=", "AA", "A A=", "AA==\n", "-_==", "", "/+8=", "AAA=AAA=", "\u00e9A==", "===="]


async def test_base64_has_one_spelling_here_too(blank):
    def python(text: str) -> str | None:
        try:
            return decode_base64(text, "x").hex()
        except CustodianError:
            return None

    decode = "(m, text) => m.hex(m.fromBase64(text, 'it'))"
    browser = [await outcome(blank, "bytes", decode, each) for each in LOOSE]
    assert browser == [python(each) for each in LOOSE]


def values() -> Iterator[Any]:
    """Yield what our formats can hold, at random but always the same."""
    chance = random.Random(7)  # noqa: S311
    texts = ["", "a", 'q"\\/', "\x00\x1f\x7f\n\t\b\f\r", "é\u2028\u2029", "\U0001f600", "<b>&amp;'"]

    def value(depth: int) -> Any:
        kind = chance.randrange(4 if depth else 2)
        if kind == 0:
            return chance.choice([0, 1, -1, 2**53 - 1, -(2**53 - 1), chance.randrange(10**9)])
        if kind == 1:
            return chance.choice(texts) + chance.choice(texts)
        if kind == 2:
            return [value(depth - 1) for _ in range(chance.randrange(4))]
        return {chance.choice("zyxwvABC_19") * n: value(depth - 1) for n in range(1, 4)}

    return (value(4) for _ in range(100))


async def test_canonical_json_is_that_of_python_to_the_byte(blank):
    given = list(values())
    made = await run(blank, "bytes", "(m, all) => all.map(each => m.hex(m.canonicalJson(each)))", given)
    assert [bytes.fromhex(each) for each in made] == [canonical_json(each) for each in given]


async def test_what_has_no_one_spelling_is_neither_written_nor_read(blank):
    for value in ("1.5", "true", "null", "'\\ud800'", "2 ** 53", "NaN", "undefined", "[null]"):
        with pytest.raises(BrowserError, match="one spelling"):
            await run(blank, "bytes", f"(m) => m.canonicalJson({{ a: {value} }})")
    for spelling in ('{"a": 1}', '{"b":1,"a":1}', '{"a":1,"a":1}', '{"a":1}\n', "[]", '\ufeff{"a":1}'):
        with pytest.raises(BrowserError, match="it is not"):
            await run(blank, "bytes", "(m, it) => m.parseCanonicalJson(raw(it), 'it')", spelling.encode())


async def test_sha3_is_that_of_python(blank):
    inputs = [os.urandom(size) for size in (0, 1, 134, 135, 136, 137, 271, 272, 1222, 3000)]
    hashing = "(m, all) => all.map(each => b.hex(m.sha3(raw(each))))"
    made = await run(blank, "sha3", hashing, [each.hex() for each in inputs])
    assert made == [hashlib.sha3_256(each).hexdigest() for each in inputs]


# --- seals


RFC_9180_A_1_1 = {
    "info": "4f6465206f6e2061204772656369616e2055726e",
    "skEm": "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
    "pkEm": "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
    "skRm": "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
    "pkRm": "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d",
    "shared_secret": "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc",
    "key": "4531685d41d65f03dc48f6b8302c05b0",
    "base_nonce": "56d890e5accaaf011cff4b7d",
}


async def test_hpke_gives_the_test_vector_of_its_rfc(blank):
    made = await run(
        blank,
        "hpke",
        """async (m, v) => {
            const own = await m.privateKey(raw(v.skEm)), recipient = await m.privateKey(raw(v.skRm));
            const { kem, enc, secret } = await m.encapsulate(raw(v.pkRm), own);
            const { key, nonce } = await m.schedule(kem, secret, raw(v.info), 1);
            return {
                pkEm: b.hex(enc), pkRm: b.hex(await m.publicOf(recipient)), shared_secret: b.hex(secret),
                again: b.hex(await m.decapsulate(enc, recipient)), key: b.hex(key), base_nonce: b.hex(nonce),
            };
        }""",
        RFC_9180_A_1_1,
    )
    assert made.pop("again") == made["shared_secret"]
    assert made == {name: RFC_9180_A_1_1[name] for name in made}


@pytest.mark.parametrize("suite", ["x25519", "mlkem768-x25519"])
async def test_python_opens_what_the_browser_seals(blank, suite):
    key = PrivateKey(suite, os.urandom(32))
    for size in (0, 1, 48, 300):
        message, info = os.urandom(size), os.urandom(40)
        sealed = await run(
            blank,
            "hpke",
            "async (m, to, i, t) => b.hex(await m.seal(m.parsePublicKey(to, 'it'), raw(i), raw(t)))",
            str(key.public),
            info,
            message,
        )
        assert key.open(bytes.fromhex(sealed), info) == message


OPEN = "async (m, key, i, s) => b.hex(await m.open(await m.privateKey(raw(key)), raw(i), raw(s)))"


async def test_the_browser_opens_what_python_seals_and_nothing_that_was_changed(blank):
    message, info = os.urandom(48), os.urandom(40)
    sealed = KEY.public.seal(message, info)
    assert await run(blank, "hpke", OPEN, KEY.raw, info, sealed) == message.hex()
    flipped = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in (0, 31, 32, 79, -1)]
    others = [(KEY.raw, info, each) for each in (*flipped, sealed[:-1], sealed[:32], b"")]
    others += [(KEY.raw, info[1:], sealed), (os.urandom(32), info, sealed)]
    for each in others:
        with pytest.raises(BrowserError, match="does not open with this key in this place"):
            await run(blank, "hpke", OPEN, *each)
