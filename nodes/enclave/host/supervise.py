"""What a host can know of a child from outside: its locks, and why it ended. Reads /proc, starts and kills nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from nodes.enclave.child.lockdown import NO_NEW_PRIVS, SECCOMP
from nodes.enclave.errors import EndReason
from nodes.enclave.frames import EXIT_MEMORY, EXIT_UNCAUGHT

NANOSECONDS: Final = 10**9
_SIGNALS: Final = {
    signal.SIGSYS: (EndReason.SYSCALL, "it made a forbidden system call"),
    signal.SIGXCPU: (EndReason.CPU, "it used up its processor time"),
}
_EXITS: Final = {
    EXIT_UNCAUGHT: (EndReason.CRASH, "an error inside that it did not expect"),
    EXIT_MEMORY: (EndReason.MEMORY, "it needed more memory than allowed"),
}


def timed_out(cpu_seconds: float, seconds: float) -> tuple[EndReason, str]:
    """Why a child did not answer for so long: it computed, or it could not, for its machine was asleep or busy."""
    if cpu_seconds >= seconds / 2:
        return EndReason.CPU, f"it computed for {cpu_seconds:.0f} s without an answer and was killed"
    text = f"it did not answer within {seconds:.0f} s, of which it could compute {cpu_seconds:.1f}, and was killed"
    return EndReason.TIMEOUT, text


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / NANOSECONDS
    except (OSError, ValueError, IndexError):
        return 0.0


def end_reason(status: int, *, out_of_memory_kills: int) -> tuple[EndReason, str]:
    """Why a child with this wait status ended, as a type and in words.

    `out_of_memory_kills` is how many processes the kernel killed for memory while the child lived.
    """
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and out_of_memory_kills > 0:
            return EndReason.MACHINE_MEMORY, "the kernel killed it because the machine ran out of memory"
        return _SIGNALS.get(signal.Signals(number), (EndReason.CRASH, f"signal {signal.Signals(number).name}"))
    code = os.WEXITSTATUS(status)
    return _EXITS.get(code, (EndReason.CRASH, f"exit status {code}"))


def failed_checks(pid: int, protections: tuple[str, ...]) -> tuple[str, ...]:
    """What the child claims and /proc does not confirm; empty when all is well.

    `Seccomp: 2` alone proves nothing, a container's children inherit it: a child must have more filters than its host.
    """
    child, own = _status(Path(f"/proc/{pid}/status")), _status(Path("/proc/self/status"))
    failed = []
    if child.get("Threads") != "1":
        failed.append("it has more than one thread")
    if NO_NEW_PRIVS in protections and child.get("NoNewPrivs") != "1":
        failed.append("no_new_privs is not set")
    if SECCOMP in protections and _filters(child) <= _filters(own):
        failed.append("it has no seccomp filter of its own")
    return tuple(failed)


def out_of_memory_kills() -> int:
    """How often the kernel killed for memory since it started, or 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _status(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _filters(status: dict[str, str]) -> int:
    return int(status.get("Seccomp_filters", "0"))
