"""Whatever job is accepted under BFV has a key whose bound is proved, whatever its weights, bounds, rows and error."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nodes.homomorphic.bfv.parameters import FRESH_NOISE, fitting, margin
from nodes.homomorphic.packing import blocks_of
from nodes.programs.build import aggregate_sum, linear
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.renter.prediction.encodings import encoding
from schemas.ids import derive_id
from schemas.jobs import JobSpec
from tests.support.seal import needs_seal

WIDTH: Final = 3
NAMES: Final = ("a", "b", "c")

numbers = st.floats(-1e6, 1e6, width=32)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[JobSpec, bytes, Any]:
    """Wishes, a program, and what is known of a table."""
    if draw(st.booleans()):
        program, width = aggregate_sum("a"), 1
    else:
        program, width = linear({name: [draw(numbers)] for name in NAMES}, [draw(numbers)], ["y"]), WIDTH
    bounds = np.array(draw(st.lists(st.floats(0, 1e9), min_size=width, max_size=width)))
    whole = np.array(draw(st.lists(st.booleans(), min_size=width, max_size=width)))
    table = SimpleNamespace(rows=draw(st.integers(1, 10**7)), bounds=bounds, whole=whole)
    error = 10.0 ** -draw(st.integers(0, 9))
    batch_rows = draw(st.none() | st.integers(1, 1 << 15))
    return (
        JobSpec(id=derive_id("job", 1), data="0" * 64, program="0" * 64, max_error=error, batch_rows=batch_rows),
        program,
        table,
    )


@needs_seal
@settings(max_examples=50, deadline=None)
@given(job=jobs())
def test_the_margin_of_a_job_that_is_accepted_is_never_negative(job: tuple[JobSpec, bytes, Any]) -> None:
    spec, model, table = job
    program = check(model)
    found = encoding(spec, program, table, affine(program), "bfv")
    event("refused" if found.refused else "accepted")
    if found.refused:
        return
    assert found.program is not None
    assert found.error_bound is not None
    assert found.error_bound <= spec.max_error
    key = fitting(found.program, found.rows_most, found.at)
    assert key.chosen == found.at
    assert margin(key) > 0
    blocks = blocks_of(found.rows_most, key.set.degree) if found.program.sum_rows else 1
    assert key.noise >= max(sum(map(abs, row)) for row in found.program.weights) * blocks * FRESH_NOISE
    assert key.limit >= found.program.largest(blocks)
