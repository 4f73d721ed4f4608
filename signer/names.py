"""The names in a certificate: the subject's attributes and the alternative names.

Names come from strangers, so each is parsed into the one form it may have. CFSSL puts `a..b`, `""`,
`10.0.0.0/8` and 300 letters into certificates as DNS names; here they are refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509

from signer import der
from signer.errors import CfsslError, refused_csr

DNS, EMAIL, IP, URI = 0x82, 0x81, 0x87, 0x86  # context tags of GeneralName, in CFSSL's order

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(.+)")
_URI = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}://[^/?#@]|[Uu][Rr][Nn]:).*")
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~%-]{1,2000}")
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")

COMMON_NAME, SERIAL_NUMBER, COUNTRY = "2.5.4.3", "2.5.4.5", "2.5.4.6"
EMAIL_ADDRESS, DOMAIN_COMPONENT = "1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25"
# Go writes a distinguished name in this order, others after it; the number is the upper bound of
# X.520 (RFC 5280 appendix A.1) in characters.
_ORDERED = {
    COUNTRY: 2,
    "2.5.4.8": 128,  # state or province
    "2.5.4.7": 128,  # locality
    "2.5.4.9": 128,  # street
    "2.5.4.17": 40,  # postal code
    "2.5.4.10": 64,  # organization
    "2.5.4.11": 64,  # organizational unit
    COMMON_NAME: 64,
    SERIAL_NUMBER: 64,
}
_BOUND = {**_ORDERED, EMAIL_ADDRESS: 255, DOMAIN_COMPONENT: 63}
_OTHER_BOUND = 256
_IDENTIFIERS = {dotted: der.identifier(dotted) for dotted in _BOUND}
_SINGLE = {COMMON_NAME, SERIAL_NUMBER}  # of several, Go keeps the last

FIELDS = {"C": COUNTRY, "ST": "2.5.4.8", "L": "2.5.4.7", "O": "2.5.4.10", "OU": "2.5.4.11"}
"""CFSSL's names for subject attributes, in `names[]`."""

Subject = Mapping[str, tuple[str, ...]]
"""Attribute values by object identifier, in the order they are written."""


@dataclass(frozen=True, slots=True)
class San:
    """One subject alternative name: its GeneralName tag, as people write it, and its bytes."""

    tag: int
    text: str
    value: bytes


def parse_host(text: str, field: str) -> San:
    """Tell an address, an e-mail address, a URI and a DNS name apart, in CFSSL's order."""
    try:
        return address(ip_address(text))
    except ValueError:
        pass
    tag = EMAIL if "@" in text and "/" not in text else URI if _URI.match(text) else DNS
    return parse_san(tag, text, field)


def address(ip: IPv4Address | IPv6Address) -> San:
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:  # a zone means something on one machine only
            raise refused_csr("an IP address may not have a zone")
        ip = ip.ipv4_mapped or ip
    return San(IP, str(ip), ip.packed)


def parse_san(tag: int, text: str, field: str) -> San:
    """Check a DNS name, e-mail address or URI for being exactly that."""
    checks = {DNS: _is_dns, EMAIL: _is_email, URI: _is_uri}
    if not checks[tag](text):
        kind = {DNS: "DNS name", EMAIL: "e-mail address", URI: "URI"}[tag]
        hint = "" if text.isascii() else "; write international names in their xn-- form"
        raise refused_csr(f"{field}: is not a {kind}{hint}")
    return San(tag, text, text.encode("ascii"))


def _is_dns(text: str) -> bool:
    return len(text) <= 253 and bool(_DNS.fullmatch(text))


def _is_email(text: str) -> bool:
    match = _EMAIL.fullmatch(text)
    return match is not None and "*" not in match[1] and _is_dns(match[1])


def _is_uri(text: str) -> bool:
    return bool(_URI_CHARACTERS.fullmatch(text) and _URI.fullmatch(text))


def parse_hosts(hosts: Iterable[str], field: str = "hosts") -> tuple[San, ...]:
    return tuple(parse_host(host, f"{field}[{i}]") for i, host in enumerate(hosts))


def encode_sans(sans: Iterable[San]) -> bytes:
    """Encode GeneralNames: all DNS names, then e-mail addresses, IP addresses and URIs."""
    names = list(dict.fromkeys(sans))
    return der.sequence(
        *(der.tlv(s.tag, s.value) for tag in (DNS, EMAIL, IP, URI) for s in names if s.tag == tag)
    )


def subject_of(name: x509.Name) -> Subject:
    """Return the attributes of a parsed name, in Go's order, without empty ones."""
    values: dict[str, tuple[str, ...]] = {}
    for attribute in name:
        dotted = attribute.oid.dotted_string
        if not isinstance(attribute.value, str):
            raise refused_csr("the subject has an attribute that is not text")
        if attribute.value:
            values[dotted] = (*values.get(dotted, ()), attribute.value)
    return ordered(values)


def ordered(values: Mapping[str, tuple[str, ...]]) -> Subject:
    known = {dotted: values[dotted] for dotted in _ORDERED if dotted in values}
    known.update((dotted, found[-1:]) for dotted, found in known.items() if dotted in _SINGLE)
    return known | {dotted: found for dotted, found in values.items() if dotted not in _ORDERED}


def override(wanted: Subject, requested: Subject) -> Subject:
    """Return `wanted`, with what it leaves out taken from the CSR; other attributes are dropped."""
    allowed = (*FIELDS.values(), COMMON_NAME, SERIAL_NUMBER)
    merged = {dotted: wanted.get(dotted) or requested.get(dotted, ()) for dotted in allowed}
    return ordered({dotted: found for dotted, found in merged.items() if found})


def common_name(subject: Subject) -> str:
    return "".join(subject.get(COMMON_NAME, ()))


def encode_subject(subject: Subject) -> bytes:
    """Encode a distinguished name; several values of one attribute share one RDN, as Go does."""
    return der.sequence(
        *(der.set_of(*{_attribute(dotted, value) for value in values}) for dotted, values in subject.items())
    )


def _attribute(dotted: str, value: str) -> bytes:
    if len(value) > _BOUND.get(dotted, _OTHER_BOUND):
        raise _bad_attribute(dotted, f"is longer than {_BOUND.get(dotted, _OTHER_BOUND)} characters")
    if not value.isprintable():
        raise _bad_attribute(dotted, "holds a character that cannot be printed")
    identifier = _IDENTIFIERS.get(dotted) or der.identifier(dotted)
    return der.sequence(identifier, _directory_string(dotted, value))


def _directory_string(dotted: str, value: str) -> bytes:
    if dotted in {EMAIL_ADDRESS, DOMAIN_COMPONENT}:
        if not value.isascii():
            raise _bad_attribute(dotted, "must be ASCII")
        return der.tlv(0x16, value.encode("ascii"))
    if _PRINTABLE.fullmatch(value):
        if dotted == COUNTRY and not re.fullmatch("[A-Za-z]{2}", value):
            raise _bad_attribute(dotted, "must be a country code of two letters")
        return der.tlv(0x13, value.encode("ascii"))
    if dotted in {COUNTRY, SERIAL_NUMBER}:
        raise _bad_attribute(dotted, "holds a character it may not (PrintableString)")
    return der.tlv(0x0C, value.encode("utf-8"))


def _bad_attribute(dotted: str, reason: str) -> CfsslError:
    words = {oid: name for name, oid in FIELDS.items()} | {COMMON_NAME: "CN"}
    return refused_csr(f"subject {words.get(dotted, dotted)}: {reason}")
