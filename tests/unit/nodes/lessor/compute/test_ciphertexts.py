"""A lessor computes on ciphertexts what was agreed; strangers' keys, programs and bytes are refused and end nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
from msgspec import structs

from nodes.crew.crew import Crew, Kit
from nodes.homomorphic import schemes
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.encoding import integer_program
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import IntegerProgram, PublicKey
from nodes.lessor.compute import ciphertexts
from nodes.lessor.compute.ciphertexts import CiphertextComputer, Subtask
from nodes.lessor.compute.port import BatchRefused, CannotCompute
from nodes.programs.build import linear
from nodes.programs.check import check
from nodes.programs.compile import affine
from schemas.ids import derive_id
from schemas.jobs import Batch, FixedPoint, SubtaskTerms
from schemas.manifest import cut
from tests.unit.nodes.lessor.rentals import contract
from tests.unit.nodes.programs.models import data, model, node

PROGRAM: Final = linear({"a": [2.0], "b": [-1.5]}, [10.0])
SIGMOID: Final = data(model([node("Sigmoid", ["x"], ["y"])], {"x": 2}))
FIXED: Final = FixedPoint(column_exponents=(0, 0), input_bits=20, weight_bits=1)
INTEGERS: Final = IntegerProgram(((4, -3),), (10 << 21,), input_max=1 << 20)
ROWS: Final = 40
SECONDS_MAX: Final = 60
BATCH: Final = Batch(
    job=derive_id("job", 1),
    subtask=derive_id("subtask", 1),
    contract=derive_id("contract", 1),
    batch=0,
    attempt=1,
    first_row=0,
    rows=ROWS,
)


@dataclass(frozen=True)
class Deadly(Subtask):
    """Whoever reads its key dies of it, as of a bug in a parser."""

    @property
    def public(self) -> PublicKey:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError("alive")


@pytest.fixture(scope="module")
def key() -> PaillierSecret:
    return paillier.generate(2048).laid_out(INTEGERS)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    crew = Crew(1)
    yield crew
    asyncio.run(crew.close())


@pytest.fixture(autouse=True)
async def _in_time() -> AsyncIterator[None]:
    async with asyncio.timeout(SECONDS_MAX):
        yield


def terms(**changes: Any) -> SubtaskTerms:
    agreed = contract()
    fields = SubtaskTerms(
        job=agreed.buy.job,
        subtask=derive_id("subtask", 1),
        contract=agreed,
        protection="homomorphic",
        program=cut(PROGRAM)[0],
        width_in=2,
        width_out=1,
        scheme="paillier",
        fixed_point=FIXED,
        computation=program_digest(INTEGERS),
    )
    return structs.replace(fields, **changes)


async def test_results_are_what_the_program_gives(crew: Crew, key: PaillierSecret) -> None:
    assert integer_program(affine(check(PROGRAM)), FIXED) == INTEGERS
    values = np.random.default_rng(3).integers(-1000, 1000, size=(ROWS, 2), dtype=np.int64)
    computer = await CiphertextComputer.build(terms(), PROGRAM, key.public.to_bytes(), crew)
    computed = await computer.compute(BATCH, key.public.encrypt(values))
    result = key.decrypt(computed.body, ROWS, 1)
    assert (result == values @ np.array([[4], [-3]]) + (10 << 21)).all()
    assert computed.core_seconds > 0
    await computer.close()


@pytest.mark.parametrize(
    ("changes", "program", "code"),
    [
        ({}, b"this is no program", "bad-program"),
        ({}, SIGMOID, "bad-program"),
        ({"fixed_point": structs.replace(FIXED, column_exponents=(0,))}, PROGRAM, "bad-program"),
        ({"fixed_point": structs.replace(FIXED, input_bits=64)}, PROGRAM, "bad-program"),
        ({"fixed_point": structs.replace(FIXED, weight_bits=2)}, PROGRAM, "other-computation"),
        ({"computation": "0" * 64}, PROGRAM, "other-computation"),
        ({"computation": None}, PROGRAM, "other-computation"),
    ],
)
async def test_terms_and_programs_that_cannot_be_used_are_refused_with_their_code(
    crew: Crew, key: PaillierSecret, changes: dict[str, Any], program: bytes, code: str
) -> None:
    with pytest.raises(CannotCompute) as refused:
        await CiphertextComputer.build(terms(**changes), program, key.public.to_bytes(), crew)
    assert refused.value.code == code


async def test_a_scheme_that_is_not_installed_is_refused(
    crew: Crew, key: PaillierSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemes, "find_spec", lambda name: None)
    with pytest.raises(CannotCompute, match="pip install") as refused:
        await CiphertextComputer.build(terms(scheme="ckks"), PROGRAM, b"", crew)
    assert refused.value.code == "no-scheme"


@pytest.mark.parametrize("scheme", ["paillier", "paillier-subgroup", "ckks"])
@pytest.mark.parametrize("raw", [b"", b"SPP1", bytes(1000), b"SCP2" + b"\xff" * 100])
async def test_keys_that_cannot_be_read_are_refused(
    crew: Crew, monkeypatch: pytest.MonkeyPatch, scheme: str, raw: bytes
) -> None:
    monkeypatch.setattr(schemes, "find_spec", lambda name: object())
    with pytest.raises(CannotCompute) as refused:
        await CiphertextComputer.build(terms(scheme=scheme), PROGRAM, raw, crew)
    assert refused.value.code == "bad-key"


async def test_a_key_that_kills_who_reads_it_is_refused_and_the_next_subtask_works(
    crew: Crew, key: PaillierSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ciphertexts, "Subtask", Deadly)
        with pytest.raises(CannotCompute, match="the key cannot be read") as refused:
            await CiphertextComputer.build(terms(), PROGRAM, key.public.to_bytes(), crew)
    assert refused.value.code == "bad-key"
    assert await works(await CiphertextComputer.build(terms(), PROGRAM, key.public.to_bytes(), crew), key)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda body: b"", "ciphertext-length"),
        (lambda body: body[:-1], "ciphertext-length"),
        (lambda body: body + b"\0", "ciphertext-length"),
        (lambda body: bytes(len(body)), "ciphertext-invalid"),
        (lambda body: b"\xff" * len(body), "ciphertext-invalid"),
        (lambda body: bytes(len(body) - 1) + b"\1", "ciphertext-invalid"),
    ],
)
async def test_bytes_that_are_no_ciphertexts_are_refused_and_may_be_tried_again(
    crew: Crew, key: PaillierSecret, make: Any, code: str
) -> None:
    computer = await CiphertextComputer.build(terms(), PROGRAM, key.public.to_bytes(), crew)
    body = key.public.encrypt(np.ones((ROWS, 2), dtype=np.int64))
    with pytest.raises(BatchRefused) as refused:
        await computer.compute(BATCH, make(body))
    assert (refused.value.code, refused.value.final) == (code, False)
    assert await works(computer, key)


async def test_a_program_that_could_overflow_fails_everywhere(crew: Crew, key: PaillierSecret) -> None:
    wide = structs.replace(FIXED, input_bits=52, weight_bits=40)
    computation = program_digest(integer_program(affine(check(PROGRAM)), wide))
    agreed = terms(fixed_point=wide, computation=computation)
    computer = await CiphertextComputer.build(agreed, PROGRAM, key.public.to_bytes(), crew)
    with pytest.raises(BatchRefused, match="a result could reach") as refused:
        await computer.compute(BATCH, key.public.encrypt(np.ones((ROWS, 2), dtype=np.int64)))
    assert (refused.value.code, refused.value.final) == ("bad-program", True)


async def test_a_batch_that_kills_its_process_is_refused_and_the_next_one_works(
    crew: Crew, key: PaillierSecret
) -> None:
    deadly = CiphertextComputer(crew, Kit.of(Deadly("paillier", key.public.to_bytes(), INTEGERS)))
    body = key.public.encrypt(np.ones((ROWS, 2), dtype=np.int64))
    with pytest.raises(BatchRefused, match=str(-signal.SIGSEGV)) as refused:
        await deadly.compute(BATCH, body)
    assert (refused.value.code, refused.value.final) == ("ciphertext-invalid", False)
    assert await works(CiphertextComputer(crew, Kit.of(Subtask("paillier", key.public.to_bytes(), INTEGERS))), key)


async def test_batches_go_on_after_a_subtask_was_closed(crew: Crew, key: PaillierSecret) -> None:
    one, other = [await CiphertextComputer.build(terms(), PROGRAM, key.public.to_bytes(), crew) for _ in range(2)]
    assert await works(one, key)
    await one.close()
    assert await works(other, key)


def test_nothing_shows_key_or_program(key: PaillierSecret) -> None:
    subtask = Subtask("paillier", key.public.to_bytes(), INTEGERS)
    assert repr(subtask) == "Subtask(scheme='paillier')"
    assert repr(Kit.of(subtask)) == "Kit()"


async def works(computer: CiphertextComputer, key: PaillierSecret) -> bool:
    values = np.ones((ROWS, 2), dtype=np.int64)
    computed = await computer.compute(BATCH, key.public.encrypt(values))
    return bool((key.decrypt(computed.body, ROWS, 1) == 1 + (10 << 21)).all())
