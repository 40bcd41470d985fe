"""Processes that compute: results and costs come back, failures and deaths are told apart, nothing outlives a crew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from nodes.crew.crew import Crew, Kit, survived
from nodes.crew.errors import HandLost, TaskFailed
from nodes.crew.hand import KITS_KEPT, Kits

SECONDS_MAX = 30


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    crew = Crew(2)
    async with asyncio.timeout(SECONDS_MAX):
        yield crew
    await crew.close()


def add(kit: int, number: int) -> int:
    print("what a task prints does not disturb the answers")
    return kit + number


def busy(kit: int) -> int:
    return sum(range(kit))


def pid(kit: None) -> int:
    return os.getpid()


def die(kit: None) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(kit: str) -> None:
    raise ValueError(f"a secret: {kit}")


def lie(kit: None) -> int:
    return cast(int, "what was said to be a number")


def wait_for(kit: None, path: str) -> int:
    while not os.path.exists(path):
        pass
    return os.getpid()


class Counted:
    """Unpacks itself noisily: leaves a file behind each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.folder = state["folder"]
        (self.folder / f"{os.getpid()}-{len(list(self.folder.iterdir()))}").touch()


def use(kit: Counted) -> int:
    return len(list(kit.folder.iterdir()))


async def test_a_task_gets_its_kit_and_arguments_and_its_result_comes_back(crew: Crew) -> None:
    worked = await crew.call(add, Kit.of(40), 2)
    assert worked.result == 42


async def test_more_work_costs_more_core_seconds(crew: Crew) -> None:
    little, much = [(await crew.call(busy, Kit.of(count))).core_seconds for count in (1_000, 3_000_000)]
    assert 0 < little < much


async def test_as_many_tasks_run_at_a_time_as_there_are_hands(crew: Crew, tmp_path: Path) -> None:
    kit, flag = Kit.of(None), tmp_path / "go"
    waiting = asyncio.create_task(crew.call(wait_for, kit, str(flag)))
    await asyncio.sleep(0)
    other = (await crew.call(pid, kit)).result
    assert not waiting.done()
    flag.touch()
    assert (await waiting).result != other


async def test_tasks_that_go_ahead_are_begun_before_all_that_wait(tmp_path: Path) -> None:
    crew, kit, flag = Crew(1), Kit.of(None), tmp_path / "go"
    order: list[str] = []

    async def call(crew: Crew, name: str) -> None:
        await crew.call(pid, kit)
        order.append(name)

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        group.create_task(crew.call(wait_for, kit, str(flag)))
        await asyncio.sleep(0)
        for name in ("first", "second"):
            group.create_task(call(crew, name))
        for name in ("ahead", "next ahead"):
            group.create_task(call(crew.ahead, name))
        cancelled = group.create_task(call(crew.ahead, "cancelled"))
        await asyncio.sleep(0)
        cancelled.cancel()
        flag.touch()
    assert order == ["ahead", "next ahead", "first", "second"]
    await crew.close()


async def test_a_kit_is_unpacked_once_per_process_until_it_is_forgotten(tmp_path: Path) -> None:
    crew, kit, other = Crew(1), Kit.of(Counted(tmp_path)), Kit.of(40)
    assert [(await crew.call(use, kit)).result for _ in range(3)] == [1, 1, 1]
    await crew.forget(other)
    assert (await crew.call(use, kit)).result == 1
    await crew.forget(kit)
    assert (await crew.call(use, kit)).result == 2
    await crew.close()


def test_only_the_kits_used_last_are_kept() -> None:
    kits, given = Kits(), [(each.name, each.packed) for each in (Kit.of([at]) for at in range(KITS_KEPT + 1))]
    first = [kits.unpacked(*each) for each in given[:KITS_KEPT]]
    assert kits.unpacked(*given[0]) is first[0]
    kits.unpacked(*given[KITS_KEPT])
    assert kits.unpacked(*given[0]) is first[0]
    assert kits.unpacked(*given[1]) is not first[1]


async def test_what_a_task_raises_is_told_without_its_values(crew: Crew) -> None:
    with pytest.raises(TaskFailed) as raised:
        await crew.call(fail, Kit.of("0xdeadbeef"))
    assert "ValueError" in str(raised.value)
    assert "0xdeadbeef" not in str(raised.value)


async def test_a_process_that_dies_loses_one_task_and_is_replaced() -> None:
    crew, kit = Crew(1), Kit.of(None)
    first = (await crew.call(pid, kit)).result
    with pytest.raises(HandLost, match=str(-signal.SIGSEGV)):
        await crew.call(die, kit)
    assert (await crew.call(pid, kit)).result != first
    await crew.close()


async def test_a_process_that_died_without_a_task_loses_none() -> None:
    crew, kit = Crew(1), Kit.of(None)
    first = (await crew.call(pid, kit)).result
    os.kill(first, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert (await crew.call(pid, kit)).result != first
    await crew.close()


@pytest.mark.parametrize("deaths", [0, 1, 2])
async def test_what_kills_two_processes_is_to_blame_for_it(deaths: int) -> None:
    left = iter([True] * deaths)

    async def work() -> str:
        if next(left, False):
            raise HandLost("the process that computed this ended with code -9")
        return "done"

    if deaths < 2:
        assert await survived(work) == "done"
    else:
        with pytest.raises(HandLost):
            await survived(work)


async def test_a_process_that_answers_what_its_task_cannot_return_is_replaced() -> None:
    crew, kit = Crew(1), Kit.of(None)
    first = (await crew.call(pid, kit)).result
    with pytest.raises(HandLost):
        await crew.call(lie, kit)
    assert gone(first)
    assert (await crew.call(pid, kit)).result != first
    await crew.close()


async def test_a_task_that_takes_too_long_is_killed_and_the_next_one_served(tmp_path: Path) -> None:
    crew, kit = Crew(1, task_seconds_max=2.0), Kit.of(None)
    with pytest.raises(HandLost, match="after 2 s without an answer"):
        await crew.call(wait_for, kit, str(tmp_path / "never"))
    assert (await crew.call(pid, kit)).result
    await crew.close()


async def test_a_closed_crew_starts_nothing() -> None:
    crew = Crew(1)
    await crew.close()
    with pytest.raises((HandLost, RuntimeError)):
        await crew.call(pid, Kit.of(None))


async def test_closing_ends_processes_that_are_busy(tmp_path: Path) -> None:
    crew, kit = Crew(1), Kit.of(None)
    process = (await crew.call(pid, kit)).result
    endless = asyncio.create_task(crew.call(wait_for, kit, str(tmp_path / "never")))
    await asyncio.sleep(0)
    await crew.close()
    with pytest.raises((HandLost, asyncio.CancelledError)):
        await endless
    assert gone(process)


def test_processes_end_with_the_one_that_started_them() -> None:
    script = (
        "import asyncio, os, signal\n"
        "from nodes.crew.crew import Crew, Kit\n"
        "from tests.unit.nodes.crew.test_crew import pid\n"
        "async def main():\n"
        "    print((await Crew(1).call(pid, Kit.of(None))).result, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert gone(int(ran.stdout))


def gone(process: int) -> bool:
    """Whether it ends in time."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(process)
        return bool(select.select([handle], [], [], SECONDS_MAX)[0])
    return True
