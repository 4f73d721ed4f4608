"""Write the few DER forms a certificate needs (X.690), and take apart those of a request.

A certificate is mostly constant: `signer.issue` encodes those parts once and joins them with these
functions for each request, which is ten times faster than a general builder. Tests hold the results
against `cryptography`'s own builder and parser.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

BOOLEAN, OCTET_STRING, IDENTIFIER, SEQUENCE, SET = 0x01, 0x04, 0x06, 0x30, 0x31
NULL = b"\x05\x00"
TRUE = b"\x01\x01\xff"


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + body


def sequence(*parts: bytes) -> bytes:
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """Encode a SET OF, whose elements DER wants in ascending order."""
    return tlv(SET, *sorted(parts))


def integer(value: int) -> bytes:
    """Encode a number that is not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bit_string(data: bytes) -> bytes:
    return tlv(0x03, b"\x00", data)


def octet_string(data: bytes) -> bytes:
    return tlv(OCTET_STRING, data)


@lru_cache(maxsize=256)  # a certificate has few distinct ones, and each costs as much as a tlv
def identifier(dotted: str) -> bytes:
    """Encode an object identifier written as `2.5.4.3`."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(IDENTIFIER, *(_base128(arc) for arc in (40 * first + second, *rest)))


def _base128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))


@lru_cache(maxsize=64)  # certificates made within one minute share their dates
def time(moment: datetime) -> bytes:
    """Encode a UTC instant; RFC 5280 section 4.1.2.5 wants two digits of the year before 2050."""
    if moment.year < 2050:
        return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(identifier(dotted), TRUE if critical else b"", octet_string(value))


def split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the first element whole, its content, and what follows.

    Raises ValueError unless the element is all there and its length in the one DER form. Tags above
    30 are not understood; nothing in a certificate request has one.
    """
    if len(data) < 2:
        raise ValueError("an element is cut short")
    size, start = data[1], 2
    if size >= 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
        if size < 0x80 or data[2] == 0:
            raise ValueError("a length is not in its shortest form")
    end = start + size
    if end > len(data):
        raise ValueError("an element is cut short")
    return data[:end], data[start:end], data[end:]


def only(tag: int, data: bytes) -> bytes:
    """Return the content of the one element that `data` is; ValueError for anything else."""
    _, content, rest = split(data)
    if data[0] != tag or rest:
        raise ValueError("another element was expected")
    return content


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each of the elements that follow one another."""
    while data:
        tag = data[0]
        _, content, data = split(data)
        yield tag, content


def each(tag: int, data: bytes) -> Iterator[bytes]:
    """Yield the contents of elements that all have this tag; ValueError if one has another."""
    for found, content in elements(data):
        if found != tag:
            raise ValueError("another element was expected")
        yield content
