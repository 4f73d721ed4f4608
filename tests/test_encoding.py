import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodian.encoding import (
    MAX_INTEGER,
    canonical_json,
    decode_base64,
    decode_hex,
    encode_base64,
    format_instant,
    parse_canonical_json,
    parse_count,
    parse_duration,
    parse_instant,
    parse_json_object,
    parse_name,
)
from custodian.errors import FormatError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)
VALUES = st.recursive(
    TEXTS | INTEGERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary())
def test_base64_reads_back_what_it_wrote(data):
    assert decode_base64(encode_base64(data), "field") == data


@pytest.mark.parametrize(
    "text",
    [
        "AA!!A A=",  # Python drops the junk
        "AB==",  # the same byte as AA==
        "AA=",
        "AA",
        "AA==\n",
        " AA==",
        "AA==AA==",
        "_-8=",  # the URL alphabet
        "=",
        "ÄA==",
        "\u0660A==",
    ],
)
def test_base64_has_one_spelling(text):
    with pytest.raises(FormatError, match=r"^field: "):
        decode_base64(text, "field")


def test_hexadecimal_reads_lower_case_pairs():
    assert decode_hex("", "field") == b""
    assert decode_hex("00ff", "field") == b"\x00\xff"


@pytest.mark.parametrize("text", ["AA", "aa bb", "aabb\n", "a", "0x00", "aa_bb", "\u0660\u0660"])
def test_hexadecimal_has_one_spelling(text):
    with pytest.raises(FormatError, match=r"^field: "):
        decode_hex(text, "field")


@pytest.mark.parametrize("text", ["a", "alice", "alice-ops", "a.b_c-9", "a" * 63])
def test_a_name_is_itself(text):
    assert parse_name(text, "owner") == text


@pytest.mark.parametrize(
    "text",
    ["", "alice\n", "Alice", "9lives", "-a", ".a", "a" * 64, "a b", "a/b", "\nalice", "alic\u00e9", "a\x00"],
)
def test_a_name_is_refused(text):
    with pytest.raises(FormatError, match=r"^owner: "):
        parse_name(text, "owner")


@pytest.mark.parametrize("text", ["0", "7", "10", str(MAX_INTEGER)])
def test_a_count_is_a_decimal_number(text):
    assert parse_count(text, "uses") == int(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1_0",
        " +7 ",
        "+7",
        "-1",
        "07",
        "\u0663",
        "\u00b2",
        "1\n",
        "1.0",
        "1e3",
        "0x1",
        str(MAX_INTEGER + 1),
        "9" * 99,
    ],
)
def test_a_count_has_one_spelling(text):
    with pytest.raises(FormatError, match=r"^uses: "):
        parse_count(text, "uses")


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(
        lambda t: t.replace(microsecond=0, tzinfo=UTC)
    )
)
def test_an_instant_reads_back_what_it_wrote(moment):
    assert parse_instant(format_instant(moment), "start") == moment


def test_an_instant_is_written_in_utc():
    there = datetime(2026, 11, 23, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    assert format_instant(there) == "2026-11-23T12:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20260101",
        "2026-11-23",
        "2026-11-23T12:00:00",
        "2026-11-23T12:00:00Z\n",
        " 2026-11-23T12:00:00Z",
        "2026-11-23t12:00:00z",
        "2026-11-23 12:00:00Z",
        "2026-1-23T12:00:00Z",
        "2026-11-23T12:00:00.0Z",
        "2026-11-23T12:00:00+00:00",
        "2026-11-23T23:59:60Z",
        "2026-02-29T12:00:00Z",
        "0999-01-01T00:00:00Z",
        "\u0662\u0660\u0662\u0666-11-23T12:00:00Z",
    ],
)
def test_an_instant_has_one_spelling(text):
    with pytest.raises(FormatError, match=r"^start: "):
        parse_instant(text, "start")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061), ("31d", 2_678_400)],
)
def test_a_duration_is_units_from_large_to_small(text, seconds):
    assert parse_duration(text, "for") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0s",
        "0d0h",
        "5",
        "m",
        "30m1h",
        "1h 30m",
        "-5m",
        "1w",
        "1.5h",
        "\u0663m",
        "9999999h",
        "1h\n",
        "2h34",
        "1H",
    ],
)
def test_a_duration_is_refused(text):
    with pytest.raises(FormatError, match=r"^for: "):
        parse_duration(text, "for")


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_canonical_json_reads_back_what_it_wrote(value):
    assert parse_canonical_json(canonical_json(value), "terms") == value


def test_canonical_json_sorts_keys_and_has_no_blanks():
    assert canonical_json({"b": [1, "x"], "a": {}}) == b'{"a":{},"b":[1,"x"]}'


def test_canonical_json_escapes_only_what_it_must():
    """The strings of RFC 8785, section 3.2.2.2."""
    text = '\u20ac$\u000f\nA\'B"\\\\"/'
    assert canonical_json({"": text}) == '{"":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":-0}',
        b'{"a":"\\u000F"}',
    ],
)
def test_canonical_json_has_one_spelling(data):
    parse_json_object(data, "terms")
    with pytest.raises(FormatError, match="canonical"):
        parse_canonical_json(data, "terms")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"a"',
        b"null",
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1,"a":1}',
        b'{"x":{"a":1,"a":2}}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1.0}',
        b'{"a":1e400}',
        b'{"a":1e2}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\n"}',
        b'{"a":' * 100_000,
    ],
)
def test_json_that_readers_could_differ_about_is_refused(data):
    with pytest.raises(FormatError, match=r"^body: "):
        parse_json_object(data, "body")


def test_deep_nesting_is_refused_and_never_overflows():
    """One depth near the limit could once be read, but not written."""
    refused = 0
    for depth in range(900, 1100):
        try:
            parse_json_object(b'{"a":' + b"[" * depth + b"]" * depth + b"}", "body")
        except FormatError:
            refused += 1
    assert refused


def test_the_largest_integers_are_those_every_reader_holds():
    data = b'{"a":9007199254740991,"b":-9007199254740991}'
    assert parse_json_object(data, "body") == json.loads(data)
