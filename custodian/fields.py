"""The fields of a canonical JSON object, each taken once, with its type and within its limits."""

import re
from typing import Any

from custodian.encoding import decode_hex
from custodian.errors import FormatError

MAX_TEXT = 255
ONE_LINE = re.compile("[ -~]*")  # a terminal shows these as they are


class Fields:
    """Take each field of an object once, with its type; refuse what is left."""

    def __init__(self, value: dict[str, Any], name: str) -> None:
        self.value, self.name = dict(value), name

    def take(self, field: str, kind: type) -> Any:
        value = self.value.pop(field, None)
        if type(value) is not kind:  # bool is an int to isinstance
            raise FormatError(f"{self.name}.{field}", f"is missing or not of type {kind.__name__}")
        return value

    def text(self, field: str) -> str:
        text: str = self.take(field, str)
        return self.checked_text(text, field)

    def texts(self, field: str, most: int) -> tuple[str, ...]:
        values = self.take(field, list)
        if len(values) > most or not all(type(value) is str for value in values):
            raise FormatError(f"{self.name}.{field}", f"is not a list of at most {most} texts")
        return tuple(self.checked_text(value, field, empty=False) for value in values)

    def checked_text(self, text: str, field: str, *, empty: bool = True) -> str:
        limit = 2048 if field == "recipients" else MAX_TEXT  # keys of some suites are long
        if len(text) > limit or not (text or empty) or not ONE_LINE.fullmatch(text):
            raise FormatError(f"{self.name}.{field}", f"is not at most {limit} printable ASCII characters")
        return text

    def number(self, field: str, least: int, most: int) -> int:
        number: int = self.take(field, int)
        if not least <= number <= most:
            raise FormatError(f"{self.name}.{field}", f"must be from {least} to {most}")
        return number

    def no_more(self) -> None:
        if self.value:
            raise FormatError(self.name, f"has an unknown field {min(self.value)!r}")


def parse_hex128(text: str, field: str) -> str:
    """Return `text` if it is 128 bits in hexadecimal."""
    if len(decode_hex(text, field)) != 16:
        raise FormatError(field, "is not 32 hexadecimal digits")
    return text
