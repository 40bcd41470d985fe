"""A batch goes out encrypted and comes back audited: right results are decoded, others refused with their code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from nodes.crew.crew import Kit
from nodes.data.manifest import VALUES
from nodes.data.table import Table
from nodes.homomorphic.audit import CANARIES
from nodes.homomorphic.ckks import linear as ckks
from nodes.homomorphic.ckks.seal import SLOTS
from nodes.homomorphic.encoding import integer_program, quantise
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import SecretKey
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.renter.protections.ciphertext import Decrypted, Plan, decrypt, encrypt
from nodes.renter.protections.sealed import open_sealed
from schemas.jobs import Batch
from tests.conformance.test_protection import BATCH, PROGRAMS, ROWS
from tests.support.tables import table_of

MAX_ERROR: Final = 1e-3


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("data") / "input.csv"
    values = np.random.default_rng(3).uniform(-100, 100, size=(ROWS, 2))
    path.write_text("a,b\n" + "".join(f"{a:.6f},{b:.6f}\n" for a, b in values))
    return table_of(path, "a", "b")


@pytest.fixture(scope="module")
def paillier_key() -> PaillierSecret:
    return paillier.generate(2048)


@dataclass(frozen=True)
class Case:
    """A plan, and what the program gives for a batch's rows in plaintext."""

    plan: Plan
    program: bytes

    def clear(self, batch: Batch = BATCH) -> NDArray[np.float64]:
        return runtime.evaluate(check(self.program), self.plan.table.read(batch.first_row, batch.rows))

    def computed(self, body: bytes, batch: Batch = BATCH) -> bytes:
        """As a lessor computes it."""
        return self.plan.key.public.evaluate(body, batch.rows, self.plan.program)

    def values(self, opened: Decrypted) -> NDArray[np.float64]:
        assert (opened.code, opened.reason) == ("", "")
        return np.frombuffer(opened.result, "<f8").reshape(-1, self.plan.program.width_out)


def case_of(table: Table, program: bytes, make_key: Callable[[int], SecretKey], slots: int) -> Case:
    checked = check(program)
    columns = table if checked.width_in == 2 else table_of(table.folder.with_name("input.csv"), "a")
    mapped = affine(checked)
    fixed, _ = quantise(mapped, columns.bounds, BATCH.rows, slots=slots, max_error=MAX_ERROR)
    key, integers = make_key(fixed.input_bits), integer_program(mapped, fixed)
    return Case(Plan(columns, key, integers, fixed, "fixed-base"), program)


@pytest.fixture(params=["paillier", "ckks"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(PROGRAMS))
def case(request: pytest.FixtureRequest, scheme: str, table: Table, paillier_key: PaillierSecret) -> Case:
    program = PROGRAMS[request.param]
    if scheme == "ckks":
        return case_of(table, program, ckks.generate, SLOTS)
    return case_of(table, program, lambda bits: paillier_key, paillier_key.public.slots)


@pytest.fixture
def exact(table: Table, paillier_key: PaillierSecret) -> Case:
    return case_of(table, PROGRAMS["rows"], lambda bits: paillier_key, paillier_key.public.slots)


@pytest.mark.parametrize("kept", [True, False])
def test_a_batch_comes_back_as_in_plaintext(case: Case, kept: bool) -> None:
    """Whether this worker kept what it expects, or another encrypted the batch."""
    made = encrypt(case.plan, BATCH)
    assert not made.refused
    opened = decrypt(case.plan, BATCH, case.computed(made.body), made.expected if kept else None)
    values = case.values(opened)
    assert values.shape == case.clear().shape
    assert np.abs(values - case.clear()).max() <= 2 * MAX_ERROR


def test_plans_survive_the_way_into_a_process(case: Case) -> None:
    here, there = case.plan, pickle.loads(Kit.of(case.plan).packed)
    made = encrypt(there, BATCH)
    assert case.values(decrypt(here, BATCH, case.computed(made.body), made.expected)).any()
    made = encrypt(here, BATCH)
    assert case.values(decrypt(there, BATCH, case.computed(made.body), None)).any()


def test_exact_noise_is_opened_the_same(exact: Case) -> None:
    plan = replace(exact.plan, noise="exact")
    made = encrypt(plan, BATCH)
    assert np.abs(exact.values(decrypt(plan, BATCH, exact.computed(made.body), None)) - exact.clear()).max() < MAX_ERROR


@pytest.mark.parametrize("kept", [True, False])
def test_a_changed_result_is_refused(case: Case, kept: bool) -> None:
    """In one row, of a batch whose rows are all audited: exactly, or all of them canaries."""
    assert BATCH.rows <= CANARIES
    plan, public = case.plan, case.plan.key.public
    made = encrypt(plan, BATCH)
    rows = 1 if plan.program.sum_rows else BATCH.rows
    change = np.zeros((rows, plan.program.width_out), dtype=np.int64)
    change[-1, -1] = 1 << plan.fixed_point.input_bits
    assert change.max() > 2 * plan.auditor(BATCH).tolerance
    changed = public.add(case.computed(made.body), public.encrypt(change), rows, plan.program.width_out)
    refused = decrypt(plan, BATCH, changed, made.expected if kept else None)
    assert (refused.code, refused.result) == ("wrong-result", b"")
    assert "the lessor computed otherwise" in refused.reason


def test_the_smallest_change_of_an_exact_result_is_refused(exact: Case) -> None:
    made, public = encrypt(exact.plan, BATCH), exact.plan.key.public
    change = np.zeros((BATCH.rows, 2), dtype=np.int64)
    change[17, 1] = 1
    changed = public.add(exact.computed(made.body), public.encrypt(change), BATCH.rows, 2)
    assert decrypt(exact.plan, BATCH, changed, made.expected).code == "wrong-result"


def test_the_result_of_other_rows_is_refused(case: Case) -> None:
    other = structs.replace(BATCH, first_row=BATCH.first_row + 1)
    made, theirs = encrypt(case.plan, BATCH), encrypt(case.plan, other)
    assert decrypt(case.plan, BATCH, case.computed(theirs.body), made.expected).code == "wrong-result"


def test_every_batch_and_attempt_is_audited_by_another_secret(exact: Case) -> None:
    attempts = [BATCH, structs.replace(BATCH, attempt=2), structs.replace(BATCH, batch=4)]
    expected = [encrypt(exact.plan, each).expected for each in attempts]
    assert len({each.sums for each in expected}) == len(attempts)


@pytest.mark.parametrize("filler", [b"\x00", b"\xff"])
def test_bytes_that_are_no_ciphertext_are_refused(case: Case, filler: bytes) -> None:
    made = encrypt(case.plan, BATCH)
    refused = decrypt(case.plan, BATCH, filler * len(case.computed(made.body)), made.expected)
    assert (refused.code, refused.result) == ("ciphertext-invalid", b"")


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_result_of_another_length_is_refused(case: Case, cut: int) -> None:
    body = case.computed(encrypt(case.plan, BATCH).body)
    other = b"" if not cut else body[:cut] if cut < 0 else body + b"\0"
    assert decrypt(case.plan, BATCH, other, None).code == "ciphertext-length"


def test_rows_past_the_bound_are_refused_in_words(case: Case) -> None:
    fixed = case.plan.fixed_point
    narrow = structs.replace(fixed, column_exponents=tuple(each - 1 for each in fixed.column_exponents))
    made = encrypt(replace(case.plan, fixed_point=narrow), BATCH)
    assert made.body == b""
    assert "the bound that the job was planned with" in made.refused


def test_a_file_that_changed_since_is_refused_in_words(exact: Case, tmp_path: Path) -> None:
    copy = tmp_path / "input.csv"
    copy.write_text("a,b\n" + "1,2\n" * ROWS)
    plan = replace(exact.plan, table=table_of(copy, "a", "b"))
    assert not encrypt(plan, BATCH).refused
    (plan.table.folder / VALUES).write_bytes(bytes(16))
    assert "has changed since the job began" in encrypt(plan, BATCH).refused


def test_nothing_shows_the_key(exact: Case, paillier_key: PaillierSecret) -> None:
    made = encrypt(exact.plan, BATCH)
    shown = f"{exact.plan!r} {Kit.of(exact.plan)!r} {decrypt(exact.plan, BATCH, made.body, None)!r}"
    secret = paillier_key.to_bytes()
    assert "PaillierSecret" not in shown
    for number in (paillier_key.p, paillier_key.q):
        assert str(number) not in shown
        assert f"{int(number):x}" not in shown
    assert repr(secret)[2:40] not in shown
    assert secret[:40].hex() not in shown


def test_sealed_results_are_opened_as_fixed_point_numbers(paillier_key: PaillierSecret) -> None:
    numbers = np.array([[1.5, -2.25], [1e6, 0.125]])
    body = paillier_key.public.encrypt((numbers * 2.0**20).astype(np.int64))
    opened = open_sealed(paillier_key, body, 2, 2, 20)
    assert (np.frombuffer(opened.result, "<f8").reshape(2, 2) == numbers).all()


def test_sealed_results_that_cannot_be_opened_say_why(paillier_key: PaillierSecret) -> None:
    body = paillier_key.public.encrypt(np.ones((2, 1), dtype=np.int64))
    assert open_sealed(paillier_key, body[:-1], 2, 1, 20).code == "ciphertext-length"
    assert open_sealed(paillier_key, bytes(len(body)), 2, 1, 20).code == "ciphertext-invalid"
