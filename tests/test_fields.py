"""Fields of records: each is taken once, of its very type, within its limits."""

import pytest

from custodian.errors import FormatError
from custodian.fields import MAX_TEXT, Fields, parse_hex128


def fields(**value):
    return Fields(value, "record")


def test_a_field_is_taken_once():
    taken = fields(uses=3)
    assert taken.number("uses", 1, 3) == 3
    with pytest.raises(FormatError, match=r"record\.uses: is missing"):
        taken.number("uses", 1, 3)


@pytest.mark.parametrize("value", [0, 4, True, "3", None, 3.0])
def test_a_number_is_a_number_within_its_limits(value):
    with pytest.raises(FormatError):
        fields(uses=value).number("uses", 1, 3)


@pytest.mark.parametrize("value", ["a\nb", "\x7f", "é", "a" * (MAX_TEXT + 1), 1, None])
def test_a_text_is_one_line_of_printable_ascii(value):
    with pytest.raises(FormatError):
        fields(text=value).text("text")
    assert fields(text=" ~" * 2).text("text") == " ~ ~"


@pytest.mark.parametrize("value", ["ab", ["a", 1], ["a", ""], ["a"] * 3])
def test_a_list_holds_so_many_texts_that_are_not_empty(value):
    with pytest.raises(FormatError):
        fields(names=value).texts("names", 2)
    assert fields(names=["a", "b"]).texts("names", 2) == ("a", "b")


def test_what_nobody_took_is_refused_by_its_name():
    left = fields(uses=1, more=2)
    left.number("uses", 1, 1)
    with pytest.raises(FormatError, match="unknown field 'more'"):
        left.no_more()


@pytest.mark.parametrize("text", ["", "00", "0" * 31, "0" * 33, "0" * 34, "A" * 32, "0" * 31 + "\n"])
def test_128_bits_are_32_digits(text):
    with pytest.raises(FormatError):
        parse_hex128(text, "nonce")
    assert parse_hex128("0f" * 16, "nonce") == "0f" * 16
