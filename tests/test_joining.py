import pytest
from Crypto.Protocol.SecretSharing import Shamir, _Element
from examples import subsets
from hypothesis import given
from hypothesis import strategies as st

from custodian.joining import interpolate

VALUES = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize(("needed", "members"), [(2, 2), (2, 3), (3, 5), (4, 4), (2, 255)])
def test_what_pycryptodome_splits_is_joined(needed, members):
    secret = bytes(range(16))
    points = dict(Shamir.split(needed, members, secret)[-needed:])
    assert interpolate(points) == secret


@given(st.dictionaries(st.integers(1, 255), VALUES, min_size=1, max_size=6))
def test_it_agrees_with_pycryptodome_on_any_points(points):
    assert interpolate(points) == Shamir.combine(list(points.items()))


def test_every_subset_large_enough_joins_and_none_below_does():
    secret = bytes(range(16))
    points = dict(Shamir.split(3, 5, secret))
    for indices in subsets(list(points)):
        if indices:
            joined = interpolate({index: points[index] for index in indices})
            assert (joined == secret) is (len(indices) >= 3)


def test_one_point_is_the_constant_polynomial():
    assert interpolate({7: b"0123456789abcdef"}) == b"0123456789abcdef"


@pytest.mark.parametrize(
    "points",
    [
        {},
        {0: bytes(16)},
        {256: bytes(16)},
        {-1: bytes(16), 1: bytes(16)},
        {1: bytes(15)},
        {1: bytes(16), 2: bytes(17)},
    ],
)
def test_what_pycryptodome_would_join_in_silence_is_a_bug_here(points):
    with pytest.raises(ValueError, match="points need"):
        interpolate(points)


def test_the_field_is_pycryptodomes():
    left, right = _Element(bytes(range(16))), _Element(bytes(range(16, 32)))
    line = {1: (left + right).encode(), 2: (left + right * _Element(2)).encode()}
    assert interpolate(line) == left.encode()
