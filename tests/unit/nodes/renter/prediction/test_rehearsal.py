"""A rehearsal times every part of a batch of the job's own rows, and tells seconds per row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.data.table import Table
from nodes.enclave.agreement.chunks import BatchContext
from nodes.enclave.child.engine import Enclave
from nodes.homomorphic.encoding import integer_program, quantise
from nodes.programs.build import linear
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.renter.prediction import rehearsal
from nodes.renter.prediction.predict import CiphertextRows, EnclaveRows
from nodes.renter.prediction.rehearsal import (
    GROWTH,
    ROUND_SECONDS,
    ROUNDS,
    ROWS_MAX,
    CiphertextScore,
    EnclaveScore,
    rehearse_ciphertext,
    rehearse_enclave,
)
from nodes.renter.protections import enclave as protection
from tests.support.tables import table_of
from tests.unit.nodes.programs.models import data, model, node

PROGRAM = check(linear({"a": [2.0], "b": [-1.0]}, [10.0]))


TICK = 2.0**-20
HEAVY = 0.0625
"""Seconds that a row of a heavy program takes."""


class Ticking:
    """A clock on which everything takes one tick."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def process_time(self) -> float:
        self.seconds += TICK
        return self.seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    ticking = Ticking()
    monkeypatch.setattr(rehearsal, "time", ticking)
    return ticking


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "input.csv"
    path.write_text("a,b\n" + "".join(f"{row},{row / 2}\n" for row in range(1, 101)))
    return table_of(path, "a", "b")


def ciphertext(table: Table, approximate: bool = False) -> CiphertextScore:
    mapped = affine(PROGRAM)
    fixed, _ = quantise(mapped, table.bounds, 1, slots=47, max_error=1e-3)
    return CiphertextScore(table, fixed, integer_program(mapped, fixed), approximate)


@pytest.mark.parametrize("approximate", [False, True])
def test_seconds_around_ciphertexts_are_told_per_row(table: Table, approximate: bool) -> None:
    rehearsed = rehearse_ciphertext(ciphertext(table, approximate), 20, 40)
    assert rehearsed == CiphertextRows(TICK / 40, TICK / 40, TICK / 40)


def test_seconds_around_and_in_an_enclave_are_told_per_row(table: Table) -> None:
    rehearsed = rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 0, 10)
    assert rehearsed == EnclaveRows(TICK / 10, TICK / 10, TICK / 10, TICK / 10)


def test_a_batch_at_the_end_is_as_short_as_it_is(table: Table) -> None:
    assert rehearse_ciphertext(ciphertext(table), 80, 40).read == TICK / 20
    assert rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 80, 40).decrypt == TICK / 20


def test_the_enclave_computes_the_rows_of_the_job(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its results come back: what is rehearsed is the way that batches take."""
    opened: list[list[float]] = []

    def decrypt(*of: Any) -> bytes:
        raw = decrypted(*of)
        opened.append(np.frombuffer(raw, "<f8").tolist())
        return raw

    decrypted = protection.decrypt
    monkeypatch.setattr(protection, "decrypt", decrypt)
    rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 20, 3)
    assert opened[-ROUNDS:] == [[2.0 * row - row / 2 + 10.0 for row in (21, 22, 23)]] * ROUNDS


def test_a_program_that_fails_on_the_rows_costs_nothing_yet(table: Table) -> None:
    never = check(data(model([node("Log", ["x"], ["y"])], {"x": 2})))
    rehearsed = rehearse_enclave(EnclaveScore(open_negative(table), never.canonical), 0, 10)
    assert rehearsed == EnclaveRows(TICK / 10, TICK / 10, 0.0, 0.0)


def test_a_program_that_needs_too_much_memory_costs_nothing_yet(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*of: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Enclave, "execute", execute)
    rehearsed = rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 0, 10)
    assert rehearsed == EnclaveRows(TICK / 10, TICK / 10, 0.0, 0.0)


def open_negative(table: Table) -> Table:
    path = table.folder.with_name("negative.csv")
    path.write_text("a,b\n" + "-1,-2\n" * 10)
    return table_of(path, "a", "b")


def test_of_a_huge_batch_a_part_is_rehearsed(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * (ROWS_MAX + 10))
    long = table_of(path, "a", "b")
    assert rehearse_enclave(EnclaveScore(long, PROGRAM.canonical), 0, 10**6).read == TICK / ROWS_MAX


@pytest.mark.parametrize("row_seconds", [HEAVY, 60.0])
def test_a_heavy_program_is_rehearsed_on_as_many_rows_as_take_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Ticking, row_seconds: float
) -> None:
    """At a sixteenth of a second per row, 20,000 rows three times are an hour."""

    def execute(self: Enclave, context: BatchContext, body: memoryview) -> memoryview:
        clock.seconds += context.rows * row_seconds
        return executed(self, context, body)

    executed = Enclave.execute
    monkeypatch.setattr(Enclave, "execute", execute)
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * (ROWS_MAX + 10))
    rehearsed = rehearse_enclave(EnclaveScore(table_of(path, "a", "b"), PROGRAM.canonical), 0, 10**6)
    assert rehearsed.execute == pytest.approx(row_seconds, rel=0.01)
    assert clock.seconds < max(2 * ROUNDS * ROUND_SECONDS * GROWTH, 1.5 * row_seconds)
