"""The lock itself: real processes lock themselves down and try to get out. Each attempt must end by SIGSYS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nodes.enclave.attestation.measure import code_root
from nodes.enclave.child.lockdown import ALL_PROTECTIONS, missing_parts

LOCKED = """
import ctypes, mmap, os, resource, signal, socket, sys, threading, time
import pyseccomp
from nodes.enclave.child.lockdown import Limits, lock_down
spare = socket.socketpair()[0]
libc = ctypes.CDLL(None)
{before}
applied = lock_down(Limits(memory_bytes=64 * 1024**2, cpu_seconds=1){options})
os.write(1, (",".join(applied) + "\\n").encode())
{attempt}
os.write(1, b"still here")
os._exit(0)
"""

ESCAPES = {
    "open a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "look at a file": "os.stat('/')",
    "list a folder": "os.listdir('/')",
    "make a TCP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "make a UDP socket": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "connect a socket it has": "spare.connect('/tmp/x')",
    "pass a descriptor": "socket.send_fds(spare, [b'x'], [1])",
    "fork": "os.fork()",
    "start a thread": "threading.Thread(target=time.time).start()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "kill another process": "os.kill(os.getppid(), signal.SIGTERM)",
    "signal another process by thread id": "libc.syscall(234, os.getppid(), os.getppid(), 15)",
    "raise its limits": "resource.setrlimit(resource.RLIMIT_CPU, (100, 100))",
    "map executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "make memory executable": "libc.mprotect(ctypes.c_void_p(0x10000), 4096, 5)",
    "trace": "libc.ptrace(0, 0, 0, 0)",
    "handle signals": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "sleep": "time.sleep(0)",
    "become dumpable": "libc.prctl(4, 1, 0, 0, 0)",
    "make a memory file": "os.memfd_create('x')",
}


def run(attempt: str, before: str = "", options: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", LOCKED.format(attempt=attempt, before=before, options=options)],
        env={"PYTHONPATH": str(code_root())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_this_machine_lacks_nothing() -> None:
    assert missing_parts() == ()


def test_a_locked_process_still_computes_and_writes() -> None:
    done = run("sum(range(1000)); os.urandom(8); bytearray(1 << 20)")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ",".join(ALL_PROTECTIONS) + "\nstill here"


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="numbers of x86-64 system calls")
@pytest.mark.parametrize("attempt", sorted(ESCAPES))
def test_an_escape_kills_the_process(attempt: str) -> None:
    done = run(ESCAPES[attempt])
    assert done.stdout == ",".join(ALL_PROTECTIONS) + "\n", done.stderr
    assert done.returncode == -signal.SIGSYS


def test_too_much_memory_is_a_memory_error_and_not_more_memory() -> None:
    done = run("try:\n    bytearray(128 * 1024**2)\nexcept MemoryError:\n    os.write(1, b'refused ')")
    assert done.stdout.endswith("refused still here"), done.stderr


def test_too_much_processor_time_ends_the_process() -> None:
    assert run("while True: pass").returncode == -signal.SIGXCPU


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_locks_as_nobody_too() -> None:
    done = run("os.fork()", before="os.setgid(65534); os.setuid(65534)")
    assert done.stdout == ",".join(ALL_PROTECTIONS) + "\n", done.stderr
    assert done.returncode == -signal.SIGSYS


WITHOUT_LANDLOCK = "from nodes.enclave.child import lockdown; lockdown._landlock_abi = lambda: -1"
WITHOUT_SECCOMP = "from nodes.enclave.child import lockdown; lockdown._seccomp_module = lambda: None"
UNPROVEN = "from nodes.enclave.child import lockdown; lockdown._landlock = lambda abi: None"


@pytest.mark.parametrize(
    ("before", "missing"), [(WITHOUT_LANDLOCK, "landlock"), (WITHOUT_SECCOMP, "seccomp"), (UNPROVEN, "landlock")]
)
def test_it_fails_closed_where_a_part_is_missing_or_does_not_work(before: str, missing: str) -> None:
    done = run("", before=before)
    assert done.returncode == 1
    assert "EnclaveUnavailable" in done.stderr
    assert missing in done.stderr.splitlines()[-1]
    assert "still here" not in done.stdout


@pytest.mark.parametrize(("before", "missing"), [(WITHOUT_LANDLOCK, "landlock"), (WITHOUT_SECCOMP, "seccomp")])
def test_an_unlocked_process_by_name_goes_on_without_the_part_and_says_so(before: str, missing: str) -> None:
    done = run("", before=before, options=", allow_unlocked=True")
    assert done.returncode == 0, done.stderr
    assert set(ALL_PROTECTIONS) - set(done.stdout.splitlines()[0].split(",")) == {missing}


def test_unlocked_by_name_does_not_excuse_a_part_that_is_there_and_does_not_work() -> None:
    done = run("", before=UNPROVEN, options=", allow_unlocked=True")
    assert done.returncode == 1
    assert "EnclaveUnavailable" in done.stderr
