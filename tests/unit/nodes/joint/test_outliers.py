"""Rows that stand alone are moved until none does, whatever the table; and no others."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.joint import columns, guards, outliers
from nodes.joint.columns import Columns, Floats
from nodes.joint.errors import TooRevealing
from nodes.joint.guards import Limits
from nodes.joint.outliers import Making, Moves

RNG = np.random.default_rng(2)
PLAIN = RNG.normal(size=(600, 5))
PENALTY = 1e-3


def _with(*rows: Floats) -> Floats:
    found = PLAIN.copy()
    found[: len(rows)] = rows
    return found


def _one_hot() -> Floats:
    """Trap: every column has support, yet the first row is the only one in no category."""
    found = np.column_stack([np.arange(600) % 5 == at for at in range(5)]).astype(np.float64)
    found[0] = 0
    return found


def _in_steps() -> Floats:
    """Each row hides behind the one before: ten of them, each ten times as far out."""
    return _with(*[np.full(5, 10.0**at) * RNG.choice([-1, 1], size=5) for at in range(1, 11)])


def _copied() -> Floats:
    return np.column_stack([_with(np.full(5, 1e4)), _with(np.full(5, 1e4))[:, ::-1]])


NO_CATEGORY = _one_hot()
TABLES = {
    "one row": _with(np.full(5, 60.0)),
    "one row beyond all integers": _with(np.full(5, 1e15)),
    "one value": _with(np.array([0, 0, 0, 0, 1e7])),
    "three rows together": _with(*[np.array([0, 300.0, 0, 0, -300.0])] * 3),
    "rows on both sides": _with(np.full(5, 1e3), np.full(5, -1e3), np.array([1e3, -1e3, 1e3, -1e3, 1e3])),
    "rows behind rows": _in_steps(),
    "heavy tails": RNG.standard_cauchy(size=(600, 5)),
    "heavier tails": RNG.standard_cauchy(size=(600, 5)) ** 3,
    "lognormal": np.exp(3 * RNG.normal(size=(600, 12))),
    "columns that repeat": _copied(),
    "as wide as may be": RNG.standard_cauchy(size=(600, 60)),
}


@pytest.mark.parametrize("bits", [8, 12, 16, 26])
@pytest.mark.parametrize("penalty", [PENALTY, 0.0], ids=["ridge", "ols"])
@pytest.mark.parametrize("name", TABLES)
def test_no_row_of_the_integers_stands_alone(name: str, penalty: float, bits: int) -> None:
    values = TABLES[name]
    found, moves = outliers.moved(values, bits, penalty, Limits())
    assert _largest(found, bits, penalty) <= Limits().leverage
    assert 0 < moves.count < len(values) / 2
    assert (np.delete(found, moves.rows, axis=0) == np.delete(values, moves.rows, axis=0)).all()


@pytest.mark.parametrize("seed", range(30))
def test_integers_of_few_bits_show_no_row_either_or_there_are_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_cauchy(size=(400, 8)) ** int(rng.integers(1, 4))
    with contextlib.suppress(TooRevealing):
        found, _ = outliers.moved(values, 4, 0.0, Limits())
        assert _largest(found, 4, 0.0) <= Limits().leverage


def test_a_row_in_no_category_is_refused_where_only_rounding_tells_it_from_their_mean() -> None:
    with pytest.raises(TooRevealing) as caught:
        outliers.moved(NO_CATEGORY, 8, 0.0, Limits())
    assert caught.value.code == "high-leverage"
    found, _ = outliers.moved(NO_CATEGORY, 8, PENALTY, Limits())
    assert _largest(found, 8, PENALTY) <= Limits().leverage


def test_a_row_is_moved_to_the_limit_and_no_further_in_its_own_direction() -> None:
    values = _with(np.full(5, 60.0))
    found, moves = outliers.moved(values, 16, PENALTY, Limits())
    assert moves.rows.tolist() == [0]
    reached = guards.leverages(columns.scaled(found, 16), PENALTY * len(values))
    assert Limits().leverage * 0.9 < reached[0] <= Limits().leverage
    centre = values[1:].mean(axis=0)
    assert np.allclose((found[0] - centre) / (values[0] - centre), moves.factors[0])


def test_a_row_that_hides_others_is_moved_before_them_and_they_too() -> None:
    _, moves = outliers.moved(TABLES["rows behind rows"], 12, PENALTY, Limits())
    assert set(range(3, 10)) <= set(moves.rows.tolist())


def test_columns_without_such_rows_stay_as_they_are_and_are_made_once() -> None:
    made = list[Moves]()

    def make(moves: Moves) -> Columns:
        made.append(moves)
        return columns.scaled(moves.applied(PLAIN), 12)

    assert outliers.safe(Making(_unread, make), PENALTY, Limits(), move=True).count == 0
    assert [each.count for each in made] == [0]


def test_integers_are_made_few_times_of_an_ordinary_table() -> None:
    made = list[NDArray[np.int64]]()

    def make(moves: Moves) -> Columns:
        made.append(moves.rows)
        return columns.scaled(moves.applied(TABLES["lognormal"]), 12)

    assert outliers.safe(Making(_unread, make), PENALTY, Limits(), move=True).count > 5
    assert len(made) <= 4


@pytest.mark.parametrize("move", [False, True])
def test_moving_helps_against_rows_that_stand_alone_only(move: bool) -> None:
    rare = np.column_stack([PLAIN, np.arange(600) < 5])
    for values, code in ((PLAIN[:49], "too-few-rows"), (rare, "low-support")):
        with pytest.raises(TooRevealing) as caught:
            outliers.safe(_making(values), PENALTY, Limits(), move=move)
        assert caught.value.code == code


def test_rows_that_stand_alone_are_refused_where_they_may_not_be_moved() -> None:
    with pytest.raises(TooRevealing) as caught:
        outliers.safe(_making(TABLES["one row"]), PENALTY, Limits(), move=False)
    assert caught.value.code == "high-leverage"


def test_what_moving_does_not_help_is_refused() -> None:
    still = Making(_unread, lambda _: columns.scaled(TABLES["one row"], 12))
    with pytest.raises(TooRevealing) as caught:
        outliers.safe(still, PENALTY, Limits(), move=True)
    assert caught.value.code == "high-leverage"


def _largest(values: Floats, bits: int, penalty: float) -> float:
    return float(guards.leverages(columns.scaled(values, bits), penalty * len(values)).max())


def _making(values: Floats) -> Making:
    return Making(lambda at: values[:, at], lambda moves: columns.scaled(moves.applied(values), 12))


def _unread(_: int) -> Floats:
    raise AssertionError("no column is lacking support")
