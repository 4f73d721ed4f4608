"""A device key: a file that opens an owner's slot and signs their evidence, `custodian/device-key/v1`.

    custodian/device-key/v1
    owner: alice
    seed: BASE64 of 32 bytes
    label: alice's laptop          (may be left out)

    unlock (X25519)  = HKDF-SHA-256(seed, info = "custodian/device/v1/unlock")    the slot's private key
    sign   (Ed25519) = HKDF-SHA-256(seed, info = "custodian/device/v1/sign")      signs evidence

Whoever has the file is the owner: keep it readable by its owner only, on a disk that is encrypted.
"""

import hashlib
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custodian.encoding import decode_base64, encode_base64, parse_name
from custodian.errors import FormatError
from custodian.events import Evidence
from custodian.evidence import PREFIX
from custodian.identity import Identity
from custodian.sealing import PrivateKey

VERSION = "custodian/device-key/v1"
SEED_SIZE = 32
FILE = re.compile(rf"{VERSION}\nowner: ([^\n]+)\nseed: ([^\n]+)\n(?:label: ([!-~][ -~]{{0,63}})\n)?")


@dataclass(frozen=True, slots=True)
class DeviceKey:
    owner: str
    seed: bytes = field(repr=False)
    label: str = ""

    @property
    def unlock(self) -> PrivateKey:
        """The private key of the slot that this key opens."""
        return PrivateKey("x25519", self._derive("unlock"))

    @property
    def public(self) -> str:
        """The public text of the credential that this key is."""
        return str(Identity(self._signer.public_key().public_bytes_raw()))

    def agree(self, message: bytes, credential: str) -> Evidence:
        """Return evidence, as the credential of this id, that the owner agrees to `message`."""
        signature = self._signer.sign(PREFIX + hashlib.sha256(message).digest())
        return Evidence(kind="device", credential=credential, signature=encode_base64(signature))

    @property
    def _signer(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._derive("sign"))

    def _derive(self, use: str) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=f"custodian/device/v1/{use}".encode()).derive(self.seed)


def make_device_key(owner: str, seed: bytes, label: str = "") -> DeviceKey:
    """Make a key of 32 random bytes. Raises FormatError for a name or label that the file cannot hold."""
    return parse_device_key(format_device_key(DeviceKey(owner, seed, label)))


def format_device_key(key: DeviceKey) -> str:
    """Return the file's text, which is secret."""
    label = f"label: {key.label}\n" if key.label else ""
    return f"{VERSION}\nowner: {key.owner}\nseed: {encode_base64(key.seed)}\n{label}"


def parse_device_key(text: str) -> DeviceKey:
    """Parse the file's text strictly. Raises FormatError, without a word of what it holds."""
    match = FILE.fullmatch(text)
    if not match:
        raise FormatError("device key", f"is not a {VERSION} file")
    seed = decode_base64(match[2], "device key.seed")
    if len(seed) != SEED_SIZE:
        raise FormatError("device key.seed", f"is not {SEED_SIZE} bytes long")
    return DeviceKey(parse_name(match[1], "device key.owner"), seed, match[3] or "")
