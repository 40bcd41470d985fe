"""The real child: batches in and out, sealed results, and every way it can end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.child.lockdown import ALL_PROTECTIONS
from nodes.enclave.errors import Code, DataFault, EnclaveEnded, EnclaveUnavailable, EndReason, Fault, Rejected
from nodes.enclave.frames import Frame, Kind
from nodes.enclave.host import process, supervise
from nodes.enclave.host.pipe import Pipe
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from nodes.homomorphic.paillier.secret import PaillierSecret, generate
from nodes.programs.build import aggregate_sum, linear_from_csv
from schemas.errors import BadProgram
from tests.unit.nodes.enclave.enclaves import Subtask, agree, model, quoter, renter, renter_public, verified_offer

WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.25]])
RESULT_BITS = 20
WAIT_SECONDS = 20


def rows(count: int, width: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(7).normal(size=(count, width))


@cache
def secret_key() -> PaillierSecret:
    return generate(2048)


def sealing() -> SealSpec:
    return SealSpec(secret_key().public.to_bytes(), RESULT_BITS)


@pytest.fixture
async def enclave() -> AsyncIterator[EnclaveProcess]:
    async with EnclaveProcess(quoter()) as process:
        yield process


async def test_it_is_locked_down_completely_and_says_so(enclave: EnclaveProcess) -> None:
    assert enclave.protections == ALL_PROTECTIONS
    assert enclave.alive
    assert supervise.failed_checks(enclave.pid, enclave.protections) == ()


async def test_it_computes_a_batch_on_plaintext_that_the_host_never_sees(enclave: EnclaveProcess) -> None:
    subtask, data = await agree(enclave, model(3, WEIGHTS)), rows(1000)
    context = subtask.context(1000, first_row=500)
    body = subtask.encrypt(context, data)
    result = await enclave.execute(context, body)
    assert data[0].tobytes() not in body
    got = np.frombuffer(subtask.decrypt(context, result.body)).reshape(1000, 2)
    np.testing.assert_allclose(got, data @ WEIGHTS, atol=1e-12)


async def test_many_batches_of_many_sizes_through_one_enclave(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS, activation="Sigmoid"))
    for batch, count in enumerate((1, 20_000, 7, 4096, 1)):
        data, context = rows(count), subtask.context(count, batch=batch)
        result = await enclave.execute(context, subtask.encrypt(context, data))
        got = np.frombuffer(subtask.decrypt(context, result.body)).reshape(count, 2)
        np.testing.assert_allclose(got, 1 / (1 + np.exp(-data @ WEIGHTS)), atol=1e-12)


async def test_a_result_comes_with_the_processor_time_that_it_took(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS), sealing())
    costs = []
    for batch, count in enumerate((1, 2000)):
        context = subtask.context(count, batch=batch)
        costs.append((await enclave.execute(context, subtask.encrypt(context, rows(count)))).core_seconds)
    used = sum(map(int, (await asyncio.to_thread(Path(f"/proc/{enclave.pid}/stat").read_text)).split()[13:15]))
    assert 0 < costs[0] < costs[1]
    assert sum(costs) <= (used + 2) / os.sysconf("SC_CLK_TCK")  # the kernel counts in ticks, user and system apart


async def test_named_inputs_and_sums(enclave: EnclaveProcess) -> None:
    subtask, data = await agree(enclave, aggregate_sum("amount")), rows(100, 1)
    context = subtask.context(100)
    result = await enclave.execute(context, subtask.encrypt(context, data))
    np.testing.assert_allclose(np.frombuffer(subtask.decrypt(context, result.body)), data.sum(), atol=1e-12)


async def test_concurrent_callers_take_turns(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    contexts = [subtask.context(count, batch=count) for count in range(1, 20)]
    bodies = [subtask.encrypt(context, rows(context.rows)) for context in contexts]
    results = await asyncio.gather(*(enclave.execute(*pair) for pair in zip(contexts, bodies, strict=True)))
    for context, result in zip(contexts, results, strict=True):
        got = np.frombuffer(subtask.decrypt(context, result.body)).reshape(context.rows, 2)
        np.testing.assert_allclose(got, rows(context.rows) @ WEIGHTS, atol=1e-12)


async def test_sealed_results_open_with_the_homomorphic_key_alone(enclave: EnclaveProcess) -> None:
    subtask, data = await agree(enclave, model(3, WEIGHTS), sealing()), rows(5000)
    context = subtask.context(5000)
    executed = await enclave.execute(context, subtask.encrypt(context, data))
    body = subtask.decrypt(context, executed.body)
    got = secret_key().decrypt(body, 5000, 2)
    assert np.array_equal(got, np.rint(data @ WEIGHTS * 2.0**RESULT_BITS).astype(np.int64))


async def test_a_result_too_large_to_seal_names_row_and_column(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, linear_from_csv("name,total\na,1\nb,1\n"), sealing())
    data = np.ones((10, 2))
    data[3] = 1e14
    context = subtask.context(10, first_row=100)
    with pytest.raises(DataFault) as refused:
        await enclave.execute(context, subtask.encrypt(context, data))
    assert (refused.value.fault, refused.value.row) == (Fault.RESULT_TOO_LARGE, 104)
    assert refused.value.column is not None
    assert "100000000000000" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "fault", "column"),
    [
        (np.nan, Fault.RESULT_NOT_FINITE, "total"),
        (np.inf, Fault.INPUT_NOT_FINITE, "b"),
        (-np.inf, Fault.INPUT_NOT_FINITE, "b"),
    ],
)
async def test_a_number_that_is_not_finite_names_row_and_column(
    enclave: EnclaveProcess, value: float, fault: Fault, column: str
) -> None:
    subtask = await agree(enclave, linear_from_csv("name,total\na,1\nb,1\n"))
    data = np.ones((10, 2))
    data[9, 1] = value
    context = subtask.context(10, first_row=1000)
    with pytest.raises(DataFault) as refused:
        await enclave.execute(context, subtask.encrypt(context, data))
    assert (refused.value.fault, refused.value.row, refused.value.column) == (fault, 1010, column)


async def test_an_overflow_inside_names_the_row_and_the_enclave_lives_on(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(1, np.array([[1.0]]), activation="Exp"))
    data = np.array([[1.0], [1000.0]])
    context = subtask.context(2)
    with pytest.raises(DataFault) as refused:
        await enclave.execute(context, subtask.encrypt(context, data))
    assert (refused.value.fault, refused.value.row) == (Fault.RESULT_NOT_FINITE, 2)
    good = subtask.context(1, batch=1)
    assert await enclave.execute(good, subtask.encrypt(good, np.ones((1, 1))))


async def test_rows_that_do_not_fit_the_program_are_refused(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    context = subtask.context(10)
    with pytest.raises(DataFault) as refused:
        await enclave.execute(context, subtask.encrypt(context, rows(11)))
    assert refused.value.fault is Fault.SHAPE


async def test_a_batch_in_another_context_is_refused_and_the_enclave_lives_on(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    context = subtask.context(10)
    body = subtask.encrypt(context, rows(10))
    for other, code in (
        (replace(context, batch=1), Code.COMMITMENT),
        (replace(context, attempt=2), Code.COMMITMENT),
        (replace(context, epoch=1), Code.COMMITMENT),
        (replace(context, first_row=1), Code.COMMITMENT),
        (replace(context, job="job-2"), Code.CONTEXT),
        (replace(context, schema=bytes(64)), Code.CONTEXT),
    ):
        with pytest.raises(Rejected) as refused:
            await enclave.execute(other, body)
        assert refused.value.code == code
    with pytest.raises(Rejected) as refused:
        await enclave.execute(context, body[:-1])
    assert refused.value.code == Code.CHUNK
    assert await enclave.execute(context, body)


async def test_a_host_that_swaps_the_program_gets_no_batch_opened(enclave: EnclaveProcess) -> None:
    offer, secret = await verified_offer(enclave), key_agreement.new_secret()
    sealed = offer.seal(secret, renter().sign)
    await enclave.accept(
        sealed.sealed,
        sealed.signature,
        renter_public=renter_public(),
        policy_digest=offer.policy_digest,
        claims=offer.claims.digest(),
        program=model(3, -WEIGHTS),
    )
    agreed = key_agreement.schema_digest(model(3, WEIGHTS), None)
    subtask = Subtask(secret, model(3, WEIGHTS), None)
    context = replace(subtask.context(1), schema=agreed)
    with pytest.raises(Rejected) as refused:
        await enclave.execute(context, subtask.encrypt(context, rows(1)))
    assert refused.value.code == Code.CONTEXT


async def test_a_batch_before_the_key_agreement_is_refused(enclave: EnclaveProcess) -> None:
    subtask = Subtask(key_agreement.new_secret(), model(3, WEIGHTS), None)
    context = subtask.context(1)
    with pytest.raises(Rejected) as refused:
        await enclave.execute(context, subtask.encrypt(context, rows(1)))
    assert refused.value.code == Code.SESSION


async def test_a_replayed_seal_is_refused_by_the_real_child(enclave: EnclaveProcess) -> None:
    offer, secret = await verified_offer(enclave), key_agreement.new_secret()
    sealed = offer.seal(secret, renter().sign)
    codes = []
    for _ in range(2):
        try:
            await enclave.accept(
                sealed.sealed,
                sealed.signature,
                renter_public=renter_public(),
                policy_digest=offer.policy_digest,
                claims=offer.claims.digest(),
                program=model(3, WEIGHTS),
            )
            codes.append("accepted")
        except Rejected as refused:
            codes.append(refused.code)
    assert codes == ["accepted", Code.SEAL_REPLAYED]


@pytest.mark.parametrize("operator", ["Loop", "RandomNormal", "NoSuchOperator"])
async def test_a_bad_program_is_refused_inside_naming_the_operator(enclave: EnclaveProcess, operator: str) -> None:
    with pytest.raises(BadProgram) as refused:
        await agree(enclave, model(3, WEIGHTS, activation=operator))
    assert refused.value.operator == operator
    subtask = await agree(enclave, model(3, WEIGHTS))
    context = subtask.context(1)
    assert await enclave.execute(context, subtask.encrypt(context, rows(1)))


@pytest.mark.parametrize("program", [b"", b"not a model", bytes(10_000)])
async def test_bytes_that_are_no_program_are_refused(enclave: EnclaveProcess, program: bytes) -> None:
    with pytest.raises(BadProgram):
        await agree(enclave, program)
    assert enclave.alive


async def test_a_bad_homomorphic_key_is_refused(enclave: EnclaveProcess) -> None:
    with pytest.raises(Rejected) as refused:
        await agree(enclave, model(3, WEIGHTS), SealSpec(b"no key", 20))
    assert refused.value.code == Code.PUBLIC_KEY


async def test_a_request_over_the_limit_is_refused_before_it_is_sent(enclave: EnclaveProcess) -> None:
    with pytest.raises(Rejected) as refused:
        await enclave.offer(bytes(100_000), "contract", "job")
    assert refused.value.code == Code.REQUEST_SIZE
    assert enclave.alive


# Ends.


async def test_a_killed_child_is_a_typed_error_and_a_new_one_works(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    context = subtask.context(5)
    body = subtask.encrypt(context, rows(5))
    os.kill(enclave.pid, signal.SIGKILL)
    with pytest.raises(EnclaveEnded) as ended:
        await enclave.execute(context, body)
    assert ended.value.reason is EndReason.CRASH
    assert not enclave.alive
    await enclave.start()
    with pytest.raises(Rejected) as refused:
        await enclave.execute(context, body)
    assert refused.value.code == Code.SESSION
    again = await agree(enclave, model(3, WEIGHTS))
    assert await enclave.execute(context, again.encrypt(context, rows(5)))


async def test_a_dead_child_is_seen_before_work_is_given_to_it(enclave: EnclaveProcess) -> None:
    pid = enclave.pid
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not enclave.alive


async def test_a_child_that_sleeps_ends_as_timeout_and_is_not_called_poison() -> None:
    options = EnclaveOptions(execute_seconds_max=0.2)
    async with EnclaveProcess(quoter(), options) as enclave:
        subtask = await agree(enclave, model(3, WEIGHTS))
        context = subtask.context(5)
        os.kill(enclave.pid, signal.SIGSTOP)
        with pytest.raises(EnclaveEnded) as ended:
            await enclave.execute(context, subtask.encrypt(context, rows(5)))
    assert ended.value.reason is EndReason.TIMEOUT


async def test_a_forbidden_system_call_ends_as_syscall(enclave: EnclaveProcess) -> None:
    pid = enclave.pid
    os.kill(pid, signal.SIGSYS)
    with pytest.raises(EnclaveEnded) as ended:
        await enclave.offer(bytes(32), "contract", "job")
    assert ended.value.reason is EndReason.SYSCALL


async def test_a_program_that_needs_too_much_memory_ends_as_memory() -> None:
    options = EnclaveOptions(memory_bytes=64 * 1024**2)
    async with EnclaveProcess(quoter(), options) as enclave:
        subtask = await agree(enclave, model(1, np.ones((1, 2000))))
        context = subtask.context(10_000)
        with pytest.raises(EnclaveEnded) as ended:
            await enclave.execute(context, subtask.encrypt(context, rows(10_000, 1)))
        assert ended.value.reason is EndReason.MEMORY
        await enclave.start()
        assert enclave.alive


async def test_a_body_larger_than_the_memory_ends_as_memory() -> None:
    options = EnclaveOptions(memory_bytes=16 * 1024**2)
    async with EnclaveProcess(quoter(), options) as enclave:
        subtask = await agree(enclave, model(1, np.ones((1, 1))))
        context = subtask.context(4_000_000)
        with pytest.raises(EnclaveEnded) as ended:
            await enclave.execute(context, bytes(32_000_000))
    assert ended.value.reason is EndReason.MEMORY


async def test_a_child_whose_locks_are_not_confirmed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "failed_checks", lambda pid, protections: ("it has two threads",))
    process = EnclaveProcess(quoter())
    with pytest.raises(EnclaveEnded) as ended:
        await process.start()
    assert ended.value.reason is EndReason.CHECK
    assert not process.alive


async def test_a_machine_that_cannot_lock_a_child_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(pipe: Pipe) -> Frame:
        return Frame(Kind.UNAVAILABLE, (b"landlock",))

    monkeypatch.setattr(Pipe, "_answer", unavailable)
    process = EnclaveProcess(quoter())
    with pytest.raises(EnclaveUnavailable) as refused:
        await process.start()
    assert refused.value.missing == ("landlock",)
    assert process.pid == 0


async def test_the_evidence_of_a_child_that_lacks_a_lock_says_debug(
    enclave: EnclaveProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EnclaveProcess, "protections", ALL_PROTECTIONS[:-1])
    with pytest.raises(Rejected) as refused:
        await verified_offer(enclave)
    assert refused.value.code == Code.DEBUG


async def test_allowing_an_unlocked_child_unlocks_nothing_where_nothing_is_missing() -> None:
    async with EnclaveProcess(quoter(), EnclaveOptions(allow_unlocked=True)) as enclave:
        assert enclave.protections == ALL_PROTECTIONS


async def test_a_cancelled_call_ends_the_child(enclave: EnclaveProcess) -> None:
    os.kill(enclave.pid, signal.SIGSTOP)
    call = asyncio.create_task(enclave.offer(bytes(32), "contract", "job"))
    await asyncio.wait({call}, timeout=0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not enclave.alive


def test_a_loop_that_ends_while_a_child_is_collected_leaves_neither_child_nor_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[tuple[socket.socket, socket.socket]] = []
    collecting, go_on = threading.Event(), threading.Event()
    pair, collect = socket.socketpair, process._collect

    def kept() -> tuple[socket.socket, socket.socket]:
        ends.append(pair())
        return ends[-1]

    def late(pid: int) -> int:
        collecting.set()
        go_on.wait(WAIT_SECONDS)
        return collect(pid)

    async def leave_closing() -> int:
        monkeypatch.setattr(socket, "socketpair", kept)
        monkeypatch.setattr(process, "_collect", late)
        enclave = EnclaveProcess(quoter())
        await enclave.start()
        pid, closing = enclave.pid, asyncio.create_task(enclave.close())
        assert await asyncio.to_thread(collecting.wait, WAIT_SECONDS)
        assert not closing.done()
        return pid

    with asyncio.Runner() as runner:
        pid = runner.run(leave_closing())
        runner.get_loop().call_soon(go_on.set)
    assert ends[0][0].fileno() == -1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_call_that_is_cancelled_before_its_turn_disturbs_nobody(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    contexts = [subtask.context(5, batch=batch) for batch in range(4)]
    os.kill(enclave.pid, signal.SIGSTOP)
    calls = [asyncio.create_task(enclave.execute(each, subtask.encrypt(each, rows(5)))) for each in contexts]
    await asyncio.wait(calls, timeout=0.05)
    calls[2].cancel()  # two are under way
    os.kill(enclave.pid, signal.SIGCONT)
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, process.Executed) for each in done] == [True, True, False, True]
    assert enclave.alive


async def test_a_child_that_dies_fails_every_call_and_says_why(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    contexts = [subtask.context(5, batch=batch) for batch in range(4)]
    os.kill(enclave.pid, signal.SIGSTOP)
    calls = [asyncio.create_task(enclave.execute(each, subtask.encrypt(each, rows(5)))) for each in contexts]
    await asyncio.wait(calls, timeout=0.05)
    os.kill(enclave.pid, signal.SIGSEGV)
    os.kill(enclave.pid, signal.SIGCONT)
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert {str(each) for each in done if isinstance(each, EnclaveEnded)} == {str(done[0])}
    assert all(isinstance(each, EnclaveEnded) and each.reason is EndReason.CRASH for each in done)
    await enclave.start()
    again = await agree(enclave, model(3, WEIGHTS))
    assert await enclave.execute(contexts[0], again.encrypt(contexts[0], rows(5)))


async def test_closing_waits_for_the_calls_that_came_before(enclave: EnclaveProcess) -> None:
    subtask = await agree(enclave, model(3, WEIGHTS))
    contexts = [subtask.context(5, batch=batch) for batch in range(4)]
    calls = [asyncio.create_task(enclave.execute(each, subtask.encrypt(each, rows(5)))) for each in contexts]
    await asyncio.sleep(0)
    await enclave.close()
    assert all(call.done() and call.exception() is None for call in calls)


async def test_calls_after_close_say_so(enclave: EnclaveProcess) -> None:
    await enclave.close()
    with pytest.raises(EnclaveEnded) as ended:
        await enclave.offer(bytes(32), "contract", "job")
    assert ended.value.reason is EndReason.CLOSED
    await enclave.close()


async def test_nothing_secret_stands_in_the_command_line(enclave: EnclaveProcess) -> None:
    arguments = (await asyncio.to_thread(Path(f"/proc/{enclave.pid}/cmdline").read_bytes)).split(b"\0")
    assert arguments[1:] == [b"-s", b"-P", b"-m", b"nodes.enclave.child.main", str(os.getpid()).encode(), b""]
    assert quoter().key.private_bytes_raw().hex() not in repr(enclave)
