"""Which system calls a keyholder and its broker may still make, as seccomp filters.

A filter is a list of names, not of dangers: what is not named kills the process. A few calls that
Python makes on its own account (looking for a source line to print, asking for more memory) are
refused with an error instead, so that it carries on or reports as it would anywhere.
Source: seccomp(2), `linux/filter.h`, `linux/audit.h`.
"""

import ctypes
import errno
import struct
from collections.abc import Mapping
from typing import Final

from custodian.linux import MACHINE, number_of, prctl


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYHOLDER: Final = _names(
    # talk on the sockets it was born with
    "read readv recvfrom recvmsg write writev sendto sendmsg shutdown close fstat "
    "getsockname getpeername getsockopt poll ppoll select pselect6 "
    "epoll_ctl epoll_wait epoll_pwait "
    # give memory back, wait, ask the time, draw random numbers
    "munmap madvise brk futex sched_yield restart_syscall getrandom "
    "clock_gettime clock_nanosleep nanosleep rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack "
    # know itself, set the end of its life, end
    "getpid gettid getppid getuid geteuid getgid getegid "
    "timer_create timer_settime setitimer exit exit_group"
)
OPENER: Final = KEYHOLDER | _names("mmap mremap mprotect clone set_robust_list rseq")
"""The memory and the threads of Argon2id, whose lanes are computed side by side."""
BROKER: Final = KEYHOLDER | _names(
    # make keyholders, watch and kill them, hand sockets over
    "clone fork set_robust_list rseq wait4 waitid kill pidfd_open pidfd_send_signal "
    "socketpair fcntl dup epoll_create1 mmap mremap mprotect "
    # what a keyholder needs until it has shut itself in
    "prctl setrlimit prlimit64 memfd_secret ftruncate mlock "
    "landlock_create_ruleset landlock_restrict_self"
)
BROKER_REFUSED: Final[dict[str, int]] = dict.fromkeys(
    _names("openat newfstatat readlink readlinkat getcwd lseek"), errno.EACCES
)
OPENER_REFUSED: Final[dict[str, int]] = BROKER_REFUSED | {"clone3": errno.ENOSYS}
"""The C library then makes threads by clone."""
KEYHOLDER_REFUSED: Final[dict[str, int]] = BROKER_REFUSED | dict.fromkeys(
    _names("mmap mremap mprotect"), errno.ENOMEM
)

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_ALLOW, _REFUSE, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_FIONBIO: Final = 0x5421
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


def program(
    allowed: frozenset[str], refused: Mapping[str, int], machine: str = MACHINE
) -> list[tuple[int, int, int, int]]:
    """The filter as classic BPF: (code, jump if true, jump if false, operand) for each step.

    What it reads is `struct seccomp_data`: the call's number at 0, the machine at 4, the low half
    of the second argument at 24. ioctl is let through to give a socket a timeout, else refused.
    Raises OSError for a machine whose numbers are not known.
    """
    verdicts = {name: _REFUSE | number for name, number in refused.items()}
    verdicts |= dict.fromkeys(sorted(allowed), _ALLOW)
    numbered = {number_of(name, machine): verdict for name, verdict in verdicts.items()}
    kill = (_RETURN, 0, 0, _KILL_PROCESS)
    steps = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCH[machine]), kill, (_LOAD, 0, 0, 0)]
    ioctl = number_of("ioctl", machine) or 0
    steps += [(_JUMP_IF_EQUAL, 0, 4, ioctl), (_LOAD, 0, 0, 24), (_JUMP_IF_EQUAL, 0, 1, _FIONBIO)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE | errno.EACCES)]
    for number, verdict in numbered.items():
        if number is not None:
            steps += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, verdict)]
    return [*steps, kill]


def restrict(allowed: frozenset[str], refused: Mapping[str, int]) -> None:
    """Put the filter on this process and its descendants for good; raises OSError if refused.

    The process must have given up new privileges before, or be root.
    """
    steps = program(allowed, refused)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))
