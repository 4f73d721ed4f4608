"""Overwriting what a secret left behind where no buffer can be wiped: registers and dead stack.

Nothing in Python promises any of this; the tests that scan a keyholder's memory are what it rests on.
"""

import ctypes
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodian.linux import MACHINE, libc

STACK_DEPTH: Final = 256 * 1024
"""Bytes of dead stack that are overwritten; a few calls deep, not a recursion, opens a key."""

_STACK_POINTER: Final = {"x86_64": 160, "aarch64": 432}  # its offset in ucontext_t
_CONTEXT_SIZE = 8192
_OWN_FRAMES = 512  # by which the calls of getcontext and memset may differ in depth


def scrub_registers() -> None:
    """Encrypt zeros, so that no vector register still holds a piece of the last AES key."""
    AESGCM(bytes(32)).encrypt(bytes(12), bytes(4096), None)


def scrub_stack() -> None:
    """Overwrite what earlier, deeper calls left below the stack pointer.

    Only in the main thread. Does nothing on machines whose stack pointer it cannot find.
    """
    if MACHINE in _STACK_POINTER:
        below = stack_pointer() - STACK_DEPTH
        libc.memset(ctypes.c_void_p(below), 0, ctypes.c_size_t(STACK_DEPTH - _OWN_FRAMES))


def stack_pointer() -> int:
    """Where the stack of a C function called from here would begin, within a few hundred bytes."""
    context = ctypes.create_string_buffer(_CONTEXT_SIZE)
    libc.getcontext(context)
    return ctypes.c_size_t.from_buffer(context, _STACK_POINTER[MACHINE]).value
