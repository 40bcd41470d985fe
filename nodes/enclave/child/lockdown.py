"""Locks the calling process down, for good: after `lock_down` it can compute and talk over the descriptors it has.

The order is forced. Resource limits first, because seccomp forbids setting them. Not dumpable: no core file, no
ptrace by the same user. no_new_privs: what Landlock and seccomp demand of unprivileged processes. Landlock with no
rules: every access to files (and TCP) is denied, which a probe proves while `open` can still be called. No further
descriptors. Last, seccomp: whatever is not on the list kills the process. Landlock does not stop UDP, seccomp does;
seccomp does not see paths, Landlock does.

Fails closed: on a machine that lacks a part nothing is locked and the caller must not go on, unless it was told by name
to run unlocked; and even then a part that is there but does not work is an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from nodes.enclave.errors import EnclaveUnavailable

RLIMITS: Final = "rlimits"
NOT_DUMPABLE: Final = "not-dumpable"
NO_NEW_PRIVS: Final = "no-new-privs"
LANDLOCK: Final = "landlock"
NO_DESCRIPTORS: Final = "no-descriptors"
SECCOMP: Final = "seccomp"
ALL_PROTECTIONS: Final = (RLIMITS, NOT_DUMPABLE, NO_NEW_PRIVS, LANDLOCK, NO_DESCRIPTORS, SECCOMP)

ALLOWED_CALLS: Final = (
    "read",
    "write",
    "recvfrom",
    "sendto",
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "futex",
    "sched_yield",
    "getrandom",
    "clock_gettime",
    "rt_sigprocmask",
    "rt_sigreturn",
    "gettid",
    "getpid",
    "exit",
    "exit_group",
    "restart_syscall",
)
"""What NumPy, AES-GCM and GMP need, and clock_gettime to say what a batch cost: a thread's processor time is a system
call, unlike the time of day. mmap and mprotect are allowed apart, without PROT_EXEC, and tgkill at oneself."""

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PROT_EXEC = 4
_LANDLOCK_CREATE_RULESET = 444  # these two numbers are the same on every architecture
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_VERSION_QUERY = 1
_LANDLOCK_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # number of access bits by ABI version; from 5 on 16
_LANDLOCK_FS_RIGHTS_NEWEST = 16
_LANDLOCK_NET_ABI = 4
_LANDLOCK_NET_RIGHTS = 0b11  # bind and connect TCP
_LANDLOCK_SCOPE_ABI = 6
_LANDLOCK_SCOPES = 0b11  # abstract sockets, signals
_SECCOMP_API_KILL_PROCESS = 3  # libseccomp's name for a kernel that can kill a whole process


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory_bytes` is added to the address space in use when the lock closes; `cpu_seconds` counts from the start."""

    memory_bytes: int
    cpu_seconds: int


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def missing_parts() -> tuple[str, ...]:
    """What this machine lacks, in words; empty when a child can be locked down fully."""
    missing = []
    if _landlock_abi() < 1:
        missing.append(f"{LANDLOCK} (kernel 5.13 or later with the Landlock module)")
    if _seccomp_module() is None:
        missing.append(f"{SECCOMP} (libseccomp, and a kernel with seccomp filters)")
    return tuple(missing)


def lock_down(limits: Limits, *, allow_unlocked: bool = False) -> tuple[str, ...]:
    """Lock this process and return the names of the protections applied, `ALL_PROTECTIONS` when nothing is missing.

    Raises:
        EnclaveUnavailable: a part is missing and `allow_unlocked` is not set, or a part did not take effect.
    """
    missing = missing_parts()
    if missing and not allow_unlocked:
        raise EnclaveUnavailable(missing)
    seccomp = _seccomp_module()
    _limit_resources(limits)
    _prctl(_PR_SET_DUMPABLE, 0, NOT_DUMPABLE)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, NO_NEW_PRIVS)
    applied = [RLIMITS, NOT_DUMPABLE, NO_NEW_PRIVS]
    abi = _landlock_abi()
    if abi >= 1:
        _landlock(abi)
        _prove_no_files()
        applied.append(LANDLOCK)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    applied.append(NO_DESCRIPTORS)
    if seccomp is not None:
        _filter_calls(seccomp)
        applied.append(SECCOMP)
    return tuple(applied)


def _limit_resources(limits: Limits) -> None:
    address_space = _address_space_bytes() + limits.memory_bytes
    for what, soft, hard in (
        (resource.RLIMIT_AS, address_space, address_space),
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),  # SIGXCPU at the soft limit tells why
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
    ):
        most = resource.getrlimit(what)[1]
        if most == resource.RLIM_INFINITY:
            resource.setrlimit(what, (soft, hard))
        else:
            resource.setrlimit(what, (min(soft, most), min(hard, most)))


def _address_space_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _prctl(option: int, value: int, name: str) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise EnclaveUnavailable((f"{name} ({os.strerror(ctypes.get_errno())})",))


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _landlock_abi() -> int:
    """Version of the kernel's Landlock, or a number below 1 when there is none."""
    return int(
        _libc().syscall(
            ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_VERSION_QUERY)
        )
    )


def _landlock(abi: int) -> None:
    """Handle every kind of access this kernel knows and allow none of it anywhere."""
    rights = _LANDLOCK_FS_RIGHTS.get(abi, _LANDLOCK_FS_RIGHTS_NEWEST)
    net = _LANDLOCK_NET_RIGHTS if abi >= _LANDLOCK_NET_ABI else 0
    scopes = _LANDLOCK_SCOPES if abi >= _LANDLOCK_SCOPE_ABI else 0
    ruleset, libc = _Ruleset((1 << rights) - 1, net, scopes), _libc()
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))  # older kernels accept it longer as long as the rest is zero
    descriptor = int(
        libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), ctypes.byref(ruleset), size, ctypes.c_uint(0))
    )
    if descriptor < 0:
        raise EnclaveUnavailable((f"{LANDLOCK} ({os.strerror(ctypes.get_errno())})",))
    try:
        if libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(descriptor), ctypes.c_uint(0)) != 0:
            raise EnclaveUnavailable((f"{LANDLOCK} ({os.strerror(ctypes.get_errno())})",))
    finally:
        os.close(descriptor)


def _prove_no_files() -> None:
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
    except OSError as error:
        if error.errno == errno.EACCES:
            return
        raise EnclaveUnavailable((f"{LANDLOCK} (its proof failed: {error.strerror})",)) from None
    raise EnclaveUnavailable((f"{LANDLOCK} (in force, yet files can be opened)",))


def _seccomp_module() -> ModuleType | None:
    """`pyseccomp`, when libseccomp is installed and the kernel can kill a process by filter."""
    try:
        import pyseccomp  # noqa: PLC0415 - raises where libseccomp is not installed
    except (ImportError, OSError, RuntimeError):
        return None
    return pyseccomp if pyseccomp.get_api() >= _SECCOMP_API_KILL_PROCESS else None


def _filter_calls(seccomp: ModuleType) -> None:
    rules = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    for name in ALLOWED_CALLS:
        rules.add_rule(seccomp.ALLOW, name)
    not_executable = seccomp.Arg(2, seccomp.MASKED_EQ, _PROT_EXEC, 0)
    for name in ("mmap", "mprotect"):
        rules.add_rule(seccomp.ALLOW, name, not_executable)
    rules.add_rule(seccomp.ALLOW, "tgkill", seccomp.Arg(0, seccomp.EQ, os.getpid()))
    rules.load()
