"""Shamir's interpolation at 0 over GF(2^128), without ever making an integer out of a secret.

The field and its encoding are PyCryptodome's (x^128 + x^7 + x^2 + x + 1, big endian, index 1 to 255),
which splits; its `combine` leaves the digits of the shares in Python's integers, where no one can wipe
them. The Lagrange coefficients at 0 depend on the public indices only,

    l_i = product over j != i of  x_j / (x_j + x_i)

so the one step that touches a secret is `share * l_i`, done bit by bit into a buffer of bytes.
"""

from collections.abc import Iterator, Mapping

POLYNOMIAL = (1 << 128) | 0b10000111
SIZE = 16


def interpolate(points: Mapping[int, bytes | bytearray]) -> bytearray:
    """Return the 16 bytes at 0 of the polynomial through `points`, index to 16-byte value.

    Raises:
        ValueError: no points, an index outside 1..255 or a value that is not 16 bytes: a bug.
    """
    if not points or not all(0 < index < 256 for index in points):
        raise ValueError("points need indices from 1 to 255")
    if any(len(value) != SIZE for value in points.values()):
        raise ValueError("points need values of 16 bytes")
    secret = bytearray(SIZE)
    for index, value in points.items():
        _add_multiple(secret, value, _coefficient(index, points))
    return secret


def _coefficient(index: int, indices: Mapping[int, object]) -> int:
    top = bottom = 1
    for other in indices:
        if other != index:
            top = _multiply(top, other)
            bottom = _multiply(bottom, other ^ index)
    return _multiply(top, _inverse(bottom))


def _add_multiple(total: bytearray, secret: bytes | bytearray, public: int) -> None:
    """Add `secret * public` to `total`; only single bytes of the secret become integers."""
    for byte in range(SIZE):
        for bit, multiple in enumerate(_doublings(public, 8 * (SIZE - 1 - byte), 8)):
            mask = -(secret[byte] >> bit & 1) & 0xFF
            for position, term in enumerate(multiple.to_bytes(SIZE, "big")):
                total[position] ^= term & mask


def _doublings(element: int, skip: int, count: int) -> Iterator[int]:
    for step in range(skip + count):
        if step >= skip:
            yield element
        element <<= 1
        if element >> 128:
            element ^= POLYNOMIAL


def _multiply(left: int, right: int) -> int:
    product = 0
    for multiple in _doublings(left, 0, 128):
        if right & 1:
            product ^= multiple
        right >>= 1
    return product


def _inverse(element: int) -> int:
    """Return 1 / element by Euclid's algorithm on polynomials over GF(2)."""
    high, low = POLYNOMIAL, element
    high_factor, low_factor = 0, 1
    while low != 1:
        shift = high.bit_length() - low.bit_length()
        if shift < 0:
            high, low, high_factor, low_factor = low, high, low_factor, high_factor
        else:
            high ^= low << shift
            high_factor ^= low_factor << shift
    return low_factor
