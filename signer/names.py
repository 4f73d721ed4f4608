"""The names in a certificate: the subject's attributes and the alternative names.

Names come from strangers, so each is parsed into the one form it may have. CFSSL puts `a..b`, `""`,
`10.0.0.0/8` and 300 letters into certificates as DNS names; here they are refused.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from signer import der
from signer.errors import CfsslError, refused_csr

DNS, EMAIL, IP, URI = 0x82, 0x81, 0x87, 0x86  # context tags of GeneralName, in CFSSL's order

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(.+)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^/?#@]+(?:[/?#].*)?|[Uu][Rr][Nn]:.+")
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~%-]{1,2000}")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")

COMMON_NAME, SERIAL_NUMBER = der.identifier("2.5.4.3"), der.identifier("2.5.4.5")
EMAIL_ADDRESS = der.identifier("1.2.840.113549.1.9.1")
FIELDS = {
    "C": der.identifier("2.5.4.6"),
    "ST": der.identifier("2.5.4.8"),
    "L": der.identifier("2.5.4.7"),
    "O": der.identifier("2.5.4.10"),
    "OU": der.identifier("2.5.4.11"),
}
"""CFSSL's names for subject attributes, in `names[]`."""

_DOMAIN_COMPONENT = der.identifier("0.9.2342.19200300.100.1.25")
# Go writes a distinguished name in this order and other attributes after it; the number is the
# upper bound of X.520 (RFC 5280 appendix A.1) in characters.
_ORDERED = {
    FIELDS["C"]: 2,
    FIELDS["ST"]: 128,
    FIELDS["L"]: 128,
    der.identifier("2.5.4.9"): 128,  # street
    der.identifier("2.5.4.17"): 40,  # postal code
    FIELDS["O"]: 64,
    FIELDS["OU"]: 64,
    COMMON_NAME: 64,
    SERIAL_NUMBER: 64,
}
_BOUND = {**_ORDERED, EMAIL_ADDRESS: 255, _DOMAIN_COMPONENT: 63}
_OTHER_BOUND = 256
_SINGLE = (COMMON_NAME, SERIAL_NUMBER)  # of several, Go keeps the last
_WORDS = {identifier: word for word, identifier in FIELDS.items()} | {
    COMMON_NAME: "CN",
    SERIAL_NUMBER: "serialNumber",
    EMAIL_ADDRESS: "emailAddress",
}
_UTF8, _PRINTABLE_STRING, _IA5 = 0x0C, 0x13, 0x16
_CODECS = {_UTF8: "utf-8", _PRINTABLE_STRING: "ascii", _IA5: "ascii", 0x1E: "utf-16-be"}

Subject = Mapping[bytes, tuple[str, ...]]
"""Attribute values by encoded object identifier, in the order they are written."""


@dataclass(frozen=True, slots=True)
class San:
    """One subject alternative name: its GeneralName tag, as people write it, and its bytes."""

    tag: int
    text: str
    value: bytes


def parse_host(text: str, field: str) -> San:
    """Tell an address, an e-mail address, a URI and a DNS name apart, in CFSSL's order."""
    if "%" not in text:  # an address with a zone means something on one machine only
        with contextlib.suppress(ValueError):
            return address(ip_address(text))
    if "://" in text or text.lower().startswith("urn:"):
        return parse_san(URI, text, field)
    return parse_san(EMAIL if "@" in text else DNS, text, field)


def address(ip: IPv4Address | IPv6Address) -> San:
    """Return an address as a name; one of IPv4 in the clothes of IPv6 is one of IPv4."""
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    return San(IP, str(ip), ip.packed)


def parse_san(tag: int, text: str, field: str) -> San:
    """Check a DNS name, e-mail address or URI for being exactly that."""
    is_one, kind = _KINDS[tag]
    if not is_one(text):
        hint = "" if text.isascii() else "; write international names in their xn-- form"
        raise refused_csr(f"{field}: is not {kind}{hint}")
    return San(tag, text, text.encode("ascii"))


def _is_dns(text: str) -> bool:
    return len(text) <= 253 and bool(_DNS.fullmatch(text))


def _is_email(text: str) -> bool:
    match = _EMAIL.fullmatch(text)
    return match is not None and "*" not in match[1] and _is_dns(match[1])


def _is_uri(text: str) -> bool:
    return bool(_URI_CHARACTERS.fullmatch(text) and _URI.fullmatch(text))


_KINDS: dict[int, tuple[Callable[[str], bool], str]] = {
    DNS: (_is_dns, "a DNS name"),
    EMAIL: (_is_email, "an e-mail address"),
    URI: (_is_uri, "a URI"),
}


def parse_hosts(hosts: Iterable[str], field: str = "hosts") -> tuple[San, ...]:
    return tuple(parse_host(host, f"{field}[{i}]") for i, host in enumerate(hosts))


def encode_sans(sans: Iterable[San]) -> bytes:
    """Encode GeneralNames: all DNS names, then e-mail addresses, IP addresses and URIs."""
    names = list(dict.fromkeys(sans))
    return der.sequence(
        *(der.tlv(s.tag, s.value) for tag in (DNS, EMAIL, IP, URI) for s in names if s.tag == tag)
    )


def subject_of(name: bytes) -> Subject:
    """Return the attributes of a DER name, in Go's order, without empty ones.

    Raises ValueError for text that is not in the encoding it claims.
    """
    values: dict[bytes, tuple[str, ...]] = {}
    for rdn in der.each(der.SET, der.only(der.SEQUENCE, name)):
        for attribute in der.each(der.SEQUENCE, rdn):
            identifier, _, value = der.split(attribute)
            [(tag, content)] = der.elements(value)
            if tag not in _CODECS:
                raise _bad_attribute(identifier, "is not text in UTF-8 or ASCII")
            if text := content.decode(_CODECS[tag]):
                values[identifier] = (*values.get(identifier, ()), text)
    return ordered(values)


def ordered(values: Subject) -> Subject:
    known = {identifier: values[identifier] for identifier in _ORDERED if identifier in values}
    for identifier in _SINGLE:
        if identifier in known:
            known[identifier] = known[identifier][-1:]
    others = {name: found for name, found in values.items() if name not in _ORDERED}
    return {**known, **others}


def override(wanted: Subject, requested: Subject) -> Subject:
    """Return `wanted`, with what it leaves out taken from the CSR; other attributes are dropped."""
    allowed = (*FIELDS.values(), *_SINGLE)
    merged = {identifier: wanted.get(identifier) or requested.get(identifier) for identifier in allowed}
    return ordered({identifier: values for identifier, values in merged.items() if values})


def common_name(subject: Subject) -> str:
    return "".join(subject.get(COMMON_NAME, ()))


def encode_subject(subject: Subject) -> bytes:
    """Encode a distinguished name; several values of one attribute share one RDN, as Go does."""
    return der.sequence(
        *(
            der.set_of(*{_attribute(identifier, value) for value in values})
            for identifier, values in subject.items()
        )
    )


def _attribute(identifier: bytes, value: str) -> bytes:
    bound = _BOUND.get(identifier, _OTHER_BOUND)
    if len(value) > bound:
        raise _bad_attribute(identifier, f"is longer than {bound} characters")
    if not value.isprintable():
        raise _bad_attribute(identifier, "holds a character that cannot be printed")
    tag = _string_type(identifier, value)
    return der.sequence(identifier, der.tlv(tag, value.encode("utf-8")))


def _string_type(identifier: bytes, value: str) -> int:
    """Return PrintableString where it can be, as Go does; RFC 5280 fixes it for some attributes."""
    if identifier in {EMAIL_ADDRESS, _DOMAIN_COMPONENT}:
        if not value.isascii():
            raise _bad_attribute(identifier, "must be ASCII")
        return _IA5
    if identifier == FIELDS["C"] and not _COUNTRY.fullmatch(value):
        raise _bad_attribute(identifier, "must be a country code of two letters")
    if _PRINTABLE.fullmatch(value):
        return _PRINTABLE_STRING
    if identifier == SERIAL_NUMBER:
        raise _bad_attribute(identifier, "holds a character it may not (PrintableString)")
    return _UTF8


def _bad_attribute(identifier: bytes, reason: str) -> CfsslError:
    return refused_csr(f"subject {_WORDS.get(identifier, 'attribute')}: {reason}")
