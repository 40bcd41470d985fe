"""Moves are proved row by row by the places that come back, whatever the operator says of its axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nodes.programs.call import Call
from nodes.programs.limits import ProgramLimits
from nodes.programs.moves import moving
from nodes.programs.program import Node, Signature
from nodes.programs.values import Array, Forms, Kind, Value, constant
from schemas.errors import BadProgram

NODE = Node("Moved", "", Signature((1, 1), ("x",), 1, {}), ("x",), ("y",), {}, (True,))
ROW = np.arange(12.0).reshape(4, 1, 3)
"""Forms in three columns and a constant, of values [N, 3]."""


def moved(move: Callable[..., Sequence[Array]], *more: Value, kind: Kind = Kind.ROWS) -> Value:
    operands = (Value(ROW, kind), *more)
    (value,) = moving(move, lambda call: call.all())(Call(NODE, operands, Forms(4, ProgramLimits())))
    return value


@pytest.mark.parametrize(
    "move",
    [
        lambda _, x: (x[::-1],),
        lambda _, x: (x[:1],),
        lambda _, x: (np.concatenate([x, x]),),
        lambda _, x: (np.roll(x.reshape(-1), 1).reshape(x.shape),),
        lambda _, x: (np.broadcast_to(x[:1], x.shape),),
        lambda _, x: (np.where(np.arange(len(x))[:, np.newaxis] == 1, x[:, ::-1], x),),
        lambda _, x: (np.triu(x),),
        lambda _, x: (np.asarray(x[0, 0]),),
    ],
    ids=["turned", "one", "twice", "rolled", "first for all", "one other", "triangle", "number"],
)
def test_rows_that_do_not_each_get_the_same_of_themselves_are_refused(move: Callable[..., Sequence[Array]]) -> None:
    with pytest.raises(BadProgram, match="rows must stay the first axis"):
        moved(move)


def test_forms_are_picked_by_the_places_that_come_back() -> None:
    value = moved(lambda _, x: (np.pad(x[:, ::-1], [(0, 0), (1, 0)]),))
    assert value.kind is Kind.ROWS
    np.testing.assert_array_equal(value.array, np.pad(ROW[:, :, ::-1], [(0, 0), (0, 0), (1, 0)]))


def test_a_constant_that_is_moved_along_stands_in_the_constant_part() -> None:
    value = moved(lambda _, x, c: (np.concatenate([x, np.broadcast_to(c, (len(x), 1))], axis=1),), constant(np.ones(1)))
    np.testing.assert_array_equal(value.array[:, 0, 3], [0.0, 0.0, 0.0, 1.0])


def test_a_sum_over_rows_may_be_moved_in_any_way() -> None:
    value = moved(lambda _, x: (x[::-1].reshape(-1)[1:],), kind=Kind.SUMMED)
    np.testing.assert_array_equal(value.array, ROW[:, 0, 1:])
