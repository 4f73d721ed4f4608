"""Look for secrets in the whole memory of another process, in every form they are known to take.

The scanner must be another process than the one it looks at, because it holds what it looks for.
Two kinds of find are told apart: a whole secret, and a piece of at least 16 bytes of one, as a
freed block leaves it whose head was overwritten. Only the pieces that are secret count: the constant
head of a PKCS#8 file and the public key in it lie in every process, so they are no needles.

How: every piece of 16 bytes holds an aligned word of 8, so one pass over the words of the memory
against the set of all words of all needles finds each place worth a closer look.
"""

import base64
import hashlib
import mmap
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PIECE = 16
WORD = 8
CHUNK = 4 * 2**20
PAGE = mmap.PAGESIZE
DULL = 4  # a word of fewer different bytes than this occurs by itself, such as padding
NEVER_READABLE = ("[vvar]", "[vvar_vclock]", "[vsyscall]")  # the kernel's, in every process

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Needle:
    """One form of a secret. `whole_only`: a piece of it need not be secret."""

    label: str
    secret: bytes = field(repr=False)
    whole_only: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One find: all of a needle or a piece of it."""

    needle: str
    mapping: str
    address: int
    length: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What the memory of one process holds; `unreadable` is bytes by the name of the mapping."""

    pid: int
    hits: tuple[Hit, ...]
    read: int
    unreadable: Mapping[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> Counter[tuple[str, str]]:
        """How often each whole needle was found, by (needle, mapping)."""
        return Counter((hit.needle, hit.mapping) for hit in self.hits if hit.whole)

    @property
    def pieces(self) -> Counter[tuple[str, str]]:
        """How often a piece of each needle was found, by (needle, mapping)."""
        return Counter((hit.needle, hit.mapping) for hit in self.hits if not hit.whole)


# -- what to look for


def int_digits(number: int) -> bytes:
    """The number as CPython holds it: 30 bits in each uint32, the least first."""
    digits = range(0, number.bit_length(), 30)
    return b"".join((number >> shift & (2**30 - 1)).to_bytes(4, "little") for shift in digits)


def text_forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Hexadecimal and base64, the latter at each of its three places within a longer text."""
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    for phase in range(3):
        coded = base64.b64encode(bytes(phase) + secret)
        # the characters that depend on the secret alone
        own = coded[-(-phase * 8 // 6) : (phase + len(secret)) * 8 // 6]
        yield f"base64+{phase}", own
        yield f"base64url+{phase}", own.translate(bytes.maketrans(b"+/", b"-_"))


def secret_needles(name: str, secret: bytes) -> tuple[Needle, ...]:
    """Every form of a secret that is a row of bytes, such as a seed, a share or a password."""
    forms = {
        "raw": secret,
        "reversed": secret[::-1],  # little endian, as OpenSSL keeps numbers
        "digits": int_digits(int.from_bytes(secret, "big")),
        "digits of reversed": int_digits(int.from_bytes(secret, "little")),
    }
    forms |= dict(text_forms(secret))
    distinct = {form: label for label, form in reversed(forms.items()) if len(form) >= PIECE}
    return tuple(Needle(f"{name} {label}", form) for form, label in distinct.items())


def private_numbers(key: PrivateKey) -> dict[str, bytes]:
    """The numbers of a key that must stay secret, big endian, in their full width."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        seed = key.private_bytes_raw()
        return {"seed": seed, "expanded": hashlib.sha512(seed).digest()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        scalar = key.private_numbers().private_value
        return {"d": scalar.to_bytes(-(-key.key_size // 8), "big")}
    numbers = key.private_numbers()
    half = -(-key.key_size // 16)
    named = {"p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1}
    named["qinv"] = numbers.iqmp
    for prime in ("p", "q"):  # R^2 modulo the prime, which OpenSSL keeps, gives the prime away
        named[f"rr {prime}"] = pow(2, 16 * half, named[prime])
    wide = {"d": numbers.d.to_bytes(2 * half, "big")}
    return wide | {name: number.to_bytes(half, "big") for name, number in named.items()}


def key_needles(key: PrivateKey, name: str = "key") -> tuple[Needle, ...]:
    """Every form of a private key: its numbers in all forms, and its PKCS#8 file as a whole.

    Base64 and PEM of the file are also found in pieces, by the base64 of the numbers in it.
    """
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = {"der": der, "der base64": base64.b64encode(der), "pem": pem}
    needles = [Needle(f"{name} {form}", text, whole_only=True) for form, text in files.items()]
    for number, value in private_numbers(key).items():
        needles += secret_needles(f"{name} {number}", value)
    return tuple(needles)


# -- where to look


def scan(pid: int, needles: Iterable[Needle]) -> Scan:
    """Read all memory of a process and report every find.

    Raises:
        PermissionError: the kernel does not let this user read that process.
        ProcessLookupError: there is no such process (any more).
    """
    search = _Search(tuple(needles))
    read, unreadable = 0, Counter[str]()
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    try:
        for start, end, name in _mappings(maps):
            if name in NEVER_READABLE:
                continue
            seen = 0
            for address, chunk in _readable(memory, start, end):
                search.look(chunk, address, name)
                seen += len(chunk)
            read += seen
            if seen < end - start:
                unreadable[name] += end - start - seen
    finally:
        os.close(memory)
    return Scan(pid, tuple(search.hits.values()), read, unreadable)


def find(text: bytes, name: str, needles: Iterable[Needle]) -> tuple[Hit, ...]:
    """The finds in bytes that were read some other way."""
    search = _Search(tuple(needles))
    search.look(text, 0, name)
    return tuple(search.hits.values())


def scan_tree(pid: int, needles: Iterable[Needle]) -> tuple[Scan, ...]:
    """Scan a process and all its descendants; one that ends meanwhile is left out."""
    needles = tuple(needles)
    scans = []
    for member in tree(pid):
        try:
            scans.append(scan(member, needles))
        except ProcessLookupError:
            continue
    return tuple(scans)


def tree(pid: int) -> tuple[int, ...]:
    """A process and all its descendants, parents first."""
    children = (
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    )
    return (pid, *(member for child in children for member in tree(child)))


def _mappings(maps: str) -> Iterator[tuple[int, int, str]]:
    for line in maps.splitlines():
        extent, _, _, _, _, *name = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in extent.split("-"))
        yield start, end, name[0] if name else "anonymous"


def _readable(memory: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """What can be read between two addresses, page by page where it does not go faster."""
    address, size = start, CHUNK
    while address < end:
        try:
            chunk = os.pread(memory, min(size, end - address), address)
        except OSError:
            chunk = b""
        if chunk:
            yield address, chunk
            address, size = address + len(chunk), CHUNK
        elif size > PAGE:
            size = PAGE
        else:
            address += PAGE


class _Search:
    """Finds needles in chunks of memory; a chunk continues the one before if it follows on it."""

    def __init__(self, needles: tuple[Needle, ...]) -> None:
        self.hits: dict[tuple[str, int], Hit] = {}
        self._whole_only = [needle for needle in needles if needle.whole_only]
        self._places: dict[int, list[tuple[Needle, int]]] = {}
        for needle in needles:
            for offset in range(0 if needle.whole_only else len(needle.secret) - WORD + 1):
                word = needle.secret[offset : offset + WORD]
                if len(set(word)) >= DULL:
                    places = self._places.setdefault(int.from_bytes(word, sys.byteorder), [])
                    places.append((needle, offset))
        self._words = frozenset(self._places)
        self._overlap = max((len(needle.secret) for needle in needles), default=0)
        self._tail, self._tail_end, self._continues = b"", 0, False

    def look(self, chunk: bytes, address: int, mapping: str) -> None:
        kept = self._tail if self._tail_end == address else b""
        self._continues = bool(kept)
        text, address = kept + chunk, address - len(kept)
        cut = -self._overlap - self._overlap % -WORD  # stay on whole words
        self._tail, self._tail_end = text[cut:] if cut else b"", address + len(text)
        words = memoryview(text)[: len(text) // WORD * WORD].cast("Q")
        for word in self._words.intersection(words):
            for needle, offset in self._places[word]:
                for position in _aligned(text, word.to_bytes(WORD, sys.byteorder)):
                    self._extend(text, position, needle, offset, (address, mapping))
        for needle in self._whole_only:
            for position in _all(text, needle.secret):
                self._note(needle, (address, mapping), position, len(needle.secret))

    def _extend(
        self, text: bytes, position: int, needle: Needle, offset: int, where: tuple[int, str]
    ) -> None:
        """Note how far the memory around a word is the same as the needle around it."""
        begin, end = 0, WORD
        secret = needle.secret
        while offset + begin and position + begin:
            if text[position + begin - 1] != secret[offset + begin - 1]:
                break
            begin -= 1
        while offset + end < len(secret) and position + end < len(text):
            if text[position + end] != secret[offset + end]:
                break
            end += 1
        seen_before = self._continues and position + begin == 0
        if end - begin >= PIECE and not seen_before:
            self._note(needle, where, position + begin, end - begin)

    def _note(self, needle: Needle, where: tuple[int, str], position: int, length: int) -> None:
        address, mapping = where
        key = needle.label, address + position
        if key not in self.hits or self.hits[key].length < length:
            whole = length == len(needle.secret)
            self.hits[key] = Hit(needle.label, mapping, address + position, length, whole)


def _all(text: bytes, part: bytes) -> Iterator[int]:
    position = text.find(part)
    while position >= 0:
        yield position
        position = text.find(part, position + 1)


def _aligned(text: bytes, word: bytes) -> Iterator[int]:
    return (position for position in _all(text, word) if position % WORD == 0)
