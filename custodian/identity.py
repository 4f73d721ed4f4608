"""A signer's long-term identity: an Ed25519 key that announces its recipients.

    announcement = Ed25519("custodian/recipient/v1" 0x00 signer 0x00 recipient 0x00 instant)

A recipient is a public key whose private half lives only in the memory of one broker process. Whoever
seals to it first checks that the pinned identity announced it. The instant is what makes an announcement of
before, whose recipient is dead or known, of no more use: only a later one replaces another.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custodian.encoding import decode_base64, encode_base64, format_instant
from custodian.errors import Forbidden, FormatError
from custodian.sealing import PublicKey

PREFIX = "ed25519:"
SIGN = 1 << 255  # the sign of x; the other bits are y
PRIME = SIGN - 19
ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# y of the points of order 1, 2, 4 and 8 (RFC 8032, section 5.1), and y + p where that fits as well
SMALL_ORDER = {1, PRIME - 1, 0, ORDER_8, PRIME - ORDER_8, PRIME, PRIME + 1}


@dataclass(frozen=True, slots=True)
class Identity:
    """The public half. `str()` is its text form, `ed25519:BASE64`."""

    raw: bytes

    def __str__(self) -> str:
        return PREFIX + encode_base64(self.raw)

    def check_announcement(
        self, signer: str, recipient: PublicKey, announced: datetime, signature: bytes
    ) -> None:
        """Raise Forbidden unless this identity announced `recipient` as `signer` at that time."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        try:
            key.verify(signature, _announcement(signer, recipient, announced))
        except InvalidSignature:
            raise Forbidden(f"the recipient was not announced by the identity pinned for {signer}") from None


def announce(key: Ed25519PrivateKey, signer: str, recipient: PublicKey, announced: datetime) -> bytes:
    return key.sign(_announcement(signer, recipient, announced))


def parse_identity(text: str, field: str) -> Identity:
    """Parse the text form; a key for which anyone can sign is refused here. Raises FormatError."""
    raw = decode_base64(text.removeprefix(PREFIX), field)
    if not text.startswith(PREFIX) or len(raw) != 32:
        raise FormatError(field, f"is not an identity like {PREFIX}BASE64")
    if int.from_bytes(raw, "little") & SIGN - 1 in SMALL_ORDER:
        raise FormatError(field, "is a point of small order, for which anyone can sign")
    return Identity(raw)


def _announcement(signer: str, recipient: PublicKey, announced: datetime) -> bytes:
    said = ("custodian/recipient/v1", signer, str(recipient), format_instant(announced))
    return b"\x00".join(each.encode() for each in said)
