import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from examples import private_key

from custodian.encoding import encode_base64
from custodian.errors import CannotOpen, FormatError
from custodian.sealing import PrivateKey, PublicKey, parse_public_key

SUITES = {"x25519": 32, "mlkem768-x25519": 1216}
SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_sealed_opens_with_the_key_in_its_place(suite):
    key = private_key("alice", suite)
    assert key.open(key.public.seal(b"message", b"place"), b"place") == b"message"


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_sealed_opens_nowhere_else(suite):
    key, other = private_key("alice", suite), private_key("bob", suite)
    sealed = key.public.seal(b"message", b"place")
    for opener, info in [(key, b"other place"), (key, b""), (other, b"place")]:
        with pytest.raises(CannotOpen, match="in this place"):
            opener.open(sealed, info)


@pytest.mark.parametrize("suite", SUITES)
def test_two_seals_of_one_message_differ(suite):
    public = private_key("alice", suite).public
    assert public.seal(b"message", b"") != public.seal(b"message", b"")


def test_every_flipped_bit_and_every_truncation_of_a_seal_is_refused():
    key = private_key("alice")
    sealed = key.public.seal(b"message", b"place")
    flips = [
        bytes(b ^ (at == i) << bit for i, b in enumerate(sealed))
        for at in range(len(sealed))
        for bit in range(8)
    ]
    # The top bit of an X25519 key is ignored by the curve (RFC 7748); HPKE authenticates it all the same.
    for changed in [*flips, *(sealed[:size] for size in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(CannotOpen):
            key.open(changed, b"place")


def test_a_seal_of_another_suite_is_refused():
    sealed = private_key("alice", "mlkem768-x25519").public.seal(b"message", b"place")
    with pytest.raises(CannotOpen):
        private_key("alice").open(sealed, b"place")


@pytest.mark.parametrize(("suite", "size"), SUITES.items())
def test_a_public_key_is_its_text(suite, size):
    public = private_key("alice", suite).public
    assert len(public.raw) == size
    assert parse_public_key(str(public), "key") == public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x25519",
        "x25519:",
        ":" + "A" * 43 + "=",
        "X25519:" + "A" * 43 + "=",
        "p256:" + "A" * 43 + "=",
        "ed25519:" + "A" * 43 + "=",
        str(private_key("alice").public) + "\n",
        str(private_key("alice").public).replace(":", ": "),
        str(private_key("alice").public).replace("x25519", "mlkem768-x25519"),
        "x25519:" + encode_base64(bytes(range(31))),
        "x25519:" + encode_base64(bytes(range(33))),
        "mlkem768-x25519:" + encode_base64(b"\xff" * 1216),  # coefficients beyond the modulus
        *("x25519:" + encode_base64(bytes.fromhex(raw)) for raw in SMALL_ORDER),
    ],
)
def test_a_key_that_cannot_be_sealed_to_is_refused(text):
    with pytest.raises(FormatError, match=r"^key: "):
        parse_public_key(text, "key")


def test_a_hybrid_key_with_a_small_order_half_is_refused():
    raw = private_key("alice", "mlkem768-x25519").public.raw[:1184] + bytes(32)
    with pytest.raises(FormatError, match="not a usable"):
        parse_public_key(str(PublicKey("mlkem768-x25519", raw)), "key")


def test_a_private_key_does_not_show_itself():
    key = PrivateKey("x25519", b"secret material of 32 bytes here")
    for text in (repr(key), str(key)):
        assert "secret" not in text
        assert b"secret".hex() not in text


def test_rfc_9180_appendix_a_1_derives_the_same_public_key():
    """skRm and pkRm of DHKEM(X25519, HKDF-SHA256), base mode."""
    key = PrivateKey(
        "x25519", bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    )
    assert key.public.raw.hex() == "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"


def test_the_hybrid_suite_is_x_wing_opened_by_hand():
    """KEM 0x647A of draft-connolly-cfrg-xwing-kem in the key schedule of RFC 9180, section 5.1."""
    key = private_key("alice", "mlkem768-x25519")
    sealed = key.public.seal(b"message", b"place")
    lattice_text, curve_text, ciphertext = sealed[:1088], sealed[1088:1120], sealed[1120:]
    expanded = hashlib.shake_256(key.raw).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(lattice_text)
    curve = X25519PrivateKey.from_private_bytes(expanded[64:]).exchange(
        X25519PublicKey.from_public_bytes(curve_text)
    )
    shared = hashlib.sha3_256(lattice + curve + curve_text + key.public.raw[1184:] + b"\\.//^\\").digest()

    suite = b"HPKE\x64\x7a\x00\x01\x00\x02"

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(label: bytes, size: int) -> bytes:
        block = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context + b"\x01"
        return hmac.digest(secret, block, "sha256")[:size]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", b"place")
    secret = extract(shared, b"secret", b"")
    assert AESGCM(expand(b"key", 32)).decrypt(expand(b"base_nonce", 12), ciphertext, b"") == b"message"
