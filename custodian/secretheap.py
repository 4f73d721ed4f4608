"""The heap of a keyholder in memory that nobody else can read.

OpenSSL copies every private key to the C heap and offers no other place. So the heap itself moves:
its pages are copied into a `memfd_secret`, which the kernel takes out of its own map, and that is
mapped where the heap was. Root reading /proc/PID/mem, a debugger, a core file, swap: all find
nothing. The memory is shared across fork, so the move belongs in the process that will hold the key.

Ask `heap_start()` before the process or its parent loses sight of /proc.
Source: memfd_secret(2), mallopt(3), makecontext(3), `mm/secretmem.c`.
"""

import ctypes
import errno
import functools
import mmap
import os
import struct
from pathlib import Path
from typing import Any, Final

from custodian.linux import failure, libc, syscall

HEAD_ROOM: Final = 2 * 2**20
"""Bytes of heap a key, its use and the messages about it may need after the move."""

_TRIM_THRESHOLD, _MMAP_MAX, _PERTURB, _ARENA_MAX = -1, -4, -6, -8
_NEVER = -1
_WIPE_BYTE = 0xFF
_MAP_FAILED = ctypes.c_void_p(-1).value
_MAYMOVE_FIXED = 1 | 2
_MADV_NORMAL = 0
_LINK_AND_STACK = 8  # where uc_link and uc_stack are in ucontext_t, on both machines
_CONTEXT_SIZE, _CONTEXT_ROOM = 8 * 1024, 64 * 1024  # the structure; the same with its stack
_address, _size = ctypes.c_void_p, ctypes.c_size_t

libc.sbrk.restype = libc.malloc.restype = libc.mmap.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = (_size,), (_address,)


@functools.cache
def heap_start() -> int:
    """The first address of the C heap; it never changes, not by fork either.

    Raises OSError if this process has no heap that can be seen.
    """
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        if line.endswith(b"[heap]"):
            return int(line.partition(b"-")[0], 16)
    raise OSError(errno.ENXIO, "this process has no heap of its own")


def prepare() -> None:
    """Keep the C heap in one piece, with head room, and have it overwrite what it frees.

    Blocks of up to 1 KiB are not overwritten while they wait in the C library's cache.
    Raises OSError where the C library has no such settings (musl).
    """
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _ARENA_MAX: 1, _PERTURB: _WIPE_BYTE}
    if not hasattr(libc, "mallopt") or not all(libc.mallopt(*pair) for pair in settings.items()):
        raise OSError(errno.ENOSYS, "this C library cannot keep its heap in one piece")
    room = libc.malloc(HEAD_ROOM)
    if not room:
        raise OSError(errno.ENOMEM, "no head room for the heap")
    libc.free(room)


def move_heap() -> int:
    """Move the prepared heap into secret memory and return its size in bytes.

    Only in a process of one thread, such as a forked child. Raises OSError, with the heap
    unmoved, if the kernel or a limit does not allow it.
    """
    start, size = _extent()
    copy = _secret_mapping(size)
    _copy_and_replace(start, copy, size)
    if libc.madvise(_address(copy), _size(size), _MADV_NORMAL) == 0:  # the copy has not moved
        libc.munmap(_address(copy), _size(size))
        raise OSError(errno.ENOMEM, "the heap could not be replaced")
    return size


def lock_heap() -> None:
    """Keep the heap out of swap where it cannot be secret; raises OSError beyond the limit."""
    if libc.mlock(*map(_address, _extent())):
        raise failure()


def _extent() -> tuple[int, int]:
    start = heap_start()
    size = int(libc.sbrk(ctypes.c_long(0))) - start
    return start, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _secret_mapping(size: int) -> int:
    secret = syscall("memfd_secret", os.O_CLOEXEC)
    try:
        os.ftruncate(secret, size)
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        address = libc.mmap(None, _size(size), protection, mmap.MAP_SHARED, secret, ctypes.c_long(0))
    finally:
        os.close(secret)
    if address == _MAP_FAILED:
        raise failure()
    return int(address)


def _copy_and_replace(start: int, copy: int, size: int) -> None:
    """memmove(copy, start, size), then mremap(copy to start), with nothing in between.

    Python between the two would lose what it changed in the heap after the copy, if only the
    books of its allocator (seen: a crash in 1 of 350). So the C library runs both as one call:
    two contexts, makecontext(3), each linked to the next, on memory that is not the heap.
    """
    room = mmap.mmap(-1, 3 * _CONTEXT_ROOM)
    base = ctypes.addressof(ctypes.c_char.from_buffer(room))
    here, copying, replacing = (base + n * _CONTEXT_ROOM for n in range(3))
    arguments = [_address(copy), _address(start), _size(size)]
    _context(copying, replacing, libc.memmove, arguments)
    arguments = [_address(copy), _size(size), _size(size), _size(_MAYMOVE_FIXED), _address(start)]
    _context(replacing, here, libc.mremap, arguments)
    libc.swapcontext(_address(here), _address(copying))


def _context(at: int, then: int, function: Any, arguments: list[Any]) -> None:
    """Make a context that calls a function and goes on with the context `then`."""
    libc.getcontext(_address(at))
    link_and_stack = (then, at + _CONTEXT_SIZE, 0, _CONTEXT_ROOM - _CONTEXT_SIZE)
    ctypes.memmove(at + _LINK_AND_STACK, struct.pack("=4Q", *link_and_stack), 32)
    libc.makecontext(_address(at), function, len(arguments), *arguments)
