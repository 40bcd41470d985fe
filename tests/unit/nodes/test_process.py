"""Children end with their parent however it ends, and take what they know with them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.crew.crew import Crew, Kit

SECONDS_MAX = 30
GET_DUMPABLE = 3

KILLED_WITH_A_BUSY_HAND = """
import asyncio, os, signal
from nodes.crew.crew import Crew, Kit
from tests.unit.nodes.test_process import compute, process_id

async def main():
    crew, kit = Crew(1), Kit.of(None)
    process = (await crew.call(process_id, kit)).result
    computing = asyncio.create_task(crew.call(compute, kit))
    while computing_since(process) < 2:
        await asyncio.sleep(0)
    print(process, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def computing_since(process):
    with open(f"/proc/{process}/stat") as file:
        ticks = int(file.read().split()[13])
    global first
    first = globals().get("first", ticks)
    return ticks - first

asyncio.run(main())
"""
KILLED_WITH_A_BUSY_ENCLAVE = """
import asyncio, os, signal
from nodes.enclave.host import process
from tests.unit.nodes.enclave.enclaves import quoter

async def main():
    process._CHILD = "tests.support.busy_child"
    async with process.EnclaveProcess(quoter()) as enclave:
        offering = asyncio.create_task(enclave.offer(b"nonce" * 6, "contract", "job"))
        for _ in range(10):
            await asyncio.sleep(0)
        print(enclave.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def process_id(kit: None) -> int:
    return os.getpid()


def compute(kit: None) -> None:
    while True:
        pass


def inherited(kit: None) -> list[str]:
    """Names, as the process began: what it imports may add others."""
    began = Path("/proc/self/environ").read_text().split("\0")
    return sorted(each.partition("=")[0] for each in began if each)


def image_is_kept(kit: None) -> tuple[int, int]:
    """Whether its memory may be dumped, and how much of it."""
    return ctypes.CDLL(None).prctl(GET_DUMPABLE, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0]


@pytest.mark.parametrize("script", [KILLED_WITH_A_BUSY_HAND, KILLED_WITH_A_BUSY_ENCLAVE], ids=["crew", "enclave"])
def test_a_child_that_computes_ends_with_its_killed_parent(script: str) -> None:
    ran = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert ended(int(ran.stdout))


def test_a_child_whose_parent_sleeps_ends_when_its_task_took_too_long() -> None:
    script = KILLED_WITH_A_BUSY_HAND.replace("SIGKILL", "SIGSTOP").replace("Crew(1)", "Crew(1, task_seconds_max=1.0)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        try:
            assert ended(process)
        finally:
            parent.kill()


async def test_a_child_of_a_crew_has_no_variable_of_its_node_and_leaves_no_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUBLET_AMQP_URL", "amqp://A11.A12:secret@127.0.0.1/")
    crew = Crew(1)
    try:
        assert (await crew.call(inherited, Kit.of(None))).result == [
            "LANG",
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "PYTHONPATH",
        ]
        assert (await crew.call(image_is_kept, Kit.of(None))).result == (0, 0)
    finally:
        await crew.close()


def test_a_command_leaves_no_core() -> None:
    """In a process of its own: this one may be looked into."""
    script = """
from nodes.cli.loop import finish
from tests.unit.nodes.test_process import image_is_kept

async def look():
    return image_is_kept(None)

raise SystemExit(finish(look()) != (0, 0))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def ended(process: int) -> bool:
    """Whether it ends in time; it is killed if it does not."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(process)
        try:
            if not select.select([handle], [], [], SECONDS_MAX)[0]:
                os.kill(process, signal.SIGKILL)
                return False
        finally:
            os.close(handle)
    return True
