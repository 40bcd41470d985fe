"""Products of CKKS ciphertexts: one block of rows, and the polynomials of its columns. Knows no bytes.

Values of at most 1 in size come at the scale 2^40. A product of two ciphertexts is relinearised and loses one prime of
the modulus, so that its scale comes back to about 2^40; one chain of primes has room for one product, the other for two
in a row. All monomials of an output meet at one scale and modulus, 2^80 below 90 bits, where nothing is rescaled:

    degree 0, 1     c * x                      the coefficient brings the rest of the scale
    degree 2        c * (x x)
    degree 3, 4     (sum of c * (x x)) * x,  (sum of c * (x x)) * (x x), relinearised once for all
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nodes.homomorphic.ckks import frames as ckks_frames
from nodes.homomorphic.ckks.seal import Engine
from nodes.programs.affine import Monomial
from schemas.errors import BadProgram

PRODUCTS_MAX: Final = 512
"""Products of two columns that are kept at the same time, half a megabyte each."""
SCALE: Final = 2.0**40
"""Of what goes in."""
RESULT_SCALE: Final = 2.0**80
"""Of what comes out."""


class Tools(Protocol):
    """What of a public key evaluates."""

    @property
    def engine(self) -> Engine:
        """SEAL's context."""

    @property
    def encryptor(self) -> Any:
        """Encrypts constants."""

    @property
    def relinearisation(self) -> Any:
        """Keys that bring products back to two polynomials."""

    @property
    def depth(self) -> int:
        """Products in a row."""


@dataclass(frozen=True, slots=True)
class Polynomials:
    """`y_k = sum of coefficient * product of columns` for every row; outputs [K]."""

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


def bound_exponent(output: Mapping[Monomial, float]) -> int:
    """The smallest e with `sum of |coefficient| <= 2^e`: no value of the polynomial passes it. Raises BadProgram."""
    total = sum(map(abs, output.values()))
    fraction, exponent = math.frexp(total)
    exponent -= fraction == 0.5
    if not math.isfinite(total) or exponent > ckks_frames.EXPONENT_MAX:
        raise BadProgram(f"the coefficients of a polynomial add up to {total:.3g}: scale the columns or the results")
    return max(exponent, ckks_frames.EXPONENT_MIN)


def pairs(program: Polynomials) -> set[Monomial]:
    """The products of two columns from which all monomials are made; raises BadProgram for too many."""
    halves = {half for output in program.outputs for monomial in output for half in (monomial[:2], monomial[2:])}
    made: set[Monomial] = {half for half in halves if len(half) == 2}
    if len(made) > PRODUCTS_MAX:
        raise BadProgram(f"the polynomials take {len(made)} products of columns, over {PRODUCTS_MAX}: use fewer")
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The columns of one block of rows and their products, each with its scale, by monomial."""

    tools: Tools
    levels: tuple[Any, ...]
    made: Mapping[Monomial, Any]

    @classmethod
    def of(cls, tools: Tools, columns: list[Any], pairs: set[Monomial]) -> Block:
        """All products that the monomials need."""
        made: dict[Monomial, Any] = {(column,): ciphertext for column, ciphertext in enumerate(columns)}
        block = cls(tools, tuple(tools.engine.levels()), made)
        return cls(tools, block.levels, made | {pair: block._product(*pair) for pair in sorted(pairs)})

    def _product(self, left: int, right: int) -> Any:
        evaluator, product = self.tools.engine.evaluator, self.tools.engine.ciphertext()
        evaluator.multiply(self.made[left,], self.made[right,], product)
        evaluator.relinearize_inplace(product, self.tools.relinearisation)
        evaluator.rescale_to_next_inplace(product)
        return product

    def value(self, output: Mapping[Monomial, float], held: int) -> Any:
        """A fresh ciphertext of the polynomial's values at the result's scale."""
        engine, last = self.tools.engine, self.levels[self.tools.depth]
        total = engine.ciphertext()
        constant = [output.get((), 0.0)] * held
        self.tools.encryptor.encrypt(engine.plaintext(constant, RESULT_SCALE, last), total)
        short = {monomial: number for monomial, number in output.items() if 1 <= len(monomial) <= 2}
        for monomial, number in short.items():
            term = self._at(monomial, last)
            if self._multiply(term, number, RESULT_SCALE / term.scale):
                self._add(total, term)
        longer = self._longer(output)
        if longer is not None:
            engine.evaluator.relinearize_inplace(longer, self.tools.relinearisation)
            self._add(total, longer)
        return total

    def _longer(self, output: Mapping[Monomial, float]) -> Any:
        """The sum of all monomials of degree 3 and 4, a ciphertext of three polynomials; None when there are none."""
        evaluator, last, total = self.tools.engine.evaluator, self.levels[self.tools.depth], None
        grouped: dict[Monomial, dict[Monomial, float]] = defaultdict(dict)
        for monomial, number in output.items():
            if len(monomial) > 2:
                grouped[monomial[2:]][monomial[:2]] = number
        for second, firsts in grouped.items():
            factor = self._at(second, last)
            inner = self._inner(firsts, RESULT_SCALE / factor.scale)
            if inner is None:
                continue
            evaluator.multiply_inplace(inner, factor)
            inner.scale = RESULT_SCALE
            if total is None:
                total = inner
            else:
                evaluator.add_inplace(total, inner)
        return total

    def _inner(self, firsts: Mapping[Monomial, float], scale: float) -> Any:
        """The sum of coefficients times products of two columns, rescaled to exactly `scale`."""
        engine, total = self.tools.engine, None
        dropped = engine.last_prime(self.levels[1])
        for monomial, number in firsts.items():
            term = self._at(monomial, self.levels[1])
            if not self._multiply(term, number, scale * dropped / term.scale):
                continue
            term.scale = scale * dropped
            if total is None:
                total = term
            else:
                engine.evaluator.add_inplace(total, term)
        if total is not None:
            engine.evaluator.rescale_to_next_inplace(total)
            total.scale = scale
        return total

    def _at(self, monomial: Monomial, parms: Any) -> Any:
        """A copy at another modulus of the chain."""
        copy = self.tools.engine.ciphertext()
        self.tools.engine.evaluator.mod_switch_to(self.made[monomial], parms, copy)
        return copy

    def _multiply(self, term: Any, number: float, scale: float) -> bool:
        """Multiply in place; says no where the number rounds to nothing, for no product may hide nothing."""
        if abs(number) * scale < 1:
            return False
        engine = self.tools.engine
        engine.evaluator.multiply_plain_inplace(term, engine.plaintext(number, scale, term.parms_id()))
        return True

    def _add(self, total: Any, term: Any) -> None:
        term.scale = RESULT_SCALE
        self.tools.engine.evaluator.add_inplace(total, term)
