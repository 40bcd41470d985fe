"""A checked program: what `check` found out about it and what the interpreter needs to run it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from nodes.programs.limits import ProgramLimits
from nodes.programs.values import Array

AttributeValue = int | float | bytes | Array | tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Of an operator in some version: fewest and most operands, their names, most outputs, types of attributes."""

    operands: tuple[int, int]
    names: tuple[str, ...]
    outputs: int
    attributes: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator of the graph. Its attributes are of the types that its signature has."""

    operator: str
    domain: str
    signature: Signature
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue]
    wanted: tuple[bool, ...]  # per output: whether the program uses it

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return cast("int", self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        return cast("float", self.attributes.get(name, default))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, or None when it is not given."""
        return cast("tuple[int, ...] | None", self.attributes.get(name))

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """A list of numbers, or None when it is not given."""
        return cast("tuple[float, ...] | None", self.attributes.get(name))

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        value = self.attributes.get(name)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else default


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the graph: `width` columns as [N, width], or with rank 1 a single column as [N]."""

    name: str
    width: int
    rank: int
    dtype: np.dtype[Any]  # as the graph declares it


def with_columns(inputs: Iterable[Input]) -> Iterator[tuple[Input, slice]]:
    """Each input, and which of all columns it takes."""
    last = 0
    for each in inputs:
        first, last = last, last + each.width
        yield each, slice(first, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What takes a table of `width_in` columns: a program, or the encoder before it."""

    inputs: tuple[Input, ...]
    column_names: tuple[str, ...] = ()
    """From the model's metadata "columns"; empty where it names none."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(each.name for each in self.inputs)

    @property
    def width_in(self) -> int:
        """Columns of all inputs."""
        return sum(each.width for each in self.inputs)

    @property
    def matrix(self) -> bool:
        """Whether any input has several columns."""
        return self.width_in > len(self.inputs)

    @property
    def types(self) -> tuple[np.dtype[Any], ...]:
        """As the graph declares them, one per column."""
        return tuple(each.dtype for each in self.inputs for _ in range(each.width))

    @property
    def named_columns(self) -> tuple[str, ...]:
        """The names of its columns; empty where they have none: that of an input of several is the tensor's."""
        return self.column_names or (() if self.matrix else self.input_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Takes):
    """A program that passed `check`: safe to run, and the same for everybody who holds the same `digest`.

    The input is a table of `width_in` float columns: with `matrix` one input [N, width_in] named `input_names[0]`, else
    one input [N, 1] or [N] per column, in the order of `input_names`. Every row of the input gives one row of
    `width_out` floats, named `output_names`; with `sum_rows` all rows together give one.
    """

    canonical: bytes = field(repr=False)  # the stripped ONNX model, serialised again
    digest: str  # sha256 of `canonical`, hex
    width_out: int
    output_names: tuple[str, ...] = field(compare=False)  # those from a dictionary's keys are not in `canonical`
    whole: Mapping[int, tuple[str, ...]] = field(compare=False)
    """Results that are whole numbers, by column: the texts that they stand for, from 0 on; none where they are numbers.
    As the file declares them, and not in `canonical`."""
    sum_rows: bool
    operators: frozenset[str]
    live_row_elements: int  # numbers alive at the same time, for one row
    nodes: tuple[Node, ...] = field(repr=False, compare=False)
    constants: Mapping[str, Array] = field(repr=False, compare=False)
    outputs: tuple[str, ...] = field(repr=False, compare=False)
    limits: ProgramLimits = field(repr=False, compare=False)

    @property
    def travels(self) -> np.dtype[Any]:
        """In which type rows travel into an enclave: float32 loses nothing where the program takes nothing else."""
        return np.dtype("<f4" if set(self.types) == {np.dtype(np.float32)} else "<f8")
