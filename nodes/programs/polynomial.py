"""What a program computes, as polynomials of its columns: the linear subset and products of forms. Pure.

The interpreter runs the linear operators over forms as `compile` does; only that the first axis of a form has one entry
per monomial up to some degree, and not only per column. Linear operators treat all entries alike, so they need no
change. Products of two forms, and small powers, are computed here.

A product of degree d is found by trying: forms have few entries while the degree is small, so that a program of degree
two pays for degree two only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.programs.affine import AffineMap, Monomial
from nodes.programs.graph import OPERATOR_ERRORS
from nodes.programs.interpret import input_values, joined_columns, run
from nodes.programs.program import Node, Program
from nodes.programs.values import Array, Context, HomogeneousRows, Kind, Value, aligned
from schemas.errors import BadData, BadProgram

DEGREE_MAX: Final = 4
PRODUCTS_MAX: Final = 1 << 26
"""Multiplications of coefficients while compiling."""


@dataclass(frozen=True, slots=True)
class PolynomialMap:
    """`y_k = sum of coefficient * product of columns` for every row; outputs [K], without zero coefficients."""

    width_in: int
    outputs: tuple[Mapping[Monomial, float], ...]

    @property
    def width_out(self) -> int:
        """Number of outputs."""
        return len(self.outputs)

    @property
    def degree(self) -> int:
        """The largest total degree of any monomial."""
        return max((len(monomial) for output in self.outputs for monomial in output), default=0)

    def affine(self) -> AffineMap:
        """The same map, affine in the columns and the products of columns that it has."""
        products = sorted({monomial for output in self.outputs for monomial in output if len(monomial) > 1})
        places = {m: at for at, m in enumerate([*((column,) for column in range(self.width_in)), *products])}
        weights = np.zeros((len(places), self.width_out))
        for position, output in enumerate(self.outputs):
            for monomial, coefficient in output.items():
                if monomial:
                    weights[places[monomial], position] = coefficient
        bias = np.array([output.get((), 0.0) for output in self.outputs])
        return AffineMap(weights, bias, products=tuple(products))

    def scaled(self, factors: Sequence[float]) -> PolynomialMap:
        """The same map in columns that were divided by `factors` [F]: coefficients are multiplied by them."""
        if len(factors) != self.width_in:
            raise BadProgram(f"there are {len(factors)} factors for {self.width_in} columns")
        return PolynomialMap(
            self.width_in,
            tuple(
                {m: c * math.prod(factors[column] for column in m) for m, c in each.items()} for each in self.outputs
            ),
        )

    def evaluate(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [N, F] to [N, K]; raises BadData for another shape."""
        if rows.ndim != 2 or rows.shape[1] != self.width_in:
            raise BadData(f"the polynomials take {self.width_in} columns, not rows of shape {list(rows.shape)}")
        result = np.zeros((rows.shape[0], self.width_out))
        for position, output in enumerate(self.outputs):
            for monomial, coefficient in output.items():
                result[:, position] += coefficient * rows[:, list(monomial)].prod(axis=1)
        return result


class _DegreeExceeded(BadProgram):
    """A product has a higher degree than the forms have room for."""


def polynomial(program: Program, degree_max: int = DEGREE_MAX) -> PolynomialMap:
    """The polynomials that the program computes on every row, of total degree `degree_max` (at most 4) or less.

    Raises BadProgram, whose `operator` names the first operator that makes no polynomial, or one of a higher degree;
    also for sums over rows, for coefficients that are not finite, and for maps that take too many coefficients.
    """
    if not 1 <= degree_max <= DEGREE_MAX:
        raise BadProgram(f"polynomials of degree {degree_max} are not supported, only of 1 to {DEGREE_MAX}")
    if program.sum_rows:
        raise BadProgram("the program adds rows up, which no polynomial of one row does", operator="ReduceSum")
    for degree in range(1, degree_max + 1):
        try:
            return _compiled(program, degree)
        except _DegreeExceeded:
            if degree == degree_max:
                raise
    raise AssertionError("the last degree either compiles or raises")


def _compiled(program: Program, degree: int) -> PolynomialMap:
    size = math.comb(program.width_in + degree, degree)
    if size * program.live_row_elements > program.limits.coefficients_max:
        raise BadProgram(
            f"polynomials of degree {degree} in {program.width_in} columns take {size * program.live_row_elements:,} "
            f"coefficients; at most {program.limits.coefficients_max:,} are allowed"
        )
    basis = _Basis.of(program.width_in, degree)
    columns = np.zeros((size, program.width_in))
    for column in range(program.width_in):
        columns[basis.places[column,], column] = 1.0
    values = dict(input_values(program.inputs, columns))
    context = Context(HomogeneousRows(size), program.limits)
    constants = dict(program.constants)
    for node in program.nodes:
        for name, value in _run(node, constants, values, context, basis).items():
            if value.variable:
                values[name] = value
            else:
                constants[name] = value.array
    outputs = [values[name] for name in program.outputs]
    coefficients = joined_columns(outputs, size)
    if not np.isfinite(coefficients).all():
        raise BadProgram("a coefficient of the program is not finite; look for a division by zero in its weights")
    return PolynomialMap(program.width_in, tuple(map(basis.mapping, coefficients.T)))


@dataclass(frozen=True, slots=True)
class _Basis:
    """The monomials of a form's entries, higher degrees first, the constant last."""

    degree: int
    monomials: tuple[Monomial, ...]
    places: Mapping[Monomial, int]

    @classmethod
    def of(cls, width: int, degree: int) -> _Basis:
        """All monomials in `width` columns up to `degree`."""
        every = tuple(
            monomial
            for each in range(degree, -1, -1)
            for monomial in itertools.combinations_with_replacement(range(width), each)
        )
        return cls(degree, every, {monomial: place for place, monomial in enumerate(every)})

    def mapping(self, coefficients: NDArray[np.float64]) -> Mapping[Monomial, float]:
        """The monomials that a form really has."""
        return {self.monomials[place]: float(coefficients[place]) for place in np.flatnonzero(coefficients)}

    def present(self, form: Array) -> list[int]:
        """The entries [M] of a form [M, ...] that are not zero everywhere."""
        return np.flatnonzero(np.any(form.reshape(form.shape[0], -1), axis=1)).tolist()

    def degree_of(self, form: Array) -> int:
        """Of the form's highest monomial."""
        return max((len(self.monomials[place]) for place in self.present(form)), default=0)

    def require_room(self, node: Node, reached: int) -> None:
        """Raises BadProgram, which `polynomial` answers with larger forms while it may."""
        if reached > self.degree:
            raise _DegreeExceeded(
                f"{node.operator} makes a polynomial of degree {reached}; at most {self.degree} can be computed on "
                "ciphertext: use --protection enclave, or move it to --local-program",
                operator=node.operator,
            )


def _run(
    node: Node,
    constants: Mapping[str, Array],
    values: Mapping[str, Value],
    context: Context,
    basis: _Basis,
) -> Mapping[str, Value]:
    """The node's outputs that the program uses."""
    variable = [name for name in node.inputs if name in values]
    try:
        if (node.domain, node.operator) == ("", "Mul") and len(variable) == 2:
            return {node.outputs[0]: _multiplied(node, [values[name] for name in variable], context, basis)}
        if (node.domain, node.operator) == ("", "Pow") and variable == [node.inputs[0]]:
            return {node.outputs[0]: _power(node, values[variable[0]], constants[node.inputs[1]], context, basis)}
    except OPERATOR_ERRORS as error:
        raise BadProgram(f"{node.operator} cannot be run on its operands: {error}", operator=node.operator) from error
    read = {name: constants[name] for name in node.inputs if name in constants}
    used = [name for name, wanted in zip(node.outputs, node.wanted, strict=True) if wanted]
    made = run([node], read, {name: values[name] for name in variable}, used, context).outputs
    return dict(zip(used, made, strict=True))


def _multiplied(node: Node, operands: Sequence[Value], context: Context, basis: _Basis) -> Value:
    (a, b), kind = aligned(context, operands, lift=False)
    return Value(_product(node, a, b, basis), kind)


def _product(node: Node, a: Array, b: Array, basis: _Basis) -> Array:
    """[M, ...], of two forms of [M, ...]: each pair of monomials adds to that of their columns together."""
    basis.require_room(node, basis.degree_of(a) + basis.degree_of(b))
    lefts, rights = basis.present(a), basis.present(b)
    shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
    if len(lefts) * len(rights) * math.prod(shape) > PRODUCTS_MAX:
        raise BadProgram(
            f"{node.operator} would multiply more than {PRODUCTS_MAX:,} coefficients; use --protection enclave",
            operator=node.operator,
        )
    result = np.zeros((a.shape[0], *shape))
    for one in lefts:
        for other in rights:
            place = basis.places[tuple(sorted(basis.monomials[one] + basis.monomials[other]))]
            result[place] += a[one] * b[other]
    return result


def _power(node: Node, value: Value, exponents: Array, context: Context, basis: _Basis) -> Value:
    """Powers by constant whole numbers, which may differ from element to element."""
    (form, numbers), kind = aligned(context, [value, Value(exponents, Kind.CONSTANT)], lift=False)
    wanted = {float(number) for number in np.unique(numbers)}
    if not all(number.is_integer() and number >= 0 for number in wanted):
        raise BadProgram(f"{node.operator} by {min(wanted):g} makes no polynomial", operator=node.operator)
    highest = int(max(wanted, default=0))
    basis.require_room(node, highest * max(1, basis.degree_of(form)))
    power = np.broadcast_to(context.rows.lift(np.ones(form.shape[1:])), form.shape)
    result = np.zeros((form.shape[0], *np.broadcast_shapes(form.shape[1:], numbers.shape[1:])))
    for exponent in range(highest + 1):
        power = _product(node, power, form, basis) if exponent else power
        result += power * (numbers == exponent)
    return Value(result, kind)
