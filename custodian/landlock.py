"""Landlock with nothing allowed: the process keeps what it has open and opens nothing more.

Source: landlock(7), `include/uapi/linux/landlock.h`.
"""

import ctypes
import os
import struct
from typing import Final

from custodian.linux import syscall

FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many file rights the kernel knows, by the version of landlock that brought the last one."""
TCP: Final = 0b11  # bind, connect
SCOPES: Final = 0b11  # abstract Unix sockets, signals
TCP_SINCE, SCOPES_SINCE = 4, 6

_ASK_VERSION = 1


def version() -> int:
    """The kernel's version of landlock; raises OSError without landlock."""
    return syscall("landlock_create_ruleset", 0, 0, _ASK_VERSION)


def handled(known: int) -> tuple[int, ...]:
    """The words of `struct landlock_ruleset_attr` for a version: all rights it can take away."""
    files = (1 << max(count for since, count in FILE_RIGHTS.items() if since <= known)) - 1
    if known < TCP_SINCE:
        return (files,)
    return (files, TCP) if known < SCOPES_SINCE else (files, TCP, SCOPES)


def restrict() -> str:
    """Take every right away, for good, and say which; raises OSError if the kernel refuses.

    The process must have given up new privileges before, or be root.
    """
    known = version()
    words = handled(known)
    rules = ctypes.create_string_buffer(struct.pack(f"={len(words)}Q", *words))
    ruleset = syscall("landlock_create_ruleset", ctypes.addressof(rules), 8 * len(words), 0)
    try:
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    what = ("files", "TCP", "signals and abstract sockets")[: len(words)]
    return f"version {known}: closed to {', '.join(what)}"
