"""Divisions of whole numbers, before the engine runs any: by 0, or of the smallest number by -1, a processor ends the
process. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.parts import giving
from nodes.programs.program import Input, Node
from nodes.programs.runtime import feeds, load, run
from nodes.programs.values import Array
from schemas.errors import BadProgram

_COUNTS: Final = (2, 3)
"""Of rows: a divisor that differs between them could be anything for others."""


def require_divisors(
    canonical: bytes, inputs: tuple[Input, ...], nodes: Sequence[Node], constants: dict[str, Array]
) -> None:
    """That whole numbers are divided by what is known, and neither 0 nor -1: by constants, and by what follows from
    them and from the shapes of rows.

    Raises BadProgram.
    """
    varying = {each.name for each in inputs}
    for node in nodes:
        if node.operator in ("Div", "Mod") and not node.domain:
            _require(canonical, inputs, node, constants.get(node.inputs[1]), node.inputs[1] in varying)
        if varying.intersection(node.inputs) and node.operator not in ("Shape", "Size"):
            varying.update(node.outputs)


def _require(canonical: bytes, inputs: tuple[Input, ...], node: Node, divisor: Array | None, varies: bool) -> None:
    if varies:
        (made,) = load(giving(canonical, [node.inputs[1]])).get_outputs()
        sound = "int" not in made.type
    else:
        known = [divisor] if divisor is not None else _divisors(canonical, inputs, node.inputs[1])
        sound = all(np.array_equal(each, known[0], equal_nan=True) and not _ends(each) for each in known)
    if not sound:
        raise BadProgram(
            f"{node.operator}: divides whole numbers by what may be 0 or -1; cast them to float before",
            operator=node.operator,
        )


def _divisors(canonical: bytes, inputs: tuple[Input, ...], name: str) -> Sequence[NDArray[Any]]:
    """The value, which does not depend on the numbers in the rows, for several numbers of rows."""
    made, width = load(giving(canonical, [name])), sum(each.width for each in inputs)
    return [run(made, [name], feeds(inputs, np.zeros((count, width))))[0] for count in _COUNTS]


def _ends(divisor: NDArray[Any]) -> bool:
    return divisor.dtype.kind != "f" and bool(((divisor == 0) | (divisor == -1)).any())
