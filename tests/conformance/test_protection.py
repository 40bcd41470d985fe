"""What every protection must do: what it closes, a lessor computes, and it opens; what is not that result is refused.

Each case of ADAPTERS has the lessor's own code across: the enclave's engine, or the evaluation of ciphertexts.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs
from numpy.typing import NDArray
from onnx import TensorProto, helper

from nodes.data.making import make_table
from nodes.data.manifest import VALUES
from nodes.data.reading import Reading
from nodes.data.table import Table
from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.chunks import batch_context
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.child.engine import Enclave
from nodes.homomorphic import schemes
from nodes.homomorphic.encoding import integer_program
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import SecretKey
from nodes.lessor.compute.ciphertexts import Subtask, evaluate
from nodes.programs import runtime
from nodes.programs.build import aggregate_sum, linear
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.protections import CIPHERTEXT, ENCLAVE, SEALED, Traits
from nodes.renter.prediction.encodings import encoding
from nodes.renter.protections.port import BatchProtection, Ingredients
from nodes.renter.protections.registry import BUILDERS
from nodes.renter.protocol.records import Facts, SchemeFacts
from schemas.errors import BadData, VerificationFailed
from schemas.ids import derive_id
from schemas.jobs import Assessment, Batch, JobSpec, Scheme
from schemas.manifest import cut
from tests.support import seal
from tests.support.desk import Desk

ROWS: Final = 200
RESULT_BITS: Final = 24
ERROR_MAX: Final = 1e-3
BATCH: Final = Batch(
    job=derive_id("job", 1),
    subtask=derive_id("subtask", 1),
    contract=derive_id("contract", 1),
    batch=3,
    attempt=1,
    first_row=50,
    rows=70,
)
OTHER: Final = structs.replace(BATCH, batch=4, first_row=51)
AGAIN: Final = structs.replace(BATCH, attempt=2)
PROGRAMS: Final = {
    "rows": linear({"a": [2.0, 0.5], "b": [-1.25, 0.0]}, [10.0, -3.0], ["one", "two"]),
    "sum": aggregate_sum("a"),
}

Compute = Callable[[Batch, bytes], bytes]


@dataclass(frozen=True)
class Adapter:
    """A protection, its scheme, and the codes with which it refuses."""

    traits: Traits
    scheme: Scheme | None
    flipped: frozenset[str]
    cut: str
    of_others: str
    """A result of other rows."""
    of_other_attempt: str
    """Empty where another attempt's result is as good: it is of the same rows, and audited as such."""


IN_ENCLAVE: Final = {"flipped": frozenset({"chunk", "commitment"}), "cut": "chunk", "of_others": "commitment"}
ON_CIPHERTEXT: Final = {
    "flipped": frozenset({"wrong-result", "ciphertext-invalid"}),
    "cut": "ciphertext-length",
    "of_others": "wrong-result",
}
ADAPTERS: Final = {
    "ciphertext-paillier": Adapter(CIPHERTEXT, "paillier", **ON_CIPHERTEXT, of_other_attempt=""),  # type: ignore[arg-type]
    "ciphertext-bfv": Adapter(CIPHERTEXT, "bfv", **ON_CIPHERTEXT, of_other_attempt=""),  # type: ignore[arg-type]
    "ciphertext-ckks": Adapter(CIPHERTEXT, "ckks", **ON_CIPHERTEXT, of_other_attempt=""),  # type: ignore[arg-type]
    "enclave": Adapter(ENCLAVE, None, **IN_ENCLAVE, of_other_attempt="commitment"),  # type: ignore[arg-type]
    "sealed": Adapter(SEALED, "paillier", **IN_ENCLAVE, of_other_attempt="commitment"),  # type: ignore[arg-type]
}


@dataclass(frozen=True)
class Job:
    """One job under one protection: what the renter's workers have, and its lessor."""

    adapter: Adapter
    given: Ingredients = field(repr=False)
    compute: Compute
    secret: bytes = field(repr=False)

    def protection(self) -> BatchProtection:
        """As a worker of the renter builds it."""
        return BUILDERS[self.adapter.traits](self.given)

    def clear(self, batch: Batch = BATCH) -> NDArray[np.float64]:
        """What the program gives in plaintext."""
        return runtime.evaluate(self.given.program, self.given.table.read(batch.first_row, batch.rows))

    async def result(self, protection: BatchProtection, batch: Batch = BATCH) -> bytes:
        """The lessor's body for a batch."""
        return self.compute(batch, (await protection.close(batch)).body)


@pytest.fixture(scope="module")
def paillier_key() -> SecretKey:
    return paillier.generate(2048)


@pytest.fixture(params=seal.each(sorted(ADAPTERS)))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture(params=sorted(PROGRAMS))
def job(request: pytest.FixtureRequest, adapter: Adapter, paillier_key: SecretKey, tmp_path: Path) -> Job:
    return job_of(adapter, PROGRAMS[request.param], paillier_key, tmp_path / "input.csv")


def job_of(adapter: Adapter, model: bytes, paillier_key: SecretKey, path: Path) -> Job:
    values = np.random.default_rng(3).uniform(-100, 100, size=(ROWS, 2))
    path.write_text("a,b\n" + "".join(f"{a:.6f},{b:.6f}\n" for a, b in values))
    program = check(model)
    table = make_table(path.with_suffix(".table"), path, program, Reading())
    facts = facts_of(adapter, program, table)
    key = paillier_key if adapter.scheme == "paillier" else None
    if adapter.scheme in {"bfv", "ckks"}:
        known = facts.of(adapter.scheme)
        assert known.fixed_point is not None
        integers = integer_program(schemes.compiled(known.scheme, program), known.fixed_point)
        key = schemes.generate(known.scheme, integers, BATCH.rows, known.at)
    secret = secrets.token_bytes(key_agreement.SECRET_BYTES)

    async def subtask_secret(subtask: str) -> bytes:
        assert subtask == BATCH.subtask
        return secret

    given = Ingredients(
        table=table,
        program=program,
        facts=facts,
        assessment=assessment(adapter),
        noise="fixed-base",
        key=key,
        secret=subtask_secret,
        crew=Desk(),
        core_clock=time.thread_time,
    )
    return Job(adapter, given, lessor(given, secret), secret)


def facts_of(adapter: Adapter, program: Program, table: Table) -> Facts:
    spec = JobSpec(
        id=BATCH.job,
        data="0" * 64,
        program="0" * 64,
        results_stay=True,
        max_error=ERROR_MAX,
        batch_rows=BATCH.rows,
        lessors=1,
    )
    known: tuple[SchemeFacts, ...] = ()
    if adapter.traits.on_ciphertext and adapter.scheme is not None:
        chosen = encoding(spec, program, table, schemes.runnable(program, products=False), adapter.scheme)
        assert not chosen.refused
        known = (chosen.facts(),)
    return Facts(
        rows=table.rows,
        width_in=program.width_in,
        width_out=program.width_out,
        sum_rows=program.sum_rows,
        program=cut(program.canonical)[0],
        schemes=known,
        result_bits=RESULT_BITS,
    )


def assessment(adapter: Adapter) -> Assessment:
    return Assessment(
        asked="auto",
        chosen=adapter.traits.name,
        scheme=adapter.scheme,
        rows=ROWS,
        columns=2,
        cores=1,
        free_cores=1.0,
        encrypt_seconds=0.0,
        encrypt_seconds_max=1.0,
        max_error=ERROR_MAX,
        candidates=(),
        reason="",
    )


def lessor(given: Ingredients, secret: bytes) -> Compute:
    """The other side, with no more than a lessor gets."""
    scheme = given.assessment.scheme
    if given.assessment.chosen == CIPHERTEXT.name:
        assert scheme is not None
        assert given.key is not None
        fixed = given.facts.of(scheme).fixed_point
        assert fixed is not None
        integers = integer_program(schemes.compiled(scheme, given.program), fixed)
        subtask = Subtask(scheme, given.key.public.to_bytes(), integers)

        def on_ciphertext(batch: Batch, body: bytes) -> bytes:
            evaluated = evaluate(subtask, body, batch.rows)
            assert not evaluated.code, evaluated.reason
            return evaluated.body

        return on_ciphertext
    seal = None if given.key is None else SealSpec(given.key.public.to_bytes(), given.facts.result_bits)
    enclave = in_session(secret, given.program.canonical, seal)
    schema = key_agreement.schema_digest(given.program.canonical, seal)
    return lambda batch, body: bytes(enclave.execute(batch_context(batch, schema), memoryview(body)))


def in_session(secret: bytes, program: bytes, seal: SealSpec | None) -> Enclave:
    enclave, key = Enclave(), Ed25519PrivateKey.generate()
    nonce, renter_public = secrets.token_bytes(key_agreement.NONCE_BYTES_MIN), key.public_key().public_bytes_raw()
    enclave_public, _ = enclave.offer(nonce, BATCH.contract, BATCH.job)
    offer = key_agreement.offer_digest(
        nonce=nonce,
        contract=BATCH.contract,
        enclave_public=enclave_public,
        claims=b"",
        policy=b"",
        renter_public=renter_public,
    )
    sealed = key_agreement.seal(secret, enclave_public, offer, key.sign)
    enclave.accept(sealed, renter_public=renter_public, policy=b"", claims=b"", program=program, seal=seal)
    return enclave


async def refusal(opening: Awaitable[object]) -> str:
    """The code with which a result is refused."""
    with pytest.raises(VerificationFailed) as refused:
        await opening
    return refused.value.code


async def test_what_is_closed_and_computed_opens_as_in_plaintext(job: Job) -> None:
    protection = job.protection()
    closed = await protection.close(BATCH)
    opened = await protection.open(BATCH, job.compute(BATCH, closed.body))
    assert opened.rows.shape == job.clear().shape
    assert np.abs(opened.rows - job.clear()).max() <= 2 * ERROR_MAX
    assert closed.core_seconds >= 0
    assert opened.core_seconds >= 0


async def test_any_worker_opens_what_another_closed(job: Job) -> None:
    body = await job.result(job.protection())
    opened = await job.protection().open(BATCH, body)
    assert np.abs(opened.rows - job.clear()).max() <= 2 * ERROR_MAX


async def test_rows_do_not_travel_in_clear(job: Job) -> None:
    body = (await job.protection().close(BATCH)).body
    for value in job.given.table.read(BATCH.first_row, BATCH.rows).ravel()[:20]:
        assert np.float64(value).tobytes() not in body


async def test_no_two_attempts_look_alike(job: Job) -> None:
    protection = job.protection()
    assert (await protection.close(BATCH)).body != (await protection.close(BATCH)).body


async def test_a_changed_result_is_refused(job: Job) -> None:
    protection = job.protection()
    body = bytearray(await job.result(protection))
    body[len(body) // 2] ^= 0x10
    assert await refusal(protection.open(BATCH, bytes(body))) in job.adapter.flipped


async def test_a_result_that_was_cut_off_is_refused(job: Job) -> None:
    protection = job.protection()
    body = await job.result(protection)
    assert await refusal(protection.open(BATCH, body[:-1])) == job.adapter.cut


async def test_the_result_of_another_batch_is_refused(job: Job) -> None:
    """Whether or not this worker closed the batch itself."""
    protection = job.protection()
    body = await job.result(protection, OTHER)
    await protection.close(BATCH)
    assert await refusal(protection.open(BATCH, body)) == job.adapter.of_others
    assert await refusal(job.protection().open(BATCH, body)) == job.adapter.of_others


async def test_the_result_of_another_attempt_is_refused_or_as_good(job: Job) -> None:
    protection = job.protection()
    body = await job.result(protection, AGAIN)
    if job.adapter.of_other_attempt:
        assert await refusal(protection.open(BATCH, body)) == job.adapter.of_other_attempt
    else:
        assert np.abs((await protection.open(BATCH, body)).rows - job.clear()).max() <= 2 * ERROR_MAX


async def test_a_lessor_that_gives_the_request_back_is_refused(job: Job) -> None:
    """But where the renter adds up the slots, the request of a sum of one column is a right result."""
    protection = job.protection()
    body = (await protection.close(BATCH)).body
    if job.adapter.scheme in {"bfv", "ckks"} and job.given.program.sum_rows:
        assert np.abs((await protection.open(BATCH, body)).rows - job.clear()).max() <= ERROR_MAX
    else:
        assert await refusal(protection.open(BATCH, body))


async def test_rows_that_changed_since_are_the_renters_own_fault(job: Job) -> None:
    path = job.given.table.folder / VALUES
    path.write_bytes(path.read_bytes() + bytes(16))
    with pytest.raises(BadData, match="changed since the job began"):
        await job.protection().close(BATCH)


async def test_nothing_shows_keys(job: Job) -> None:
    protection = job.protection()
    opened = await protection.open(BATCH, await job.result(protection))
    shown = f"{job.given!r} {protection!r} {opened!r}"
    hidden = [job.secret] + ([job.given.key.to_bytes()] if job.given.key is not None else [])
    for secret in hidden:
        assert secret[:32].hex() not in shown
        assert repr(secret)[2:40] not in shown
    await protection.forget()


async def test_another_jobs_secret_opens_nothing(job: Job) -> None:
    """Nor another subtask's: each lessor has its own."""
    body = await job.result(job.protection())

    async def other(subtask: str) -> bytes:
        return secrets.token_bytes(key_agreement.SECRET_BYTES)

    if job.adapter.traits.attested:
        stranger = BUILDERS[job.adapter.traits](replace(job.given, secret=other))
        assert await refusal(stranger.open(BATCH, body)) == "commitment"


@pytest.mark.parametrize("name", ["enclave", "sealed"])
async def test_rows_of_a_float32_program_travel_in_half_the_bytes_and_give_the_same(
    name: str, paillier_key: SecretKey, tmp_path: Path
) -> None:
    bodies = []
    for kind in (TensorProto.FLOAT, TensorProto.DOUBLE):
        info = [helper.make_tensor_value_info(name, kind, ["N", 2]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"])], "square", info[:1], info[1:])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        job = job_of(ADAPTERS[name], made.SerializeToString(), paillier_key, tmp_path / f"{kind}.csv")
        closed = await job.protection().close(BATCH)
        bodies.append(len(closed.body))
        opened = await job.protection().open(BATCH, job.compute(BATCH, closed.body))
        sealing = 2.0**-RESULT_BITS if name == "sealed" else 0.0
        np.testing.assert_allclose(opened.rows, job.clear(), rtol=0, atol=sealing)
    assert bodies[1] - bodies[0] == BATCH.rows * 2 * 4
