"""Signed notes: text with the signatures of named Ed25519 keys (c2sp.org/signed-note@v1.0.0).

    custodian.example/history
    12
    5u0cK…

    — custodian.example/history 3kQmS…

The signatures cover the bytes before the blank line as they were read. Whoever trusts one key opens
the note with that key; signatures of keys it does not know are skipped, so that witnesses and a key
rotation can add lines. A line of a known key that does not verify refuses the whole note.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custodian.encoding import decode_base64, decode_hex, encode_base64
from custodian.errors import FormatError, Untrusted

ED25519 = b"\x01"  # the signature type of C2SP signed-note
KEY_BYTES = 32
KEY_ID_BYTES = 4
SIGNATURE_MARK = "— "
CONTROL_CHARACTER = re.compile(r"[\x00-\x09\x0b-\x1f]")  # all but the newline
PRIVATE_MARK = "PRIVATE+KEY+"
MAX_SIGNATURES = 64  # the standard asks for 16 or more
MAX_NOTE_BYTES = 512 * 1024  # 64 post-quantum signatures of 5 kB and their text


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A named Ed25519 public key; its text form is the `vkey` of the Go note package."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that stand for the key in a signature line; a name, not a fingerprint."""
        named = self.name.encode() + b"\n" + ED25519 + self.public
        return hashlib.sha256(named).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(ED25519 + self.public)}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise Untrusted unless `signature` is this key's Ed25519 signature of `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            raise Untrusted(f"the signature of {self.name} does not fit the text") from None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A named Ed25519 private key. Only `format_private` ever shows the private part."""

    verify_key: VerifyKey
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> "SigningKey":
        """Make the key whose RFC 8032 private key is `seed`, 32 bytes from a random source."""
        _parse_key_name(name)
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(VerifyKey(name, private.public_key().public_bytes_raw()), private)

    @property
    def name(self) -> str:
        return self.verify_key.name

    def sign(self, text: bytes) -> bytes:
        return self._private.sign(text)

    def format_private(self) -> str:
        """Return the one line of the private key file, the `skey` of the Go note package."""
        secret = encode_base64(ED25519 + self._private.private_bytes_raw())
        return f"{PRIVATE_MARK}{self.name}+{self.verify_key.key_id.hex()}+{secret}"


class Note(NamedTuple):
    """A note that was verified: its text and the known keys that signed it."""

    text: str
    signed_by: frozenset[VerifyKey]


class _Signature(NamedTuple):
    name: str
    key_id: bytes
    signature: bytes


def parse_verify_key(text: str) -> VerifyKey:
    """Parse `name+key id+base64(type || public key)`; only Ed25519."""
    name, key_id, public = _parse_key(text, "vkey")
    key = VerifyKey(name, public)
    if key.key_id != key_id:
        raise FormatError("vkey", "its key id does not belong to this name and public key")
    return key


def parse_signing_key(text: str) -> SigningKey:
    """Parse the line that `SigningKey.format_private` writes. No error repeats any of it."""
    if not text.startswith(PRIVATE_MARK):
        raise FormatError("signing key", f"does not start with {PRIVATE_MARK}")
    name, key_id, seed = _parse_key(text.removeprefix(PRIVATE_MARK), "signing key")
    key = SigningKey.from_seed(name, seed)
    if key.verify_key.key_id != key_id:
        raise FormatError("signing key", "its key id does not belong to this name and key")
    return key


def sign_note(text: str, *keys: SigningKey) -> bytes:
    """Return `text`, which ends with a newline, as a note signed by each of `keys`."""
    if not text.endswith("\n") or CONTROL_CHARACTER.search(text):
        raise ValueError("the text of a note is lines without control characters")
    body = text.encode()
    lines = [_signature_line(key, body) for key in keys]
    return body + b"\n" + "".join(lines).encode()


def open_note(data: bytes, known: Collection[VerifyKey]) -> Note:
    """Verify a note by the keys one knows.

    Raises FormatError if it is not a signed note, Untrusted if the signature of a known key fails
    or no known key signed.
    """
    text, signatures = _parse_note(data)
    body = text.encode()
    signed_by = set()
    for name, key_id, signature in signatures:
        for key in known:
            if (key.name, key.key_id) == (name, key_id):
                key.verify(body, signature)
                signed_by.add(key)
    if not signed_by:
        names = ", ".join(sorted(key.name for key in known))
        raise Untrusted(f"the note is not signed by a key of {names}")
    return Note(text, frozenset(signed_by))


def _parse_note(data: bytes) -> tuple[str, list[_Signature]]:
    if len(data) > MAX_NOTE_BYTES:
        raise FormatError("note", f"is longer than {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise FormatError("note", "is not UTF-8") from None
    if CONTROL_CHARACTER.search(whole):
        raise FormatError("note", "holds control characters")
    text, gap, signatures = whole.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise FormatError("note", "is not a text, a blank line and lines of signatures")
    lines = signatures.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise FormatError("note", f"has more than {MAX_SIGNATURES} signatures")
    return text + "\n", [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> _Signature:
    if not line.startswith(SIGNATURE_MARK):
        raise FormatError("note", "has a signature line that does not start with a dash")
    name, _, encoded = line.removeprefix(SIGNATURE_MARK).partition(" ")
    _parse_key_name(name)
    raw = decode_base64(encoded, "signature")
    if len(raw) <= KEY_ID_BYTES:
        raise FormatError("signature", "is too short")
    return _Signature(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


def _signature_line(key: SigningKey, body: bytes) -> str:
    encoded = encode_base64(key.verify_key.key_id + key.sign(body))
    return f"{SIGNATURE_MARK}{key.name} {encoded}\n"


def _parse_key(text: str, what: str) -> tuple[str, bytes, bytes]:
    """Return name, key id and key bytes of `name+hex+base64`, the form both kinds of key share."""
    # The base64 alphabet has a plus too, so only the first two separate.
    name, separator, rest = text.partition("+")
    key_id, also, encoded = rest.partition("+")
    if not separator or not also:
        raise FormatError(what, "is not name+key id+key")
    _parse_key_name(name)
    raw = decode_base64(encoded, what)
    if raw[:1] != ED25519 or len(raw) != 1 + KEY_BYTES:
        raise FormatError(what, "is not an Ed25519 key")
    return name, decode_hex(key_id, what), raw[1:]


def _parse_key_name(name: str) -> None:
    if not name or "+" in name or any(char.isspace() for char in name):
        raise FormatError("key name", "must be non-empty, without spaces and '+'")
    if CONTROL_CHARACTER.search(name):
        raise FormatError("key name", "holds control characters")
