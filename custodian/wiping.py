"""Overwrite a secret where it lies. CPython only: it reaches behind `bytes`, which cannot change."""

import ctypes


def wipe(buffer: bytes | bytearray) -> None:
    """Set every byte of `buffer` to 0.

    `bytes` shorter than two are shared by the whole interpreter and are left alone.
    """
    if isinstance(buffer, bytearray):
        buffer[:] = bytes(len(buffer))
    elif len(buffer) > 1:
        ctypes.memset(id(buffer) + bytes.__basicsize__ - 1, 0, len(buffer))
