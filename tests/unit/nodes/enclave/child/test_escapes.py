"""A program that breaks out of the evaluator, inside the real locked child: it dies as designed, nobody else does."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.enclave.child.lockdown import ALL_PROTECTIONS
from nodes.enclave.errors import EnclaveEnded, EndReason
from nodes.enclave.host import process
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from tests.support.hostile_child import ESCAPES, FIRST
from tests.unit.nodes.enclave.enclaves import Subtask, agree, model, quoter

WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0]])
REASONS = {"take 3 GiB of memory": EndReason.MEMORY, "never end": EndReason.CPU}
BATCHES = 4


def rows(batch: int) -> NDArray[np.float64]:
    return np.random.default_rng(batch).normal(size=(100, 2))


async def compute(enclave: EnclaveProcess, subtask: Subtask, batch: int) -> None:
    """One honest batch, checked."""
    context = subtask.context(100, batch=batch)
    result = await enclave.execute(context, subtask.encrypt(context, rows(batch)))
    got = np.frombuffer(subtask.decrypt(context, result.body)).reshape(100, 2)
    np.testing.assert_allclose(got, rows(batch) @ WEIGHTS, atol=1e-12)


async def escape(enclave: EnclaveProcess, subtask: Subtask, attempt: str) -> EndReason:
    """The batch that makes the child try; why it ended."""
    wish = np.array([[FIRST + list(ESCAPES).index(attempt), 0.0]])
    context = subtask.context(1, batch=99)
    with pytest.raises(EnclaveEnded) as ended:
        await enclave.execute(context, subtask.encrypt(context, wish))
    return ended.value.reason


@pytest.mark.parametrize("attempt", sorted(ESCAPES))
async def test_an_escape_ends_its_child_and_the_other_batches_finish(
    attempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_CHILD", "tests.support.hostile_child")
    options = EnclaveOptions(execute_seconds_max=1.0 if attempt == "never end" else 45.0)
    async with EnclaveProcess(quoter(), options) as enclave, EnclaveProcess(quoter()) as neighbour:
        assert enclave.protections == ALL_PROTECTIONS
        subtask, other = await agree(enclave, model(2, WEIGHTS)), await agree(neighbour, model(2, WEIGHTS))
        await compute(enclave, subtask, 0)
        computing = asyncio.gather(*(compute(neighbour, other, batch) for batch in range(BATCHES)))
        reason = await escape(enclave, subtask, attempt)
        busy = reason is EndReason.TIMEOUT  # others on this machine had the processor meanwhile
        assert (EndReason.CPU if busy else reason) is REASONS.get(attempt, EndReason.SYSCALL)
        await computing
        assert not enclave.alive
        assert neighbour.alive
        await enclave.start()
        again = await agree(enclave, model(2, WEIGHTS))
        for batch in range(1, BATCHES):
            await compute(enclave, again, batch)
