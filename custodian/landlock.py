"""Landlock: the process keeps what it has open and opens nothing more, or reads some directories only.

Source: landlock(7), `include/uapi/linux/landlock.h`.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from custodian.linux import syscall

FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many file rights the kernel knows, by the version of landlock that brought the last one."""
TCP: Final = 0b11  # bind, connect
SCOPES: Final = 0b11  # abstract Unix sockets, signals
TCP_SINCE, SCOPES_SINCE = 4, 6

_ASK_VERSION = 1
_PATH_BENEATH = 1
_READ = 0b1101  # execute, which mapping a library is; read files; list directories


def version() -> int:
    """The kernel's version of landlock; raises OSError without landlock."""
    return syscall("landlock_create_ruleset", 0, 0, _ASK_VERSION)


def handled(known: int) -> tuple[int, ...]:
    """The words of `struct landlock_ruleset_attr` for a version: all rights it can take away."""
    files = (1 << max(count for since, count in FILE_RIGHTS.items() if since <= known)) - 1
    if known < TCP_SINCE:
        return (files,)
    return (files, TCP) if known < SCOPES_SINCE else (files, TCP, SCOPES)


def restrict(readable: Iterable[Path] = ()) -> str:
    """Take every right away, for good, but to read below `readable`; say which.

    Raises OSError if the kernel refuses. The process must have given up new privileges before, or be
    root.
    """
    known = version()
    words = handled(known)
    rules = ctypes.create_string_buffer(struct.pack(f"={len(words)}Q", *words))
    ruleset = syscall("landlock_create_ruleset", ctypes.addressof(rules), 8 * len(words), 0)
    try:
        for directory in readable:
            _let_read(ruleset, directory)
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    what = ("files", "TCP", "signals and abstract sockets")[: len(words)]
    return f"version {known}: closed to {', '.join(what)}"


def _let_read(ruleset: int, directory: Path) -> None:
    """Add a rule: `struct landlock_path_beneath_attr` is the rights and an open directory."""
    opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        beneath = ctypes.create_string_buffer(struct.pack("=Qi", _READ, opened))
        syscall("landlock_add_rule", ruleset, _PATH_BENEATH, ctypes.addressof(beneath), 0)
    finally:
        os.close(opened)
