"""A rehearsal times every part of a batch of the job's own rows, and tells seconds per row."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.data.table import Table
from nodes.enclave.agreement.chunks import BatchContext
from nodes.enclave.child.engine import Enclave
from nodes.homomorphic.encoding import integer_program, quantise
from nodes.programs.build import linear
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.renter.prediction import rehearsal
from nodes.renter.prediction.predict import CiphertextParts, EnclaveParts, Part
from nodes.renter.prediction.rehearsal import (
    ENOUGH_SECONDS,
    GROWTH,
    ROUND_SECONDS,
    ROUNDS,
    ROUNDS_MAX,
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
STEADY = Part(start=0.0, batch=TICK, row=0.0)
"""What takes a tick for one row as for many."""
FREE = Part(0.0, 0.0, 0.0)
HEAVY = 0.0625
"""Seconds that a row of a heavy program takes."""


class Ticking:
    """A clock on which everything takes one tick."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def process_time(self) -> float:
        self.seconds += TICK
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Costs no processor time."""


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
def test_seconds_around_ciphertexts_are_told(table: Table, approximate: bool) -> None:
    rehearsed = rehearse_ciphertext(ciphertext(table, approximate), 20, 40)
    assert rehearsed == CiphertextParts(STEADY, STEADY, STEADY)


def test_seconds_around_and_in_an_enclave_are_told(table: Table) -> None:
    rehearsed = rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 0, 10)
    assert rehearsed == EnclaveParts(STEADY, STEADY, STEADY, STEADY)


@dataclass
class Reads:
    """Tables whose reading has a price: the first time, per row for which memory is new, then per batch and per row."""

    clock: Ticking
    start: float = 0.0
    grown: float = 0.0
    batch: float = 0.0
    row: float = 0.0
    counts: list[int] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = Table.read

        def read(table: Table, first: int, count: int) -> NDArray[np.float64]:
            new = max(0, count - max(self.counts, default=0))
            self.clock.seconds += self.batch + count * self.row + new * self.grown
            self.clock.seconds += 0.0 if self.counts else self.start
            self.counts.append(count)
            return honest(table, first, count)

        monkeypatch.setattr(Table, "read", read)


def test_a_part_has_a_start_a_price_per_batch_and_one_per_row(
    table: Table, clock: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(clock, start=16 * TICK, grown=2 * TICK, batch=4 * TICK, row=TICK / 8)
    reads.install(monkeypatch)
    rehearsals: list[Callable[[], CiphertextParts | EnclaveParts]] = [
        lambda: rehearse_ciphertext(ciphertext(table), 20, 40),
        lambda: rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 20, 40),
    ]
    for rehearse in rehearsals:
        reads.counts.clear()
        found = rehearse().read
        assert found.batch == pytest.approx(5 * TICK)
        assert found.row == pytest.approx(TICK / 8)
        assert found.start == pytest.approx((16 + 2 * 40) * TICK)


def test_garbage_is_looked_for_before_and_after(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that holds much that costs more than a batch, and falls on any part."""
    sweeping: list[bool] = []
    honest = Table.read

    def read(table: Table, first: int, count: int) -> NDArray[np.float64]:
        sweeping.append(gc.isenabled())
        return honest(table, first, count)

    monkeypatch.setattr(Table, "read", read)
    rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 20, 3)
    assert not any(sweeping)
    assert gc.isenabled()


def test_of_one_row_all_is_the_rows(table: Table) -> None:
    assert rehearse_ciphertext(ciphertext(table), 20, 1).read == Part(0.0, 0.0, TICK)


def test_a_batch_at_the_end_is_as_short_as_it_is(table: Table, clock: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(clock)
    reads.install(monkeypatch)
    rehearse_ciphertext(ciphertext(table), 80, 40)
    rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 80, 40)
    assert max(reads.counts) == 20


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


@pytest.mark.parametrize(("row_seconds", "rounds"), [(ENOUGH_SECONDS / 400, ROUNDS_MAX), (ENOUGH_SECONDS, ROUNDS)])
def test_what_is_soon_over_is_rehearsed_oftener(
    table: Table, clock: Ticking, monkeypatch: pytest.MonkeyPatch, row_seconds: float, rounds: int
) -> None:
    reads = Reads(clock, row=row_seconds)
    reads.install(monkeypatch)
    rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 20, 3)
    assert reads.counts.count(3) == 1 + rounds


def test_a_program_that_fails_on_the_rows_costs_nothing_yet(table: Table) -> None:
    never = check(data(model([node("Log", ["x"], ["y"])], {"x": 2})))
    rehearsed = rehearse_enclave(EnclaveScore(open_negative(table), never.canonical), 0, 10)
    assert rehearsed == EnclaveParts(STEADY, STEADY, FREE, FREE)


def test_a_program_that_fails_on_some_of_the_rows_costs_nothing_yet(tmp_path: Path) -> None:
    inverse = check(data(model([node("Reciprocal", ["x"], ["y"])], {"x": 2})))
    path = tmp_path / "some.csv"
    path.write_text("a,b\n" + "1,2\n" * 5 + "0,0\n" * 5)
    rehearsed = rehearse_enclave(EnclaveScore(table_of(path, "a", "b"), inverse.canonical), 0, 10)
    assert rehearsed == EnclaveParts(STEADY, STEADY, FREE, FREE)


def test_a_program_that_needs_too_much_memory_costs_nothing_yet(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*of: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Enclave, "execute", execute)
    rehearsed = rehearse_enclave(EnclaveScore(table, PROGRAM.canonical), 0, 10)
    assert rehearsed == EnclaveParts(STEADY, STEADY, FREE, FREE)


def open_negative(table: Table) -> Table:
    path = table.folder.with_name("negative.csv")
    path.write_text("a,b\n" + "-1,-2\n" * 10)
    return table_of(path, "a", "b")


def test_of_a_huge_batch_a_part_is_rehearsed(tmp_path: Path, clock: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(clock)
    reads.install(monkeypatch)
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * (ROWS_MAX + 10))
    long = table_of(path, "a", "b")
    rehearse_enclave(EnclaveScore(long, PROGRAM.canonical), 0, 10**6)
    assert max(reads.counts) == ROWS_MAX


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
    assert rehearsed.execute.row == pytest.approx(row_seconds, rel=0.01)
    assert clock.seconds < max(2 * ROUNDS * ROUND_SECONDS * GROWTH, 1.5 * row_seconds)
