"""What a job computed, and how far its results may be from plaintext without being wrong.

What is allowed never comes from what is held against it, and of each row by its own numbers: a row of large ones
excuses no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from nodes.programs import runtime
from nodes.programs.affine import AffineMap
from nodes.programs.compile import affine
from nodes.programs.cut import Cut
from nodes.programs.linear_inside import opened
from nodes.programs.operators import ML
from nodes.programs.parts import giving
from nodes.programs.polynomial import polynomial
from nodes.programs.program import Program
from schemas.errors import BadProgram

ROUNDINGS: Final = {"float64": 1e-12, "float32": 2.0**-21, "float16": 2.0**-9}
"""Of a sum of absolute terms, by the type that a program computes in: what sums in another order, or without the type's
rounding, may differ by. float32 rounds an addition by 2^-24 at most; sums of many terms are added up in several lanes,
and what is rounded off is as often more as it is less.
"""

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Computed:
    """What a job computed."""

    program: Program
    local: Program | None
    cut: Cut | None
    max_error: float

    @property
    def whole(self) -> Mapping[int, tuple[str, ...]]:
        """Results that are whole numbers, and the texts that they stand for."""
        return (self.local or self.program).whole

    @property
    def rounding(self) -> float:
        """Of the program's types, as a share of a sum of absolute terms; operators of ai.onnx.ml compute in float32."""
        types = {each.dtype.name for each in self.program.inputs} | {"float64"}
        for node in self.program.nodes:
            if node.operator == "Cast":
                types.add(helper.tensor_dtype_to_np_dtype(node.integer("to", TensorProto.DOUBLE)).name)
            elif node.domain == ML:
                types.add("float32")
        return max(ROUNDINGS.get(each, 0.0) for each in types)

    def finished(self, rows: Rows) -> Rows:
        """What the local program makes of results."""
        return rows if self.local is None else runtime.evaluate(self.local, rows)

    def errors(self, columns: Rows) -> Rows:
        """How far values at the cut may be from the whole program's, two of them together: [rows, numbers].

        By the wished error and by rounding, also that of the whole program's operators before they were opened.
        """
        assert self.cut is not None
        made = runtime.session(giving(opened(self.program.canonical, absolute=True), self.cut.at))
        values = runtime.run(made, self.cut.at, runtime.feeds(self.program.inputs, columns))
        terms = np.concatenate([np.abs(each.reshape(len(columns), -1)) for each in values], axis=1, dtype=np.float64)
        mapped = map_of(self.cut.beginning)
        terms = terms if mapped is None else np.maximum(terms, absolute_terms(mapped, columns))
        return 2 * (self.max_error + self.rounding * terms)

    def spread(self, columns: Rows, errors: Rows) -> Rows:
        """How far each result moves if values at the cut do, by `errors`: [rows, results].

        From what the two parts give, not from what the whole program gives: a wrong cut excuses nothing.
        """
        assert self.cut is not None
        at, rest = runtime.evaluate(self.cut.beginning, columns), self.cut.rest
        still = self.finished(runtime.evaluate(rest, at))
        total = np.zeros_like(still)
        for position in range(at.shape[1]):
            step = np.where(np.arange(at.shape[1]) == position, errors, 0.0)
            moved = [self.finished(runtime.evaluate(rest, each)) for each in (at - step, at + step)]
            total += np.abs(np.array(moved) - still).max(axis=0)
        return total


def map_of(program: Program) -> AffineMap | None:
    """The program's map, if it is affine or a polynomial."""
    for compiled in (affine, polynomial):
        with suppress(BadProgram):
            return compiled(program)
    return None


def absolute_terms(mapped: AffineMap, columns: Rows) -> Rows:
    """Sums of absolute terms: [rows, results]; of one row with `sum_rows`."""
    rows = np.abs(columns)
    rows = np.column_stack([rows, *(rows[:, list(each)].prod(axis=1) for each in mapped.products)])
    return (rows.sum(axis=0, keepdims=True) if mapped.sum_rows else rows) @ np.abs(mapped.weights) + np.abs(mapped.bias)
