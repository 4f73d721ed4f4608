"""Shutting a process in, so that what happens inside stays inside.

A keyholder is shut in before any secret enters it, its broker before it makes a recipient key.
Every measure says whether it took. None raises: a kernel without one of them is told about, and
whoever starts the process decides whether the rest is enough.
"""

import ctypes
import errno
import os
import resource
import signal
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from custodian import landlock, seccomp, secretheap
from custodian.linux import prctl, syscall

ORPHAN: Final = 70
"""Exit status of a process that found its parent gone."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SIGEV_SIGNAL, _TIMER_ABSTIME = 0, 1


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, whether it took, and what there is to know about it."""

    name: str
    taken: bool
    note: str


def shut_in(parent_pid: int, *, secret_memory: bool = True) -> tuple[Measure, ...]:
    """Shut in a forked keyholder.

    Afterwards it can use its open sockets, compute and end, in the memory it has and no more.
    Its parent must have asked for `secretheap.heap_start()` while it could see /proc.
    `secret_memory=False` is for the test that shows what a memory scan finds without it.
    """
    calls, refused = seccomp.KEYHOLDER, seccomp.KEYHOLDER_REFUSED
    return (
        *_common(parent_pid),
        _take("heap in one piece", heap_in_one_piece),
        _take("secret memory", secret_heap if secret_memory else switched_off),
        _take("no new memory", no_new_memory),
        _take("landlock", landlock.restrict),
        _take("seccomp", lambda: allow_only(calls, refused)),
    )


def shut_in_broker(parent_pid: int) -> tuple[Measure, ...]:
    """Shut in a broker, which must still fork keyholders, kill them and hand sockets over.

    Afterwards it opens no file and no connection, so import everything before.
    """
    return (
        *_common(parent_pid),
        _take("heap found", lambda: f"at {secretheap.heap_start():#x}"),
        _take("landlock", landlock.restrict),
        _take("seccomp", lambda: allow_only(seccomp.BROKER, seccomp.BROKER_REFUSED)),
    )


def shut_in_opener(parent_pid: int) -> tuple[Measure, ...]:
    """Shut in a forked opener, which works on one password.

    Afterwards it can use its open sockets, compute and end. Argon2id takes as much memory as the
    owner's slot says, so its memory can grow.
    """
    return (
        *_common(parent_pid),
        _take("landlock", landlock.restrict),
        _take("seccomp", lambda: allow_only(seccomp.OPENER, seccomp.OPENER_REFUSED)),
    )


def shut_in_front(parent_pid: int, readable: Iterable[Path]) -> tuple[Measure, ...]:
    """Shut in a process that reads what strangers send and needs no file but its program."""
    return (
        *(measure for measure in _common(parent_pid) if measure.name != "bound at start"),
        _take("landlock", lambda: landlock.restrict(readable)),
    )


def shut_in_daemon() -> tuple[Measure, ...]:
    """Keep the memory of a process that holds no key, but sees passwords, to itself."""
    return (_take("no core dump", no_core_dump), _take("not dumpable", not_dumpable))


def end_at(instant: float) -> Measure:
    """Have the kernel kill this process at an instant of CLOCK_BOOTTIME, in seconds.

    That clock counts while the machine sleeps, SIGKILL cannot be blocked, and no Python runs.
    Where the kernel refuses: SIGALRM after the time that is left, which stands still with the
    machine.
    """
    name = "end by kernel timer"
    measure = _take(name, lambda: kill_at(instant))
    return measure if measure.taken else _take(name, lambda: alarm_at(instant))


def _common(parent_pid: int) -> tuple[Measure, ...]:
    return (
        _take("dies with its parent", lambda: die_with(parent_pid)),
        _take("no core dump", no_core_dump),
        _take("not dumpable", not_dumpable),
        _take("no new privileges", no_new_privileges),
        _take("bound at start", bound_at_start),
    )


def _take(name: str, act: Callable[[], str]) -> Measure:
    try:
        return Measure(name, taken=True, note=act())
    except Exception as error:  # whatever went wrong, it is said and the next measure is tried
        reason = error.strerror if isinstance(error, OSError) else None
        return Measure(name, taken=False, note=reason or f"{type(error).__name__}: {error}")


# The measures. Each returns what there is to know about it, or raises OSError.


def die_with(parent_pid: int) -> str:
    """SIGKILL when the *thread* that made this process ends, so fork from the main thread.

    A process that has lost its parent already ends here. exec undoes it.
    """
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(ORPHAN)
    return f"killed when process {parent_pid} ends"


def no_core_dump() -> str:
    """No room for a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return "core files have no room"


def not_dumpable() -> str:
    """No debugger and no /proc/PID/mem for the same user, no core by pipe. Root is not stopped."""
    prctl(_PR_SET_DUMPABLE, 0)
    return "closed to debuggers of the same user"


def no_new_privileges() -> str:
    """Nothing that is executed raises rights; landlock and seccomp ask for it."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return "rights can only shrink"


def bound_at_start() -> str:
    """Was every function bound when the program started?

    Binding at the first call saves the vector registers on the stack, a key in use among them.
    """
    if not os.environ.get("LD_BIND_NOW"):
        raise OSError(errno.EINVAL, "start it with LD_BIND_NOW=1, or keys may show on the stack")
    return "LD_BIND_NOW is set"


def heap_in_one_piece() -> str:
    """All memory of the C library in the one heap, with head room."""
    secretheap.prepare()
    return f"{secretheap.HEAD_ROOM // 2**20} MiB head room, freed blocks are overwritten"


def secret_heap() -> str:
    """The heap in memory that is out of reach for everybody else; else at least never swapped."""
    try:
        size = secretheap.move_heap()
    except OSError as error:
        raise OSError(error.errno, f"{_why_not_secret(error)}; {_lock_instead()}") from None
    return f"{size / 2**20:.1f} MiB that nobody else can read, root included"


def _why_not_secret(error: OSError) -> str:
    if error.errno == errno.ENOSYS:
        return "this kernel has no memfd_secret (boot with secretmem.enable=1 or use a newer one)"
    if error.errno == errno.EAGAIN:
        return "the heap is larger than RLIMIT_MEMLOCK allows (LimitMEMLOCK=64M)"
    return error.strerror or str(error)


def _lock_instead() -> str:
    try:
        secretheap.lock_heap()
    except OSError as error:
        return f"nor can it be kept out of swap: {error.strerror}"
    return "kept out of swap instead, but root can read it"


def switched_off() -> str:
    """The heap stays where root can read it."""
    raise OSError(errno.ECANCELED, "switched off by who started this process")


def no_new_memory() -> str:
    """Only the heap as it is: what does not fit fails instead of lying in ordinary memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (0, 0))
    return "the heap cannot grow"


def allow_only(calls: frozenset[str], refused: Mapping[str, int]) -> str:
    """Any other system call than these kills the process; a few are refused with an error."""
    seccomp.restrict(calls, refused)
    return f"{len(calls)} system calls are left"


def kill_at(instant: float) -> str:
    """SIGKILL by a timer of CLOCK_BOOTTIME; source: timer_create(2), `struct sigevent`."""
    event = ctypes.create_string_buffer(struct.pack("@Pii48x", 0, signal.SIGKILL, _SIGEV_SIGNAL))
    timer = ctypes.c_int()
    addresses = ctypes.addressof(event), ctypes.addressof(timer)
    syscall("timer_create", time.CLOCK_BOOTTIME, *addresses)
    seconds, nanoseconds = divmod(max(1, int(instant * 1e9)), 10**9)
    end = ctypes.create_string_buffer(struct.pack("@4q", 0, 0, seconds, nanoseconds))
    syscall("timer_settime", timer.value, _TIMER_ABSTIME, ctypes.addressof(end), 0)
    return f"killed at {instant:.3f} s after boot"


def alarm_at(instant: float) -> str:
    """SIGALRM with its default action, which ends the process."""
    left = instant - time.clock_gettime(time.CLOCK_BOOTTIME)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6))
    return f"ends in {left:.3f} s by SIGALRM, which does not count time asleep"
