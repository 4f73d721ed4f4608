"""The check words: none is mistaken for another, and each byte has its own."""

import re

from custodian.checkwords import WORDS, check_words


def test_there_is_a_word_for_each_byte_and_it_is_short():
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(re.fullmatch("[a-z]{3,7}", word) for word in WORDS)


def test_no_two_words_begin_alike():
    assert len({word[:3] for word in WORDS}) == 256


def test_bytes_become_words_in_their_order():
    assert check_words(b"\x00\xff\x01\x00") == (WORDS[0], WORDS[255], WORDS[1], WORDS[0])
