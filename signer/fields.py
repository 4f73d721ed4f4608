"""Read JSON the way Go reads it into a struct, because both CFSSL's wire and its files are that.

Keys match in any case, the last of several wins, null is the same as absent. Types are checked here,
once: a wrong one is refused naming its path, as in `signing.profiles.server.usages[1]`.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from custodian.errors import BadInput
from signer.errors import bad_request


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, repeated keys and all."""


def parse_go_json(data: bytes) -> object:
    """Parse one JSON value; objects become Pairs.

    Raises CfsslError, in Go's own words where the input ends too early.
    """
    try:
        text = data.decode("utf-8")
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        ended = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        reason = "unexpected end of JSON input" if ended else "invalid JSON"
    except (ValueError, RecursionError):  # not UTF-8, a number of thousands of digits, or too deep
        reason = "invalid JSON"
    raise bad_request(reason) from None


def _not_json(_: str) -> NoReturn:
    raise ValueError


_DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_constant=_not_json)


class Fields:
    """One JSON object whose fields are read by name and type."""

    __slots__ = ("_values", "path")

    def __init__(self, value: object, path: str = "") -> None:
        if isinstance(value, dict):
            value = Pairs(value.items())
        if not isinstance(value, Pairs):
            raise BadInput(path or "body", "must be a JSON object")
        self.path = path
        self._values = {key.lower(): item for key, item in value if item is not None}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        """Yield the names present, in lower case."""
        return iter(self._values)

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> object:
        return self._values.get(name.lower())

    def text(self, name: str) -> str:
        value = self._values.get(name.lower(), "")
        if isinstance(value, str) and value.isascii():
            return value
        return _text(value, self.at(name))

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings, or None when it is absent: CFSSL tells the two apart."""
        value = self._values.get(name.lower())
        if value is None:
            return None
        if not isinstance(value, list) or isinstance(value, Pairs):
            raise BadInput(self.at(name), "must be a list of strings")
        return tuple(_text(item, f"{self.at(name)}[{i}]") for i, item in enumerate(value))

    def flag(self, name: str) -> bool:
        value = self._values.get(name.lower(), False)
        if not isinstance(value, bool):
            raise BadInput(self.at(name), "must be true or false")
        return value

    def number(self, name: str) -> int:
        value = self._values.get(name.lower(), 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadInput(self.at(name), "must be a whole number")
        return value

    def section(self, name: str) -> "Fields | None":
        value = self._values.get(name.lower())
        return None if value is None else Fields(value, self.at(name))

    def sections(self, name: str) -> "list[Fields]":
        """Return a list of objects; empty when it is absent."""
        value = self._values.get(name.lower(), [])
        if not isinstance(value, list) or isinstance(value, Pairs):
            raise BadInput(self.at(name), "must be a list of objects")
        return [Fields(item or {}, f"{self.at(name)}[{i}]") for i, item in enumerate(value)]

    def table(self, name: str) -> "dict[str, Fields]":
        """Return an object whose keys are names that somebody chose, spelled as they were."""
        value = self._values.get(name.lower(), {})
        if not isinstance(value, dict | Pairs):
            raise BadInput(self.at(name), "must be a JSON object")
        pairs = value.items() if isinstance(value, dict) else value
        return {key: Fields(item or {}, f"{self.at(name)}.{key}") for key, item in pairs}


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise BadInput(path, "must be a string")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair
            raise BadInput(path, "is not Unicode text") from None
    return value
