"""The Linux calls that Python does not offer, by name, for 64-bit x86_64 and aarch64.

Everything here is the C library through ctypes: what shuts a key in must not need a package.
The numbers are those of the kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and of
`include/uapi/asm-generic/unistd.h`.
"""

import ctypes
import errno
import os
import sys
from typing import Final

libc: Final = ctypes.CDLL(None, use_errno=True)

MACHINE: Final = os.uname().machine if sys.maxsize > 2**32 else "a 32-bit process"
MACHINES: Final = ("x86_64", "aarch64")  # the columns of the table
NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "brk": (12, 214),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close": (3, 57),
    "dup": (32, 23),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fcntl": (72, 25),
    "fork": (57, None),
    "fstat": (5, 80),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getcwd": (79, 17),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpeername": (52, 205),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "ioctl": (16, 29),
    "kill": (62, 129),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "memfd_secret": (447, 447),
    "mlock": (149, 228),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "poll": (7, None),
    "ppoll": (271, 73),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "pselect6": (270, 72),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "select": (23, None),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "set_robust_list": (273, 99),
    "setitimer": (38, 103),
    "setrlimit": (160, 164),
    "shutdown": (48, 210),
    "sigaltstack": (131, 132),
    "socketpair": (53, 199),
    "timer_create": (222, 107),
    "timer_settime": (223, 110),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "write": (1, 64),
    "writev": (20, 66),
}


def failure() -> OSError:
    """The error of the C call that has just failed."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def number_of(name: str, machine: str = MACHINE) -> int | None:
    """The number of a call on this machine, None where the machine has no such call."""
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    return NUMBERS[name][MACHINES.index(machine)]


def syscall(name: str, *arguments: int) -> int:
    """Make a system call that the C library does not wrap; raises OSError if it fails."""
    number = number_of(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{MACHINE} has no {name}")
    result = int(libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))
    if result < 0:
        raise failure()
    return result


def prctl(option: int, value: int, detail: int = 0) -> None:
    """Set one attribute of this process (prctl(2)); raises OSError if it fails."""
    if libc.prctl(option, *map(ctypes.c_ulong, (value, detail, 0, 0))):
        raise failure()
