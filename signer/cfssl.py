"""CFSSL's wire, to the byte: request bodies become typed values, answers become envelopes.

The texts are CFSSL's wherever it has one; a field of the wrong type is named behind them. What
CFSSL's multirootca lets a caller override (NotBefore, NotAfter, crl_override, ReturnPrecert, the
serial number, raw extensions) is refused: the policy file decides those, and silence would hide it.
"""

import hmac
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from custodian.encoding import decode_base64
from custodian.errors import (
    BadInput,
    CannotOpen,
    Conflict,
    CustodianError,
    Forbidden,
    FormatError,
    QuorumMissing,
    TooMany,
    Unavailable,
    Untrusted,
)
from signer.errors import CfsslError, Number, bad_request
from signer.fields import Fields, parse_go_json
from signer.names import (
    COMMON_NAME,
    EMAIL_ADDRESS,
    FIELDS,
    SERIAL_NUMBER,
    San,
    Subject,
    ordered,
    parse_hosts,
)
from signer.newkey import KeyKind

NO_BUNDLER = "This request requires a bundler, but one is not initialized for the API server."
NO_HOSTS = """This certificate lacks a "hosts" field. This makes it unsuitable for
websites. For more information see the Baseline Requirements for the Issuance and Management
of Publicly-Trusted Certificates, v.1.1.6, from the CA/Browser Forum (https://cabforum.org);
specifically, section 10.2.3 ("Information Requirements")."""
"""Both are CFSSL's own texts, which clients show to people."""

_UNPARSED = "Unable to parse sign request"
_UNPARSED_AUTHENTICATED = "Unable to parse authenticated sign request"
_ZERO_TIME = "0001-01-01T00:00:00Z"  # what Go sends for a time that nobody set
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/\r\n]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}

_ANSWERS: dict[type[CustodianError], tuple[int, int]] = {
    QuorumMissing: (Number.KEY_UNAVAILABLE, 503),
    Unavailable: (Number.KEY_UNAVAILABLE, 503),
    CannotOpen: (Number.KEY_UNAVAILABLE, 503),
    TooMany: (Number.KEY_UNAVAILABLE, 429),
    Conflict: (Number.KEY_UNAVAILABLE, 503),
    Untrusted: (Number.KEY_UNAVAILABLE, 503),
    Forbidden: (Number.AGAINST_POLICY, 403),
    BadInput: (400, 400),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignRequest:
    """`hosts` None keeps the CSR's names and an empty one clears them; so does CFSSL."""

    certificate_request: str
    hosts: tuple[str, ...] | None
    subject: Subject | None
    profile: str
    bundle: bool


@dataclass(frozen=True, slots=True)
class AuthenticatedRequest:
    """A sign request with HMAC-SHA-256 over its bytes."""

    token: bytes = field(repr=False)
    request: bytes


@dataclass(frozen=True, slots=True)
class NewKeyRequest:
    kind: KeyKind
    subject: Subject
    hosts: tuple[San, ...]


@dataclass(frozen=True, slots=True)
class NewCertRequest:
    request: NewKeyRequest
    profile: str
    bundle: bool


def parse_sign_request(data: bytes) -> SignRequest:
    return _parse(data, _sign_request, _UNPARSED)


def parse_authenticated(data: bytes) -> AuthenticatedRequest:
    return _parse(data, _authenticated)


def parse_inner_request(request: AuthenticatedRequest) -> SignRequest:
    return _parse(request.request, _sign_request, _UNPARSED_AUTHENTICATED)


def parse_info_request(data: bytes) -> str:
    """Return the name of the profile asked about."""
    return _parse(data, lambda fields: fields.text("profile"))


def parse_new_key(data: bytes) -> NewKeyRequest:
    return _parse(data, _new_key)


def parse_new_cert(data: bytes) -> NewCertRequest:
    return _parse(data, _new_cert)


def is_authentic(keys: Iterable[bytes], request: AuthenticatedRequest) -> bool:
    """Tell whether the token is by one of `keys`."""
    return any(
        hmac.compare_digest(hmac.digest(key, request.request, "sha256"), request.token) for key in keys
    )


def success(result: object, *warnings: str) -> bytes:
    """Return the envelope of an answer, with warnings beside it."""
    messages = [{"code": int(Number.AGAINST_POLICY), "message": text} for text in warnings]
    return _go_json({"success": True, "result": result, "errors": [], "messages": messages})


def failure(error: CustodianError) -> tuple[int, bytes]:
    """Return the HTTP status and envelope of a refusal.

    A missing quorum also says who is missing and which request asks them, in a member `quorum` that CFSSL
    clients pass over.
    """
    number, status, detail = 0, 500, "internal error"
    if isinstance(error, CfsslError):
        number, status, detail = error.number, error.status, error.detail
    for kind, (its_number, its_status) in _ANSWERS.items():
        if isinstance(error, kind):
            number, status, detail = its_number, its_status, error.detail
            break
    envelope: dict[str, Any] = {
        "success": False,
        "result": None,
        "errors": [{"code": int(number), "message": detail}],
        "messages": [],
    }
    if isinstance(error, QuorumMissing):
        envelope["quorum"] = error.members
    return status, _go_json(envelope)


def _go_json(value: object) -> bytes:
    """Encode as Go's encoder does: HTML's characters escaped, one newline at the end."""
    text = _ENCODER.encode(value)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8") + b"\n"


def _parse(data: bytes, build: Callable[[Fields], T], refusal: str = "") -> T:
    """Return what `build` makes of the object; refusals begin with `refusal` if there is one."""
    try:
        value = parse_go_json(data)
    except CfsslError as error:
        raise bad_request(refusal or error.detail) from None
    try:
        return build(Fields({} if value is None else value))
    except BadInput as error:
        raise bad_request(f"{refusal}: {error.detail}" if refusal else error.detail) from None


def _sign_request(fields: Fields) -> SignRequest:
    _refuse_overrides(fields)
    hostname, subject = fields.text("hostname"), fields.section("subject")
    return SignRequest(
        certificate_request=fields.text("certificate_request"),
        hosts=tuple(hostname.split(",")) if hostname else fields.texts("hosts"),
        subject=None if subject is None else _subject(subject, "serialnumber"),
        profile=fields.text("profile"),
        bundle=fields.flag("bundle"),
    )


def _refuse_overrides(fields: Fields) -> None:
    for name in ("NotBefore", "NotAfter"):
        if fields.get(name) not in (None, "", _ZERO_TIME):
            raise _not_yours(name)
    for name in ("crl_override", "ReturnPrecert", "serial", "extensions"):
        if fields.get(name):
            raise _not_yours(name)


def _not_yours(name: str) -> CfsslError:
    return CfsslError(Number.AGAINST_POLICY, f"{name}: is for the CA's policy to say; leave it out")


def _subject(fields: Fields, serial_number: str) -> Subject:
    """Return CFSSL's CN and names[] as attributes; empty ones are left out."""
    found: dict[bytes, tuple[str, ...]] = {}
    entries = [(COMMON_NAME, fields.text("CN")), (SERIAL_NUMBER, fields.text(serial_number))]
    for name in fields.sections("names"):
        if name.table("OID"):
            raise BadInput(name.at("OID"), "is not supported yet")
        entries += [(identifier, name.text(word)) for word, identifier in FIELDS.items()]
        entries.append((EMAIL_ADDRESS, name.text("E")))
    for identifier, value in entries:
        if value:
            found[identifier] = (*found.get(identifier, ()), value)
    return ordered(found)


def _authenticated(fields: Fields) -> AuthenticatedRequest:
    return AuthenticatedRequest(token=_base64(fields, "token"), request=_base64(fields, "request"))


def _base64(fields: Fields, name: str) -> bytes:
    """Decode as Go does, which passes over line breaks; other spellings are refused."""
    text = fields.text(name)
    try:
        return decode_base64(re.sub(r"[\r\n]", "", text), name)
    except FormatError:
        bad = _NOT_BASE64.search(text)
        at = bad.start() if bad else len(text)
        raise bad_request(f"illegal base64 data at input byte {at}") from None


def _new_key(fields: Fields) -> NewKeyRequest:
    if fields.get("ca") is not None:
        raise bad_request("ca section only permitted in initca")
    for name in ("extensions", "delegation_enabled"):
        if fields.get(name):
            raise BadInput(fields.at(name), "is not supported yet")
    key = fields.section("key") or Fields({}, "key")
    kind = KeyKind(
        key.text("algo") if "algo" in key else "ecdsa", key.number("size") if "size" in key else 256
    )
    hosts = parse_hosts(fields.texts("hosts") or (), fields.at("hosts"))
    return NewKeyRequest(kind, _subject(fields, "serialnumber"), hosts)


def _new_cert(fields: Fields) -> NewCertRequest:
    request = fields.section("request")
    if request is None:
        raise bad_request("missing request section")
    return NewCertRequest(_new_key(request), fields.text("profile"), fields.flag("bundle"))
