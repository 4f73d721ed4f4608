import pytest
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
