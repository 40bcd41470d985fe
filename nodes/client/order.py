"""What a user asks for, in the form that a renter takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nodes.client.errors import told_in_python
from nodes.client.frames import Given, Shape, given
from nodes.client.programs import label_type, program_bytes
from nodes.client.wishes import FitWishes, Model, ScoreWishes, Whom, Wishes, fit_options, options, score_options

if TYPE_CHECKING:
    from nodes.renter.submission import JobOptions


@dataclass(frozen=True, slots=True)
class Order:
    """A job that is not submitted yet."""

    given: Given
    program: bytes = field(repr=False)
    local_program: bytes | None = field(repr=False)
    options: JobOptions


def fit_order(data: object, label: str, whom: Whom, wishes: FitWishes, *, own_lessors: int | None) -> Order:
    """Of a model of both parties' columns; its result is a table of weights. Raises BadInput as `order`."""
    with told_in_python():
        asked = fit_options(label, whom, wishes, own_lessors)
        brought = given(data, asked.id_column)
        return Order(Given(brought.data, Shape(brought.shape.library)), b"", None, asked)


def score_order(data: object, model: Model, wishes: ScoreWishes, *, own_lessors: int | None) -> Order:
    """Of rows to score with a model of both parties' columns. Raises BadInput as `order`."""
    with told_in_python():
        asked = score_options(model, wishes, own_lessors)
        return Order(given(data, asked.id_column), b"", None, asked)


def order(data: object, model: object, wishes: Wishes, *, own_lessors: int | None) -> Order:
    """Make it; a model may take seconds to convert.

    Raises:
        BadInput: data, model or wishes are of no kind that is known; says which are.
    """
    with told_in_python():
        asked = options(wishes, own_lessors)
        local = wishes.get("local_program")
        brought = given(data, asked.id_column)
        labels = label_type(model if local is None else local)
        return Order(
            given=replace(brought, shape=replace(brought.shape, labels=labels)),
            program=program_bytes(model),
            local_program=None if local is None else program_bytes(local),
            options=asked,
        )
