"""What a program computes, as polynomials of its columns: the linear subset and products of forms. Pure.

Linear operators run over forms as in `compile`; only that a form has one entry per monomial up to some degree, and not
only per column: linear operators treat all entries alike. Products of forms, and small powers, are computed here.

A product of degree d is found by trying: forms have few entries while the degree is small, so that a program of degree
two pays for degree two only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from nodes.programs.affine import AffineMap, Monomial
from nodes.programs.compile import compiled
from nodes.programs.program import Program
from nodes.programs.values import Array, Forms
from schemas.errors import BadProgram

DEGREE_MAX: Final = 4
PRODUCTS_MAX: Final = 1 << 26
"""Multiplications of coefficients while compiling."""
PRODUCTS: Final = {"Mul": (True, True), "Pow": (True, False)}
"""Operators that multiply forms by each other, and which of their operands are forms then."""


class _DegreeExceeded(BadProgram):
    """A product has a higher degree than the forms have room for."""


def polynomial(program: Program, degree_max: int = DEGREE_MAX) -> AffineMap:
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


def _compiled(program: Program, degree: int) -> AffineMap:
    width, columns = program.width_in, range(program.width_in)
    size = math.comb(width + degree, degree)
    if size * program.live_row_elements > program.limits.coefficients_max:
        return compiled(program, Forms(size, program.limits))  # refuses, before there is a list of all monomials
    longer = (itertools.combinations_with_replacement(columns, each) for each in range(2, degree + 1))
    products = sorted(itertools.chain.from_iterable(longer))
    monomials = (*((column,) for column in columns), *products, ())
    places = {monomial: place for place, monomial in enumerate(monomials)}
    forms = _Polynomials(size, program.limits, degree=degree, monomials=monomials, places=places)
    return compiled(program, forms, products)


@dataclass(slots=True, kw_only=True)
class _Polynomials(Forms):
    """Forms with an entry per monomial, the constant's last, which can be multiplied while the degree has room."""

    degree: int
    monomials: tuple[Monomial, ...]
    places: Mapping[Monomial, int]

    def allows(self, operator: str, variable: tuple[bool, ...]) -> bool:
        """Products of forms, and powers by constants."""
        return PRODUCTS.get(operator) == variable

    def multiply(self, operator: str, left: Array, right: Array) -> Array:
        """Each pair of monomials adds to that of their columns together."""
        self._require_room(operator, self._degree_of(left) + self._degree_of(right))
        lefts, rights = self._present(left), self._present(right)
        shape = np.broadcast_shapes(left.shape[1:], right.shape[1:])
        if len(lefts) * len(rights) * math.prod(shape) > PRODUCTS_MAX:
            raise BadProgram(f"would multiply more than {PRODUCTS_MAX:,} coefficients; use --protection enclave")
        result = np.zeros((self.size, *shape))
        for one, other in itertools.product(lefts, rights):
            place = self.places[tuple(sorted(self.monomials[one] + self.monomials[other]))]
            result[place] += left[one] * right[other]
        return result

    def power(self, operator: str, left: Array, right: Array) -> Array:
        """Powers by whole numbers [1, ...], which may differ from element to element."""
        wanted = {float(number) for number in np.unique(right)}
        if not all(number.is_integer() and number >= 0 for number in wanted):
            raise BadProgram(f"{operator} by {min(wanted):g} makes no polynomial", operator=operator)
        highest = int(max(wanted, default=0))
        self._require_room(operator, highest * max(1, self._degree_of(left)))
        power = self.lift(np.ones(left.shape[1:]))
        result = np.zeros((self.size, *np.broadcast_shapes(left.shape[1:], right.shape[1:])))
        for exponent in range(highest + 1):
            power = self.multiply(operator, power, left) if exponent else power
            result += power * (right == exponent)
        return result

    def _present(self, form: Array) -> list[int]:
        """The entries of a form that are not zero everywhere."""
        return np.flatnonzero(np.any(form.reshape(self.size, -1), axis=1)).tolist()

    def _degree_of(self, form: Array) -> int:
        return max((len(self.monomials[place]) for place in self._present(form)), default=0)

    def _require_room(self, operator: str, reached: int) -> None:
        """Raises BadProgram, which `polynomial` answers with larger forms while it may."""
        if reached > self.degree:
            raise _DegreeExceeded(
                f"{operator} makes a polynomial of degree {reached}; at most {self.degree} can be computed on "
                "ciphertext: use --protection enclave, or move it to --local-program",
                operator=operator,
            )
