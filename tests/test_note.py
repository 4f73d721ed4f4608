"""Notes: what one key signed, opened by whoever knows that key, in exactly one spelling."""

import hashlib

import pytest

from custodian.errors import CustodianError, FormatError, Untrusted
from custodian.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    SigningKey,
    VerifyKey,
    open_note,
    parse_signing_key,
    parse_verify_key,
    sign_note,
)

LOG = SigningKey.from_seed("custodian.example/history", bytes(range(32)))
WITNESS = SigningKey.from_seed("signer.example", bytes(range(1, 33)))
NAMESAKE = SigningKey.from_seed(LOG.name, bytes(32))
TEXT = "first line\n\nlast line, with a — dash\n"
NOTE = sign_note(TEXT, LOG)
COSIGNED = sign_note(TEXT, LOG, WITNESS)


def refused(data: bytes) -> bool:
    try:
        open_note(data, [LOG.verify_key])
    except CustodianError:
        return True
    return False


def test_a_signed_note_opens_with_the_key_that_signed_it():
    note = open_note(NOTE, [LOG.verify_key])
    assert note.text == TEXT
    assert note.signed_by == {LOG.verify_key}


def test_the_note_names_each_known_key_that_signed():
    known = [LOG.verify_key, WITNESS.verify_key, NAMESAKE.verify_key]
    assert open_note(COSIGNED, known).signed_by == {LOG.verify_key, WITNESS.verify_key}


def test_a_signature_of_an_unknown_key_is_skipped():
    assert open_note(COSIGNED, [LOG.verify_key]).signed_by == {LOG.verify_key}
    assert open_note(COSIGNED, [WITNESS.verify_key]).signed_by == {WITNESS.verify_key}


def test_a_key_of_the_same_name_is_still_an_unknown_key():
    with pytest.raises(Untrusted, match="not signed by a key of"):
        open_note(NOTE, [NAMESAKE.verify_key])


def test_a_note_that_no_known_key_signed_is_refused():
    for known in ([], [WITNESS.verify_key]):
        with pytest.raises(Untrusted):
            open_note(NOTE, known)


def test_a_known_key_whose_signature_fails_refuses_the_whole_note():
    other = sign_note("other text\n", WITNESS).splitlines(keepends=True)[-1]
    assert open_note(NOTE + other, [LOG.verify_key])
    with pytest.raises(Untrusted, match="does not fit"):
        open_note(NOTE + other, [LOG.verify_key, WITNESS.verify_key])


def test_a_second_signature_of_a_known_key_is_checked_too():
    good = NOTE.splitlines(keepends=True)[-1]
    bad = sign_note("other text\n", LOG).splitlines(keepends=True)[-1]
    assert open_note(NOTE + good, [LOG.verify_key]).signed_by == {LOG.verify_key}
    with pytest.raises(Untrusted):
        open_note(NOTE + bad, [LOG.verify_key])


def test_every_bit_of_a_note_counts():
    for at in range(len(NOTE) * 8):
        changed = bytearray(NOTE)
        changed[at // 8] ^= 1 << at % 8
        assert refused(bytes(changed)), at


def test_every_truncation_of_a_note_is_refused():
    assert all(refused(NOTE[:length]) for length in range(len(NOTE)))
    assert all(refused(NOTE[length:]) for length in range(1, len(NOTE)))


def test_nothing_may_be_added_to_a_note_but_signatures():
    for added in (b"\n", b" ", b"x\n", b"\r\n", b"\x00", b"\n\n"):
        assert refused(NOTE + added)
        assert refused(added + NOTE)


@pytest.mark.parametrize("character", ["\0", "\t", "\r", "\x1f"])
def test_control_characters_are_refused_in_text_and_names(character):
    with pytest.raises(ValueError, match="control characters"):
        sign_note(f"a{character}b\n", LOG)
    body = f"a{character}b\n".encode()
    signature = sign_note("x\n", LOG).splitlines(keepends=True)[-1]
    with pytest.raises(FormatError, match="control characters"):
        open_note(body + b"\n" + signature, [LOG.verify_key])
    with pytest.raises(FormatError):
        SigningKey.from_seed(f"a{character}b", bytes(32))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2003b", "a\u2028b"])
def test_a_key_name_has_no_spaces_and_no_plus(name):
    with pytest.raises(FormatError, match="key name"):
        SigningKey.from_seed(name, bytes(32))
    line = f"— {name} {'A' * 92}\n".encode()
    assert refused(NOTE + line)


def test_a_note_may_have_as_many_signatures_as_the_limit_and_no_more():
    line = sign_note(TEXT, WITNESS).splitlines(keepends=True)[-1]
    full = NOTE + line * (MAX_SIGNATURES - 1)
    assert open_note(full, [LOG.verify_key])
    with pytest.raises(FormatError, match="signatures"):
        open_note(full + line, [LOG.verify_key])


def test_a_note_may_be_as_long_as_the_limit_and_no_longer():
    rest = len(sign_note("\n", LOG)) - 1
    longest = sign_note("x" * (MAX_NOTE_BYTES - rest - 1) + "\n", LOG)
    assert len(longest) == MAX_NOTE_BYTES
    assert open_note(longest, [LOG.verify_key])
    with pytest.raises(FormatError, match="longer"):
        open_note(sign_note("x" * (MAX_NOTE_BYTES - rest) + "\n", LOG), [LOG.verify_key])


def test_only_whole_lines_are_signed():
    with pytest.raises(ValueError, match="lines"):
        sign_note("no newline", LOG)


def test_the_key_id_is_made_from_name_type_and_key():
    named = b"custodian.example/history\n\x01" + LOG.verify_key.public
    assert LOG.verify_key.key_id == hashlib.sha256(named).digest()[:4]


def test_a_verify_key_is_read_back_from_its_text():
    assert parse_verify_key(str(LOG.verify_key)) == LOG.verify_key


def test_a_signing_key_is_read_back_from_its_line_and_signs_the_same():
    again = parse_signing_key(LOG.format_private())
    assert again.verify_key == LOG.verify_key
    assert sign_note(TEXT, again) == NOTE


def test_every_character_of_a_key_counts():
    for text, parse in (
        (str(LOG.verify_key), parse_verify_key),
        (LOG.format_private(), parse_signing_key),
    ):
        for at in range(len(text)):
            for other in {"A", "0", "f", "+", " ", "\n"} - {text[at]}:
                with pytest.raises(FormatError):
                    parse(text[:at] + other + text[at + 1 :])
            with pytest.raises(FormatError):
                parse(text[:at])


def test_a_signing_key_shows_its_private_part_in_one_place_only():
    secret = LOG.format_private().rpartition("+")[2]
    for shown in (repr(LOG), str(LOG), f"{LOG}", repr([LOG]), repr(open_note(NOTE, [LOG.verify_key]))):
        assert secret not in shown
        assert "private" not in shown
        assert str(bytes(range(32))) not in shown


def test_an_error_about_a_signing_key_repeats_none_of_it():
    line = LOG.format_private()
    secret = line.rpartition("+")[2]
    for broken in (line[:-1], line + "\n", line.replace("+436f", "+436e"), line[1:], secret):
        with pytest.raises(FormatError) as caught:
            parse_signing_key(broken)
        assert secret[:12] not in f"{caught.value} {caught.value.members}"
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_public_key_that_is_no_curve_point_verifies_nothing():
    nowhere = VerifyKey(LOG.name, b"\xff" * 32)
    with pytest.raises(Untrusted):
        nowhere.verify(TEXT.encode(), LOG.sign(TEXT.encode()))
