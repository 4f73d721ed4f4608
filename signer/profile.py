"""What may be signed: CFSSL's policy file, read once into values that cannot be wrong.

The file is CFSSL's own (`signing.default`, `signing.profiles`, `auth_keys`) and means what it means
there, except where CFSSL's reading is a trap:

* A field this signer does not know is refused. CFSSL ignores it, and a typo switches a check off.
* Without `signing.default` there is no default profile. CFSSL invents one that asks for no token.
* An authentication key is at least 16 bytes. CFSSL takes an unset `env:` for the empty key.
* Lifetimes are positive and outlive the backdate. CFSSL issues certificates that never were valid.
* `cert sign` goes with `ca_constraint.is_ca`, and with nothing else (RFC 5280 section 4.2.1.9).
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from custodian.encoding import decode_hex, parse_json_object
from custodian.errors import BadInput, FormatError
from signer.errors import CfsslError, Number
from signer.fields import Fields
from signer.usages import KNOWN_USAGES

MIN_AUTH_KEY = 16  # bytes
DEFAULT_BACKDATE = timedelta(minutes=5)
DEFAULT = "default"

_PROFILE_FIELDS = (
    "usages",
    "expiry",
    "backdate",
    "ca_constraint",
    "name_whitelist",
    "auth_key",
    "prev_auth_key",
    "issuer_urls",
    "ocsp_url",
    "crl_url",
    "ocsp_no_check",
)
_NOT_YET = {
    "csrwhitelist",
    "csr_whitelist",
    "copy_extensions",
    "allowed_extensions",
    "policies",
    "remote",
    "auth_remote",
    "remotes",
    "clientprovidesserialnumbers",
    "ct_log_servers",
    "lint_error_level",
    "ignored_lints",
    "ignored_lint_sources",
    "not_before",
    "not_after",
    "cert_store",
    "ocsp",
}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|μs|ms|s|m|h))+|0")
_DURATION_PART = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_URL = re.compile(r"(?:https?|ldaps?)://[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of certificate. `usages` and `expiry_text` are as written, for /info."""

    name: str
    usages: tuple[str, ...]
    expiry: timedelta
    expiry_text: str
    backdate: timedelta
    is_ca: bool = False
    path_length: int | None = None
    name_whitelist: re.Pattern[str] | None = None
    auth_keys: tuple[bytes, ...] = field(default=(), repr=False)  # the current one, the previous
    issuer_urls: tuple[str, ...] = ()
    ocsp_url: str = ""
    crl_url: str = ""
    ocsp_no_check: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Every profile by its name; the default one is named `default`. `auth_keys` are all of the file."""

    profiles: Mapping[str, Profile]
    auth_keys: tuple[bytes, ...] = field(default=(), repr=False)

    def profile(self, name: str) -> Profile:
        """Return the profile; an unknown name is refused, where CFSSL takes the default for it."""
        try:
            return self.profiles[name or DEFAULT]
        except KeyError:
            raise CfsslError(Number.UNKNOWN_PROFILE, "Unknown policy profile") from None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where `env:NAME` and `file:PATH` are looked up.

    Each returns None, or raises OSError or ValueError, for what is not there or is not text.
    """

    environment: Callable[[str], str | None]
    read_file: Callable[[str], str | None]


def parse_policy(data: bytes, sources: Sources) -> Policy:
    """Read a policy file. Raises BadInput naming the path of the first thing that is wrong."""
    top = Fields(parse_json_object(data, "policy"))
    _refuse_unknown(top, ("signing", "auth_keys"))
    keys = {name: _auth_key(entry, sources) for name, entry in top.table("auth_keys").items()}
    signing = top.section("signing")
    if signing is None:
        raise BadInput("signing", "is missing; it holds the profiles")
    _refuse_unknown(signing, (DEFAULT, "profiles"))
    sections = signing.table("profiles")
    if DEFAULT in sections or "" in sections:
        raise BadInput("signing.profiles", "may not hold a profile named 'default' or ''")
    default = signing.section(DEFAULT)
    if default is not None:
        sections = {DEFAULT: default, **sections}
    if not sections:
        raise BadInput("signing", "holds no profile; write signing.default or signing.profiles")
    inherited = default or Fields({})
    profiles = {name: _profile(name, part, keys, inherited) for name, part in sections.items()}
    return Policy(MappingProxyType(profiles), tuple(keys.values()))


def _refuse_unknown(section: Fields, known: tuple[str, ...]) -> None:
    for name in section:
        if name in _NOT_YET:
            raise BadInput(section.at(name), "is not supported yet; take it out of the policy")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BadInput(section.at(name), f"is not a field of a policy{hint}")


def _auth_key(entry: Fields, sources: Sources) -> bytes:
    _refuse_unknown(entry, ("type", "key"))
    if entry.text("type") != "standard":
        raise BadInput(entry.at("type"), "must be standard")
    at, text = entry.at("key"), entry.text("key")
    place, colon, name = text.partition(":")
    if colon:
        text = _looked_up(sources, place, name)
        if not text:
            raise BadInput(at, "must be hexadecimal, env:NAME that is set, or file:PATH that exists")
    try:
        key = decode_hex(text.strip().lower(), at)
    except FormatError:
        raise BadInput(at, "is not hexadecimal") from None
    if len(key) < MIN_AUTH_KEY:
        raise BadInput(at, f"must be at least {MIN_AUTH_KEY} bytes; make one: openssl rand -hex 32")
    return key


def _looked_up(sources: Sources, place: str, name: str) -> str:
    look_up = {"env": sources.environment, "file": sources.read_file}.get(place)
    try:
        return (look_up(name) if look_up else None) or ""
    except (OSError, ValueError):
        return ""


def _profile(name: str, part: Fields, keys: Mapping[str, bytes], default: Fields) -> Profile:
    _refuse_unknown(part, _PROFILE_FIELDS)
    expiry = _duration(part, "expiry")
    backdate = _duration(part, "backdate") or DEFAULT_BACKDATE
    if not expiry:
        raise BadInput(part.at("expiry"), "is missing or zero; write it as in 8760h")
    if expiry <= backdate:
        raise BadInput(part.at("expiry"), "must be longer than the backdate (5m unless written)")
    usages = _usages(part, required=name != DEFAULT)
    is_ca, path_length = _ca_constraint(part, usages)
    heirs = {n: part if n in part else default for n in ("issuer_urls", "ocsp_url", "crl_url")}
    return Profile(
        name=name,
        usages=usages,
        expiry=expiry,
        expiry_text=part.text("expiry"),
        backdate=backdate,
        is_ca=is_ca,
        path_length=path_length,
        name_whitelist=_pattern(part),
        auth_keys=_auth_keys(part, keys),
        issuer_urls=_urls(heirs["issuer_urls"]),
        ocsp_url=_url(heirs["ocsp_url"], "ocsp_url"),
        crl_url=_url(heirs["crl_url"], "crl_url"),
        ocsp_no_check=part.flag("ocsp_no_check"),
    )


def _usages(part: Fields, *, required: bool) -> tuple[str, ...]:
    """Return the usages; only the default profile may have none, and then signs nothing."""
    usages = part.texts("usages") or ()
    if required and not usages:
        raise BadInput(part.at("usages"), "is missing; name at least one usage")
    for i, usage in enumerate(usages):
        if usage not in KNOWN_USAGES:
            near = difflib.get_close_matches(usage, KNOWN_USAGES, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise BadInput(f"{part.at('usages')}[{i}]", f"is not a usage{hint}")
        if usage in {"encipher only", "decipher only"} and "key agreement" not in usages:
            raise BadInput(f"{part.at('usages')}[{i}]", "needs 'key agreement' beside it")
    return usages


def _ca_constraint(part: Fields, usages: tuple[str, ...]) -> tuple[bool, int | None]:
    """Return whether the profile makes CAs, and how long a path below them may be."""
    section = part.section("ca_constraint") or Fields({}, part.at("ca_constraint"))
    _refuse_unknown(section, ("is_ca", "max_path_len", "max_path_len_zero"))
    is_ca, length = section.flag("is_ca"), section.number("max_path_len")
    if length < 0:
        raise BadInput(section.at("max_path_len"), "must not be negative")
    if is_ca != ("cert sign" in usages):
        raise BadInput(section.at("is_ca"), "and the usage 'cert sign' need each other")
    if not is_ca and (length or section.flag("max_path_len_zero")):
        raise BadInput(section.at("max_path_len"), "needs is_ca")
    return is_ca, length if length or section.flag("max_path_len_zero") else None


def _pattern(part: Fields) -> re.Pattern[str] | None:
    """Return the whitelist; CFSSL's meaning is that it is found anywhere in the name."""
    text = part.text("name_whitelist")
    try:
        return re.compile(text, re.ASCII) if text else None
    except re.error:
        raise BadInput(part.at("name_whitelist"), "is not a regular expression") from None


def _auth_keys(part: Fields, keys: Mapping[str, bytes]) -> tuple[bytes, ...]:
    found = []
    for name in ("auth_key", "prev_auth_key"):
        wanted = part.text(name)
        if wanted and wanted not in keys:
            raise BadInput(part.at(name), "is not one of auth_keys")
        if wanted:
            found.append(keys[wanted])
        elif name in part:
            raise BadInput(part.at(name), "is empty; name one of auth_keys or take the field out")
    if "prev_auth_key" in part and "auth_key" not in part:
        raise BadInput(part.at("prev_auth_key"), "needs auth_key beside it")
    return tuple(found)


def _url(part: Fields, name: str) -> str:
    text = part.text(name)
    if text and not _URL.fullmatch(text):
        raise BadInput(part.at(name), "is not an http, https or ldap URL")
    return text


def _urls(part: Fields) -> tuple[str, ...]:
    urls = part.texts("issuer_urls") or ()
    for i, url in enumerate(urls):
        if not _URL.fullmatch(url):
            raise BadInput(f"{part.at('issuer_urls')}[{i}]", "is not an http, https or ldap URL")
    return urls


def _duration(part: Fields, name: str) -> timedelta:
    """Return a Go duration such as `8760h` or `1h30m`; nothing when it is absent."""
    text = part.text(name)
    if text.startswith("-"):
        raise BadInput(part.at(name), "must not be negative")
    if text and not _DURATION.fullmatch(text):
        raise BadInput(part.at(name), "is not a duration in hours, minutes and seconds like 8760h")
    total = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
    if total > 2**63 / 1e9:
        raise BadInput(part.at(name), "is longer than 292 years")
    return timedelta(seconds=total)
