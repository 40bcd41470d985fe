"""Real exports inside a real, locked child: nothing is imported, opened or called that the lock forbids."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.enclave.errors import EnclaveEnded, EndReason
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from nodes.programs.check import check
from nodes.renter.prediction.memory import MIB, memory_mib
from schemas.errors import BadProgram
from tests.unit.nodes.enclave.enclaves import agree, quoter
from tests.unit.nodes.programs.exported import exported, outside, rows_for
from tests.unit.nodes.programs.models import data, model, node


@pytest.mark.parametrize("label", exported())
async def test_an_export_gives_inside_what_it_gives_outside(label: str) -> None:
    """With the memory that it was predicted to need."""
    made = exported()[label]
    rows = rows_for(made)
    memory = memory_mib(check(data(made)), len(rows)) * MIB
    async with EnclaveProcess(quoter(), EnclaveOptions(memory_bytes=memory)) as enclave:
        subtask = await agree(enclave, data(made))
        context = subtask.context(len(rows))
        result = await enclave.execute(context, subtask.encrypt(context, rows))
    got = np.frombuffer(subtask.decrypt(context, result.body)).reshape(len(rows), -1)
    np.testing.assert_allclose(got, outside(made, rows), rtol=1e-6, atol=1e-6)


async def test_a_program_that_the_engine_refuses_is_refused_in_words_of_ours() -> None:
    mixed = model(
        [node("Relu", ["x"], ["r"]), node("Add", ["r", "i"], ["y"])], constants={"i": np.array([424242], np.int64)}
    )
    async with EnclaveProcess(quoter()) as enclave:
        with pytest.raises(BadProgram, match="a type, a shape or a version is not supported"):
            await agree(enclave, data(mixed))
        assert enclave.alive


async def test_a_program_that_needs_too_much_memory_ends_the_child_as_that() -> None:
    nodes = [node("Expand", ["x", "s"], ["e"]), node("Relu", ["e"], ["r"]), node("ReduceMax", ["r"], ["y"], axes=[1])]
    made = model(nodes, inputs={"x": 1}, constants={"s": np.array([1, 1 << 26], np.int64)})
    async with EnclaveProcess(quoter(), EnclaveOptions(memory_bytes=256 * 1024**2)) as enclave:
        with pytest.raises(EnclaveEnded) as ended:
            await agree(enclave, data(made))
        assert ended.value.reason is EndReason.MEMORY
