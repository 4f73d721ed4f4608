"""The history as a table for spreadsheets (RFC 4180). Pure: entries in, lines out.

A spreadsheet runs what begins like a formula, and names in certificates are written by others; such a cell
begins with an apostrophe. So a table is for reading; what can be verified are the entries themselves.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from custodian.telling import said

COLUMNS = (
    "seq", "time", "role", "name", "type", "says",
    "owner", "key", "signer", "id", "request", "lease", "number", "serial", "names", "uses", "start", "end",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def head() -> bytes:
    return _line(COLUMNS)


def lines(entries: Iterable[bytes]) -> bytes:
    """Return a line for each entry."""
    return b"".join(_line(_cells(json.loads(each))) for each in entries)


def _cells(entry: Mapping[str, Any]) -> Iterable[str]:
    flat = dict(entry) | dict(entry["actor"]) | {"says": said(entry)}
    return (_cell(flat.get(column, "")) for column in COLUMNS)


def _cell(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _line(cells: Iterable[str]) -> bytes:
    quoted = (each.replace('"', '""') for each in cells)
    return (",".join(f'"{each}"' for each in quoted) + "\r\n").encode()
