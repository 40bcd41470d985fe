"""enclave.start, enclave.handshake, enclave.onnx: what a locked child costs beside the same work without one.

`enclave.start`: milliseconds until a child is locked and ready, beside a plain process that imports the same modules.
`enclave.handshake`: milliseconds of a whole key agreement with a real child (offer, evidence, verification, seal,
program check, confirmation), beside a key pair, a seal and an opening of bare HPKE with the same suite.
`enclave.onnx`: rows per second of encrypted batches through the locked child, beside plain evaluation of the same rows
with the same engine in this process. `enclave.onnx_runtime`: the same, beside ONNX Runtime with one thread. Of a
network and a forest from scikit-learn the worse ratio is reported.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from numpy.typing import NDArray

from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.confirmation import is_confirmed
from nodes.enclave.agreement.key_agreement import KeyPair
from nodes.enclave.attestation.measure import code_root
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.host.process import EnclaveProcess
from nodes.enclave.offer import verify_offer
from nodes.programs.build import linear
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from tests.bench.harness import Result, faster, interleave, more
from tests.unit.nodes.enclave.enclaves import (
    CONTRACT,
    JOB,
    NOW,
    VERIFIERS,
    agree,
    challenge,
    policy,
    quoter,
    renter,
    renter_public,
)

MODELS = Path(__file__).resolve().parents[1] / "models"
NAMES = ("mlp", "forest")
ROWS, COLUMNS = 4096, 30
BATCHES = 24
ROUNDS = 7
IMPORTS = (
    "import sys, nodes.enclave.child.main, onnxruntime, pyseccomp; print('r', end='', flush=True); sys.stdin.read()"
)


def run(only: str) -> Iterator[Result]:
    """Measures the names that begin as asked."""
    measures: dict[str, Callable[[], Result]] = {
        "enclave.start": _start,
        "enclave.handshake": _handshake,
        "enclave.onnx": lambda: _onnx("enclave.onnx", "the same engine on plaintext, no child", _plainly),
        "enclave.onnx_runtime": lambda: _onnx("enclave.onnx_runtime", "ONNX Runtime on plaintext, no child", _runtime),
    }
    for name, measure in measures.items():
        if name.startswith(only):
            yield measure()


def _start() -> Result:
    async def ours() -> float:
        process = EnclaveProcess(quoter())
        begin = perf_counter()
        await process.start()
        seconds = perf_counter() - begin
        await process.close()
        return seconds * 1000

    ours_ms, peer_ms = interleave(lambda: asyncio.run(ours()), _plain_start, ROUNDS)
    return faster("enclave.start", ours_ms, peer_ms, "a plain process with the same imports", "ms")


def _plain_start() -> float:
    begin = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-s", "-P", "-c", IMPORTS],
        env={"PYTHONPATH": str(code_root()), "ORT_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"r"
        return (perf_counter() - begin) * 1000


def _handshake() -> Result:
    program = linear({f"x{column}": [1.0] for column in range(COLUMNS)}, [0.0])

    accepted = policy()

    async def ours() -> float:
        async with EnclaveProcess(quoter()) as enclave:
            begin = perf_counter()
            await _agree(enclave, program, accepted)
            return (perf_counter() - begin) * 1000

    ours_ms, peer_ms = interleave(lambda: asyncio.run(ours()), _bare_hpke, ROUNDS)
    return faster("enclave.handshake", ours_ms, peer_ms, "bare HPKE: key pair, seal, open", "ms")


async def _agree(enclave: EnclaveProcess, program: bytes, accepted: Policy) -> None:
    """Both halves of the key agreement."""
    asked = challenge()
    evidence = await enclave.offer(asked.nonce, CONTRACT, JOB)
    offer = verify_offer(asked, evidence, verifiers=VERIFIERS, policy=accepted, renter_public=renter_public(), now=NOW)
    secret = key_agreement.new_secret()
    sealed = offer.seal(secret, renter().sign)
    mac = await enclave.accept(
        sealed.sealed,
        sealed.signature,
        renter_public=renter_public(),
        policy_digest=offer.policy_digest,
        claims=offer.claims.digest(),
        program=program,
    )
    assert is_confirmed(mac, offer.confirmation_digest(secret, sealed))


def _bare_hpke() -> float:
    suite, info = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM), bytes(64)
    begin = perf_counter()
    pair = KeyPair.generate()
    sealed = suite.encrypt(key_agreement.new_secret(), pair.private.public_key(), info=info)
    suite.decrypt(sealed, pair.private, info=info)
    return (perf_counter() - begin) * 1000


@dataclass(frozen=True)
class Work:
    """A model and the rows it scores."""

    program: bytes
    rows: NDArray[np.float64]


def _onnx(name: str, peer: str, plainly: Callable[[Work], Callable[[], float]]) -> Result:
    results = [asyncio.run(_one_model(model, name, peer, plainly)) for model in NAMES]
    return min(results, key=lambda result: result.ratio)


async def _one_model(model: str, name: str, peer: str, plainly: Callable[[Work], Callable[[], float]]) -> Result:
    work = Work((MODELS / f"{model}.onnx").read_bytes(), np.random.default_rng(3).normal(size=(ROWS, COLUMNS)))
    async with EnclaveProcess(quoter()) as enclave:
        subtask = await agree(enclave, work.program)
        contexts = [subtask.context(ROWS, batch=batch) for batch in range(BATCHES)]
        bodies = [subtask.encrypt(context, work.rows) for context in contexts]

        async def through() -> float:
            begin = perf_counter()
            for context, body in zip(contexts, bodies, strict=True):
                await enclave.execute(context, body)
            return ROWS * BATCHES / (perf_counter() - begin)

        ours, other = await asyncio.to_thread(_in_turns, through, plainly(work), asyncio.get_running_loop())
    return more(name, ours, other, f"{peer} ({model})", "rows/s")


def _in_turns(
    ours: Callable[[], Awaitable[float]], peer: Callable[[], float], loop: asyncio.AbstractEventLoop
) -> tuple[float, float]:
    async def awaited() -> float:
        return await ours()

    return interleave(lambda: asyncio.run_coroutine_threadsafe(awaited(), loop).result(), peer, ROUNDS)


def _plainly(work: Work) -> Callable[[], float]:
    program = check(work.program)
    return lambda: _rate(lambda: evaluate(program, work.rows))


def _runtime(work: Work) -> Callable[[], float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    runtime = onnxruntime.InferenceSession(work.program, options, providers=["CPUExecutionProvider"])
    name, rows = runtime.get_inputs()[0].name, work.rows.astype(np.float32)
    return lambda: _rate(lambda: runtime.run(None, {name: rows}))


def _rate(score: Callable[[], object]) -> float:
    begin = perf_counter()
    for _ in range(BATCHES):
        score()
    return ROWS * BATCHES / (perf_counter() - begin)
