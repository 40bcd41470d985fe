"""A batch of the job's own rows, read, encoded, sealed and computed once before the job: a task for the crew.

What a row costs to read depends on the file, and what a program costs on the program; so both are tried, not guessed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from nodes.data.table import Table
from nodes.enclave import chunks
from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.quantise import decode, encode
from nodes.homomorphic.scheme import IntegerProgram
from nodes.programs import plain
from nodes.programs.check import check
from nodes.renter.predict import Rehearsed
from schemas.errors import BadInput
from schemas.jobs import FixedPoint

ROUNDS: Final = 2
ROWS_MAX: Final = 20_000
"""Rehearsed at most; a tenth of a second or so."""
_KEY: Final = bytes(32)
_CONTEXT: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Score:
    """What is rehearsed. Without `integers` nothing is encoded."""

    table: Table
    program: bytes
    fixed_point: FixedPoint | None
    integers: IntegerProgram | None
    approximate: bool = False
    """Whether the scheme is, which is audited otherwise."""


def rehearse(score: Score, first: int, rows: int) -> Rehearsed:
    """Go through one batch. What a program refuses to compute costs nothing here and is told later."""
    count = min(rows, ROWS_MAX, score.table.rows - first)
    values = score.table.read(first, count)
    raw = np.ascontiguousarray(values, "<f8").tobytes()
    program = check(score.program)
    try:
        result = plain.evaluate(program, values)
        computing = _seconds(partial(plain.evaluate, program, values))
    except BadInput:
        result, computing = np.zeros((count, program.width_out)), 0.0
    answer = np.ascontiguousarray(result, "<f8").tobytes()
    sealed, sealed_answer = (chunks.encrypt(_KEY, _CONTEXT, each) for each in (raw, answer))
    encoding, finishing = _encoding(score, values)
    total = Rehearsed(
        read=_seconds(partial(score.table.read, first, count)),
        encode=encoding,
        finish=finishing,
        plain=computing,
        seal_in=_seconds(partial(chunks.encrypt, _KEY, _CONTEXT, raw)),
        open_in=_seconds(partial(chunks.decrypt, _KEY, _CONTEXT, sealed)),
        seal_out=_seconds(partial(chunks.encrypt, _KEY, _CONTEXT, answer)),
        open_out=_seconds(partial(chunks.decrypt, _KEY, _CONTEXT, sealed_answer)),
    )
    return Rehearsed(*(getattr(total, name) / count for name in total.__struct_fields__))


def _encoding(score: Score, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    """(encoding, finishing) of all rows together."""
    fixed, program = score.fixed_point, score.integers
    if fixed is None or program is None:
        return 0.0, 0.0
    tolerance = math.inf if score.approximate else 0.0
    auditor = Auditor(program, _KEY, "", 1 if program.sum_rows else len(values), tolerance)
    expected = auditor.expect(encode(values, fixed))
    result = np.ones((auditor.rows, program.width_out), dtype=np.int64)

    def encoding() -> None:
        auditor.expect(encode(values, fixed))

    def finishing() -> None:
        auditor.honest(result, expected)
        decode(result, fixed)

    return _seconds(encoding), _seconds(finishing)


def _seconds(work: Callable[[], object]) -> float:
    """The shorter of two rounds."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)
