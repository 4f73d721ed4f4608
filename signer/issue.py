"""CSR, profile, time and serial number in; the exact bytes for the CA key to sign out.

Everything a certificate says is decided here. Where CFSSL would issue something unsafe or not
conforming this CA deviates on purpose:

* Usages that the requester's kind of key cannot serve are left out (keyEncipherment with EC).
* A certificate has at most 100 names.
* No certificate outlives the CA's own; an expired CA signs nothing.
* IP addresses are held against `name_whitelist` too, and CA certificates carry no names of hosts.
* Of the CSR's extensions only the alternative names count, and only when the call names no hosts.
* A certificate without any name is refused, and so are weak keys, SHA-1, and names that are none.
* A path length below the issuer's is forced on every CA issued.
* Time stamping alone makes the extended key usage critical (RFC 3161 section 2.3).

Extensions stand in CFSSL's order: key usage, extended key usage, basic constraints, subject key
identifier, authority key identifier, authority information access, alternative names, CRL
distribution points, OCSP no-check.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from custodian.errors import BadInput
from signer import der, names
from signer.algorithms import Family
from signer.csr import SUBJECT_ALTERNATIVE_NAME, Csr
from signer.errors import CfsslError, Number
from signer.issuer import Issuer
from signer.names import San, Subject
from signer.profile import Policy, Profile
from signer.usages import extended_key_usage, key_usage

SERIAL_BYTES = 20
MAX_NAMES = 100  # each is on record at the custodian for ever
MAX_NAMES_LENGTH = 8192
_VERSION_3 = der.tlv(0xA0, der.integer(2))
# All but the last 20 bytes of a subject key identifier are the same in every certificate.
_KEY_IDENTIFIER = der.extension("2.5.29.14", der.octet_string(bytes(20)))[:-20]
_HALF_MINUTE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Template:
    """What every certificate of one profile has in common, encoded once."""

    profile: Profile
    issuer: Issuer
    purposes: Mapping[Family, bytes]  # key usage, extended key usage and basic constraints
    authority: bytes  # authority key identifier and information access
    tail: bytes  # what follows the alternative names


@dataclass(frozen=True, slots=True)
class Prepared:
    """A certificate that lacks only its signature.

    `tbs` are the bytes to sign, `algorithm` the DER AlgorithmIdentifier to sign them with, `names`
    the alternative names as people write them; owners' patterns are held against those and
    `common_name`.
    """

    tbs: bytes
    algorithm: bytes
    serial: int
    common_name: str
    names: tuple[str, ...]
    profile: str
    is_ca: bool
    not_before: datetime
    not_after: datetime


def templates(issuer: Issuer, policy: Policy) -> dict[str, Template]:
    """Encode the constant parts of every profile. Raises BadInput for what the CA cannot issue."""
    return {name: _template(issuer, profile) for name, profile in policy.profiles.items()}


def _template(issuer: Issuer, profile: Profile) -> Template:
    if profile.is_ca and issuer.path_length == 0:
        raise BadInput(f"profile {profile.name}", "makes CAs, and the CA's path length forbids it")
    authority = x509.AuthorityKeyIdentifier(issuer.key_id, None, None)
    points = [_uri(profile.crl_url)] if profile.crl_url else []
    point = [x509.DistributionPoint(points, None, None, None)] if points else []
    return Template(
        profile=profile,
        issuer=issuer,
        purposes={family: _purposes(issuer, profile, family) for family in get_args(Family)},
        authority=_encode(authority) + _information_access(profile),
        tail=(_encode(x509.CRLDistributionPoints(point)) if point else b"")
        + (_encode(x509.OCSPNoCheck()) if profile.ocsp_no_check else b""),
    )


def _encode(value: x509.ExtensionType, *, critical: bool = False) -> bytes:
    return der.extension(value.oid.dotted_string, value.public_bytes(), critical=critical)


def _uri(url: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(url)


def _purposes(issuer: Issuer, profile: Profile, family: Family) -> bytes:
    """Return the three extensions, or nothing when no usage is left for such a key."""
    usage = key_usage(profile.usages, family)
    extended = extended_key_usage(profile.usages)
    if usage is None and extended is None:
        return b""
    length = profile.path_length
    if profile.is_ca and issuer.path_length is not None:
        length = min(issuer.path_length - 1, issuer.path_length if length is None else length)
    constraints = x509.BasicConstraints(ca=profile.is_ca, path_length=length)
    stamps = extended is not None and list(extended) == [x509.oid.ExtendedKeyUsageOID.TIME_STAMPING]
    return b"".join(
        (
            _encode(usage, critical=True) if usage else b"",
            _encode(extended, critical=stamps) if extended else b"",
            _encode(constraints, critical=True),
        )
    )


def _information_access(profile: Profile) -> bytes:
    ocsp = [profile.ocsp_url] if profile.ocsp_url else []
    entries = [x509.AccessDescription(Access.OCSP, _uri(url)) for url in ocsp]
    entries += [x509.AccessDescription(Access.CA_ISSUERS, _uri(u)) for u in profile.issuer_urls]
    return _encode(x509.AuthorityInformationAccess(entries)) if entries else b""


def serial_number(random: bytes) -> int:
    """Return 159 random bits: RFC 5280 wants a positive number of at most 20 octets."""
    if len(random) != SERIAL_BYTES:
        raise ValueError(f"a serial number is made of {SERIAL_BYTES} random bytes")
    return (int.from_bytes(random, "big") & ~(1 << 159)) or 1


def prepare(template: Template, csr: Csr, *, now: datetime, serial: int) -> Prepared:
    """Decide what the certificate says, and encode it.

    Raises CfsslError where the policy or RFC 5280 forbids the certificate.
    """
    profile = template.profile
    if csr.wants_ca and not profile.is_ca:
        raise CfsslError(Number.AGAINST_POLICY, "Policy violation request")
    if not template.purposes[csr.family]:
        raise CfsslError(Number.NO_USAGES, "Invalid policy: no key usage available")
    sans = () if profile.is_ca else tuple(dict.fromkeys(csr.sans))
    _check_names(profile, csr.subject, sans)
    validity = _validity(profile, template.issuer, now)
    return Prepared(
        tbs=_tbs(template, csr, sans, serial=serial, validity=validity),
        algorithm=template.issuer.algorithm.encoded,
        serial=serial,
        common_name=names.common_name(csr.subject),
        names=tuple(san.text for san in sans),
        profile=profile.name,
        is_ca=profile.is_ca,
        not_before=validity[0],
        not_after=validity[1],
    )


def _check_names(profile: Profile, subject: Subject, sans: tuple[San, ...]) -> None:
    if not subject and not sans:
        raise CfsslError(Number.AGAINST_POLICY, "the certificate would have no name; send hosts")
    if profile.is_ca and not subject:  # RFC 5280 section 4.1.2.6
        raise CfsslError(Number.AGAINST_POLICY, "missing subject information")
    pattern, common = profile.name_whitelist, names.common_name(subject)
    texts = ([common] if common else []) + [san.text for san in sans]
    if len(texts) > MAX_NAMES or sum(map(len, texts)) > MAX_NAMES_LENGTH:
        too_many = f"more than {MAX_NAMES} names, or {MAX_NAMES_LENGTH} characters of them"
        raise CfsslError(Number.AGAINST_POLICY, too_many)
    if pattern is not None and not all(pattern.search(text) for text in texts):
        raise CfsslError(Number.AGAINST_WHITELIST, "Request does not match policy whitelist")


def _validity(profile: Profile, issuer: Issuer, now: datetime) -> tuple[datetime, datetime]:
    """Return the first and last instant, the first rounded to the minute and backdated."""
    minute = (now + _HALF_MINUTE).replace(second=0, microsecond=0)
    not_before = minute - profile.backdate
    not_after = min(not_before + profile.expiry, issuer.not_after)
    if not issuer.not_before <= now < issuer.not_after or not_before >= not_after:
        raise CfsslError(Number.CA_EXPIRED, "the CA certificate is expired or not yet valid")
    return not_before, not_after


def _tbs(
    template: Template,
    csr: Csr,
    sans: tuple[San, ...],
    *,
    serial: int,
    validity: tuple[datetime, datetime],
) -> bytes:
    key_id = hashlib.sha1(_key_bits(csr.public_key), usedforsecurity=False).digest()
    extensions = der.sequence(
        template.purposes[csr.family],
        _KEY_IDENTIFIER,
        key_id,
        template.authority,
        _alternative_names(sans, critical=not csr.subject),
        template.tail,
    )
    return der.sequence(
        _VERSION_3,
        der.integer(serial),
        template.issuer.algorithm.encoded,
        template.issuer.subject,
        der.sequence(*map(der.time, validity)),
        names.encode_subject(csr.subject),
        csr.public_key,
        der.tlv(0xA3, extensions),
    )


def _key_bits(public_key: bytes) -> bytes:
    """Return the key without its algorithm, of which RFC 5280 makes the identifier."""
    bits = der.split(der.split(der.split(public_key)[1])[2])[1]
    return bits[1:]


def _alternative_names(sans: tuple[San, ...], *, critical: bool) -> bytes:
    if not sans:
        return b""
    return der.extension(SUBJECT_ALTERNATIVE_NAME, names.encode_sans(sans), critical=critical)


def certificate_der(prepared: Prepared, signature: bytes) -> bytes:
    return der.sequence(prepared.tbs, prepared.algorithm, der.bit_string(signature))


def to_pem(label: str, data: bytes) -> str:
    """Return RFC 7468 text with its trailing newline."""
    text = base64.b64encode(data).decode("ascii")
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def certificate_pem(prepared: Prepared, signature: bytes) -> str:
    return to_pem("CERTIFICATE", certificate_der(prepared, signature))
