import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from examples import NOW, SECOND, private_key

from custodian.errors import Forbidden, FormatError
from custodian.identity import ORDER_8, PRIME, SIGN, SMALL_ORDER, Identity, announce, parse_identity

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
IDENTITY = Identity(KEY.public_key().public_bytes_raw())
RECIPIENT = private_key("recipient").public
AT = NOW


def test_the_pinned_identity_announces_a_recipient():
    IDENTITY.check_announcement("ca-1", RECIPIENT, AT, announce(KEY, "ca-1", RECIPIENT, AT))


def test_an_announcement_is_for_one_signer_and_one_recipient():
    signature = announce(KEY, "ca-1", RECIPIENT, AT)
    for signer, recipient in [("ca-2", RECIPIENT), ("ca-1", private_key("other").public)]:
        with pytest.raises(Forbidden, match=f"pinned for {signer}"):
            IDENTITY.check_announcement(signer, recipient, AT, signature)


def test_an_announcement_is_of_one_second():
    signature = announce(KEY, "ca-1", RECIPIENT, AT)
    for other in (AT - SECOND, AT + SECOND):
        with pytest.raises(Forbidden):
            IDENTITY.check_announcement("ca-1", RECIPIENT, other, signature)


def test_another_identity_announces_nothing():
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(Forbidden):
        IDENTITY.check_announcement("ca-1", RECIPIENT, AT, announce(other, "ca-1", RECIPIENT, AT))


def test_an_announcement_names_the_suite_of_the_recipient():
    hybrid = private_key("recipient", "mlkem768-x25519").public
    IDENTITY.check_announcement("ca-1", hybrid, AT, announce(KEY, "ca-1", hybrid, AT))
    with pytest.raises(Forbidden):
        IDENTITY.check_announcement("ca-1", RECIPIENT, AT, announce(KEY, "ca-1", hybrid, AT))


def test_every_flipped_bit_and_truncation_of_an_announcement_is_refused():
    signature = announce(KEY, "ca-1", RECIPIENT, AT)
    flips = [
        bytes(byte ^ (at == i) << bit for i, byte in enumerate(signature))
        for at in range(64)
        for bit in range(8)
    ]
    for changed in [*flips, *(signature[:size] for size in range(64)), signature + b"\0"]:
        with pytest.raises(Forbidden):
            IDENTITY.check_announcement("ca-1", RECIPIENT, AT, changed)


def test_an_identity_that_is_no_point_of_the_curve_announces_nothing():
    with pytest.raises(Forbidden):
        Identity(b"\x02" + bytes(31)).check_announcement("ca-1", RECIPIENT, AT, bytes(64))


def small_order(y: int) -> list[bytes]:
    return [(y | sign).to_bytes(32, "little") for sign in (0, SIGN)]


@pytest.mark.parametrize("y", sorted(SMALL_ORDER))
def test_an_identity_for_which_anyone_can_sign_is_refused(y):
    for raw in small_order(y):
        with pytest.raises(FormatError, match="small order"):
            parse_identity(str(Identity(raw)), "identity")


@pytest.mark.parametrize("y", [0, 1, PRIME - 1, ORDER_8, PRIME - ORDER_8])
def test_anyone_could_sign_for_such_an_identity(y):
    """R = the neutral point, S = 0: good for one message in 8, whoever made it."""
    forged, passed = b"\x01" + bytes(63), 0
    for number in range(200):
        for raw in small_order(y):
            with contextlib.suppress(Forbidden):
                Identity(raw).check_announcement(f"ca-{number}", RECIPIENT, AT, forged)
                passed += 1
    assert passed


def test_an_identity_is_its_text():
    assert parse_identity(str(IDENTITY), "identity") == IDENTITY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        str(IDENTITY).removeprefix("ed25519:"),
        str(IDENTITY) + "\n",
        str(IDENTITY).replace("ed25519", "ED25519"),
        str(IDENTITY).replace(":", ": "),
        "x25519:" + str(IDENTITY).removeprefix("ed25519:"),
        "ed25519:AAAA",
        "ed25519:" + "A" * 44,
    ],
)
def test_what_is_not_an_identity_is_refused(text):
    with pytest.raises(FormatError, match=r"^identity: "):
        parse_identity(text, "identity")
