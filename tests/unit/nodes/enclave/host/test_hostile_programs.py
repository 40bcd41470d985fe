"""Hostile programs and damaged ones in the real, locked child: each ends as it should, and the next one runs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from nodes.enclave.errors import EnclaveEnded, EndReason
from nodes.enclave.host import process
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from schemas.errors import BadProgram
from tests.support.hostile_programs import HOSTILE, REFUSED, RUNS, program
from tests.support.models import NAMES
from tests.support.models import program as model_of
from tests.unit.nodes.enclave.enclaves import agree, model, quoter

OPTIONS = EnclaveOptions(memory_bytes=256 * 1024**2, handshake_seconds_max=3.0, execute_seconds_max=3.0)
FLIPS = 200
SEED = 9
SECONDS_MAX = 120


async def ending(enclave: EnclaveProcess, raw: bytes) -> str:
    """How a program ends that a fresh or still unused child is given; the child is gone unless it was refused."""
    await enclave.start()
    try:
        await agree(enclave, raw)
    except BadProgram:
        assert enclave.alive
        return REFUSED
    except EnclaveEnded as error:
        assert not enclave.alive
        busy = error.reason is EndReason.TIMEOUT  # others on this machine had the processor meanwhile
        return f"enclave-{EndReason.CPU if busy else error.reason}"
    await enclave.close()
    return RUNS


async def require_honest(enclave: EnclaveProcess) -> None:
    """The next program is computed as ever."""
    await enclave.start()
    subtask = await agree(enclave, model(2, np.ones((2, 1))))
    context = subtask.context(2)
    result = await enclave.execute(context, subtask.encrypt(context, np.ones((2, 2))))
    assert np.frombuffer(subtask.decrypt(context, result.body)).tolist() == [2.0, 2.0]
    await enclave.close()


async def test_every_hostile_program_ends_as_it_should_and_the_next_one_runs() -> None:
    async with asyncio.timeout(SECONDS_MAX), EnclaveProcess(quoter(), OPTIONS) as enclave:
        ends = {name: await ending(enclave, program(name)) for name in HOSTILE}
        await require_honest(enclave)
    assert ends == {name: expected for name, (expected, _) in HOSTILE.items()}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that take one program after the other."""
    monkeypatch.setattr(process, "_CHILD", "tests.support.patient_child")


@pytest.mark.usefixtures("patient")
async def test_a_program_with_bits_turned_over_is_refused_or_runs_and_ends_no_child() -> None:
    async with asyncio.timeout(SECONDS_MAX), EnclaveProcess(quoter(), OPTIONS) as enclave:
        child, ends = enclave.pid, Counter[str]()
        for raw in flipped(FLIPS):
            try:
                await agree(enclave, raw)
                ends[RUNS] += 1
            except BadProgram:
                ends[REFUSED] += 1
        assert (enclave.alive, enclave.pid) == (True, child)
    assert min(ends[RUNS], ends[REFUSED]) > FLIPS // 10


def flipped(count: int) -> Iterator[bytes]:
    """The exported models with a bit turned over, every other one near the beginning, where names and types are."""
    drawn, originals = random.Random(SEED), [model_of(name) for name in NAMES]
    for number in range(count):
        changed = bytearray(originals[number % len(originals)])
        place = drawn.randrange(2048 if number % 2 else len(changed))
        changed[place] ^= 1 << drawn.randrange(8)
        yield bytes(changed)
