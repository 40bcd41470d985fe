"""Why a child ended, from its wait status; and what /proc says about its locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nodes.enclave.child.lockdown import ALL_PROTECTIONS
from nodes.enclave.errors import EndReason
from nodes.enclave.host.supervise import cpu_seconds, end_reason, failed_checks, timed_out


def exited(code: int) -> int:
    return code << 8


@pytest.mark.parametrize(
    ("status", "oom_kills", "reason"),
    [
        (signal.SIGXCPU, 0, EndReason.CPU),
        (signal.SIGSYS, 0, EndReason.SYSCALL),
        (signal.SIGSYS | 0x80, 0, EndReason.SYSCALL),
        (signal.SIGKILL, 1, EndReason.MACHINE_MEMORY),
        (signal.SIGKILL, 0, EndReason.CRASH),
        (signal.SIGSEGV, 0, EndReason.CRASH),
        (exited(71), 0, EndReason.MEMORY),
        (exited(70), 0, EndReason.CRASH),
        (exited(0), 0, EndReason.CRASH),
        (exited(1), 0, EndReason.CRASH),
    ],
)
def test_a_wait_status_maps_to_a_reason(status: int, oom_kills: int, reason: EndReason) -> None:
    assert end_reason(int(status), out_of_memory_kills=oom_kills)[0] is reason


def test_an_unlocked_process_that_claims_locks_is_found_out() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        failed = failed_checks(process.pid, ALL_PROTECTIONS)
        process.communicate(b"\n")
    assert len(failed) == 2
    assert any("seccomp" in text for text in failed)


def test_a_process_that_is_gone_fails_every_check() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert len(failed_checks(process.pid, ALL_PROTECTIONS)) == 3


def test_an_honest_claim_of_nothing_passes_for_a_single_thread() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert failed_checks(process.pid, ()) == ()
        process.communicate(b"\n")
    assert os.waitstatus_to_exitcode(exited(0)) == 0


@pytest.mark.parametrize(
    ("computed", "reason"), [(0.0, EndReason.TIMEOUT), (20.0, EndReason.TIMEOUT), (30.0, EndReason.CPU)]
)
def test_a_child_that_could_not_compute_is_not_at_fault(computed: float, reason: EndReason) -> None:
    assert timed_out(computed, 45.0)[0] is reason


def test_what_a_process_computed_is_known_until_it_is_gone() -> None:
    assert cpu_seconds(os.getpid()) > 0
    assert cpu_seconds(2**22 + 1) == 0
