"""The only decoders. Each accepts exactly one spelling of a value and names the field it refuses.

Python's own decoders are lenient (base64 with junk, `int("1_0")`, duplicate JSON keys), and a value
with two spellings is a value whose signature can be argued about.
"""

import base64
import binascii
import contextlib
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from custodian.errors import FormatError

MAX_INTEGER = 2**53 - 1  # what every JSON reader holds exactly
NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
INSTANT = re.compile(r"([1-9][0-9]{3})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
DURATION = re.compile(r"(?:([0-9]{1,5})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,7})s)?")


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str, field: str) -> bytes:
    """Decode RFC 4648 section 4 base64 with padding; only the canonical spelling."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise FormatError(field, "is not base64") from None
    if encode_base64(data) != text:
        raise FormatError(field, "is not canonical base64")
    return data


def decode_hex(text: str, field: str) -> bytes:
    """Decode lower-case hexadecimal without separators."""
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", text):
        raise FormatError(field, "is not lower-case hexadecimal")
    return bytes.fromhex(text)


def fingerprint(key: str) -> str:
    """Return what two people compare of a key's text form: 80 bits of its SHA-256, in fives of four."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return "-".join(digest[i : i + 4] for i in range(0, 20, 4))


def parse_name(text: str, field: str) -> str:
    """Return `text` if it can name an owner, key or signer."""
    if not NAME.fullmatch(text):
        raise FormatError(field, "must be 1 to 63 of a-z, 0-9, '.', '_' and '-', and start with a letter")
    return text


def parse_count(text: str, field: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text) or int(text) > MAX_INTEGER:
        raise FormatError(field, "is not a decimal number")
    return int(text)


def format_instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str, field: str) -> datetime:
    """Parse RFC 3339 in UTC with whole seconds, `2026-11-23T12:00:00Z`."""
    match = INSTANT.fullmatch(text)
    if match:
        year, month, day, hour, minute, second = map(int, match.groups())
        with contextlib.suppress(ValueError):  # there is no such day or hour
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    raise FormatError(field, "is not a time like 2026-11-23T12:00:00Z")


def parse_duration(text: str, field: str) -> timedelta:
    """Parse `90s`, `15m`, `1h30m` or `2d`; more than nothing."""
    match = DURATION.fullmatch(text)
    if not match or not text:
        raise FormatError(field, "is not a duration like 90s, 15m, 1h30m or 2d")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise FormatError(field, "must be longer than nothing")
    return duration


def canonical_json(value: Any) -> bytes:
    """Encode by RFC 8785 for the values we use: ASCII keys, strings, integers, lists, objects."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_json_object(data: bytes, field: str) -> dict[str, Any]:
    """Parse one JSON object, refusing duplicate keys, floats, NaN and integers beyond 2^53 - 1."""

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise FormatError(field, "repeats a key")
        return value

    def integer(text: str) -> int:
        number = int(text) if len(text) <= 17 else MAX_INTEGER + 1
        if abs(number) > MAX_INTEGER:
            raise FormatError(field, "holds an integer beyond 2^53 - 1")
        return number

    def not_a_number(_: str) -> Any:
        raise FormatError(field, "may hold integers only")

    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=no_duplicates,
            parse_int=integer,
            parse_float=not_a_number,
            parse_constant=not_a_number,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise FormatError(field, "is not JSON") from None
    if not isinstance(value, dict):
        raise FormatError(field, "is not a JSON object")
    try:
        canonical_json(value)
    except UnicodeEncodeError:  # half of a surrogate pair, from an escape
        raise FormatError(field, "is not Unicode text") from None
    except RecursionError:  # just shallow enough to be read, too deep to be written
        raise FormatError(field, "is not JSON") from None
    return value


def parse_canonical_json(data: bytes, field: str) -> dict[str, Any]:
    """Parse one JSON object whose bytes are exactly its canonical encoding."""
    value = parse_json_object(data, field)
    if canonical_json(value) != data:
        raise FormatError(field, "is not canonical JSON")
    return value
