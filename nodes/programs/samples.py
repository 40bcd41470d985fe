"""Rows to try a program on: numbers without a pattern, and where it looks values up, values that it knows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.parts import giving
from nodes.programs.program import Input, Node
from nodes.programs.runtime import feeds, load, run
from schemas.errors import BadInput

Rows = NDArray[np.float64]

_KEYS: Final = {"OneHotEncoder": ("cats_int64s",), "LabelEncoder": ("keys_int64s", "keys_floats")}
_STEP: Final = 7
"""From one row's category to the next's; most lists are not as long."""


def samples(canonical: bytes, inputs: Sequence[Input], nodes: Sequence[Node], count: int) -> Rows:
    """[count, columns]: zeros and ones where whole numbers are declared, and known categories where a column is looked
    up as it is."""
    width = sum(each.width for each in inputs)
    numbers = 3.0 * np.sin(np.arange(1, count * width + 1, dtype=np.float64) ** 1.5).reshape(count, width)
    types = [each.dtype for each in inputs for _ in range(each.width)]
    whole = [kind.kind != "f" for kind in types]
    numbers[:, whole] = numbers[:, whole] > 0
    for column, keys in _categories(canonical, inputs, nodes).items():
        with np.errstate(all="ignore"):
            known = keys[keys.astype(types[column]).astype(np.float64) == keys]
        if len(known):
            numbers[:, column] = known[np.arange(count) * _STEP % len(known)]
    return numbers


def _categories(canonical: bytes, inputs: Sequence[Input], nodes: Sequence[Node]) -> Mapping[int, Rows]:
    """By column: which of them reach an encoder unchanged shows when each holds its own number."""
    keys = _keys(nodes)
    if not keys:
        return {}
    own = np.tile(np.arange(sum(each.width for each in inputs), dtype=np.float64), (2, 1))
    try:
        fed = feeds(inputs, own)
        names = [name for name in keys if name not in fed]
        made = run(load(giving(canonical, names)), names, fed) if names else []
    except BadInput:  # a number that a type or an operator on the way does not take
        return {}
    found, columns = dict(fed) | dict(zip(names, made, strict=True)), dict[int, Rows]()
    numbered = set(own[0].tolist())
    for name, known in keys.items():
        columns |= {int(column): known for column in found[name].reshape(-1).tolist() if column in numbered}
    return columns


def _keys(nodes: Sequence[Node]) -> Mapping[str, Rows]:
    """By what is looked up first in them, the numbers that encoders know."""
    keys: dict[str, Rows] = {}
    looked_up: set[str] = set()
    for node in nodes:
        known = next((k for name in _KEYS.get(node.operator, ()) if (k := node.numbers(name))), ())
        if known and node.inputs[0] not in looked_up:
            keys.setdefault(node.inputs[0], np.array(known, dtype=np.float64))
        if known or looked_up.intersection(node.inputs):
            looked_up.update(node.outputs)
    return keys
