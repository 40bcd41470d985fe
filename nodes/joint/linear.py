"""A partner's linear program on received ciphertexts and its own rows: one round of a generic joint job.

The program has two inputs, `received` (what enclaves sealed) and `local` (the partner's columns of the same rows). It
is compiled to one affine map, whose weights act on ciphertexts for the first and on plain numbers for the second. What
leaves is encrypted again under full noise: nothing but the plaintext is told to the key's owner.

A sum over rows of packed ciphertexts is one ciphertext of as many partial sums as there are slots. Those are masked:
uniform numbers m_t with a sum of 0 modulo 2^64 are added to the slots, and one above them all. The owner adds up the
slots modulo 2^64. Carries between slots change that by less than half of 2^SPARE_BITS, by which sums are scaled first,
so that it rounds to the exact sum. What carries tell is a comparison of each partial sum with its masked slot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from nodes.homomorphic.encoding import integer_program, quantise, result_bits
from nodes.homomorphic.errors import TooCoarse, invalid
from nodes.homomorphic.paillier import ciphertexts
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import SLOT_BITS, IntegerProgram
from nodes.joint import fresh
from nodes.joint.columns import Floats
from nodes.programs.compile import affine
from nodes.programs.program import Program
from schemas.errors import BadProgram
from schemas.jobs import FixedPoint

INPUTS = ("received", "local")
SPARE_BITS = 7
"""2^6 is more than the carries among 64 slots, which no key has."""

_WORD = (1 << SLOT_BITS) - 1


@dataclass(frozen=True, slots=True)
class LinearPlan:
    """Weights on ciphertexts, and on the partner's own numbers; both sides derive it from program and scales."""

    received: IntegerProgram
    """Without bias: it is added once, not per batch."""
    local: NDArray[np.int64]
    bias: NDArray[np.int64]

    @property
    def sum_rows(self) -> bool:
        """Whether all rows together give one result."""
        return self.received.sum_rows

    @property
    def width_out(self) -> int:
        """Numbers per result."""
        return self.received.width_out


def scales(program: Program, bounds: Floats, rows: int, slots: int, max_error: float) -> tuple[FixedPoint, float]:
    """Scales for `planned`, and the error that they prove; `bounds` are those of all columns, received ones first.

    Sums are planned for 2^SPARE_BITS times the rows, which leaves room for what masks them; their error is that part of
    the error of so many rows, but for the bias and the way back to float64, which do not grow with rows: at most 2^11
    units of a result in slots of 64 bits. Raises as `quantise` does.
    """
    _require_inputs(program)
    compiled = affine(program)
    if not compiled.sum_rows:
        return quantise(compiled, bounds, rows, slots, max_error)
    share = float(1 << (SPARE_BITS - 1))
    fixed, of_all = quantise(compiled, bounds, rows << SPARE_BITS, slots, max_error, share=share, widest=True)
    error = of_all / (1 << SPARE_BITS) + math.ldexp(1.0, 11 - result_bits(fixed))
    if error > max_error:
        raise TooCoarse(
            f"the best provable error of masked sums is {error:.3g}, not {max_error:g}: allow more error, or send "
            "fewer rows",
            reachable=error,
            asked=max_error,
        )
    return fixed, error


def planned(program: Program, fixed: FixedPoint, rows: int) -> LinearPlan:
    """The plan of a program for scales of all its columns, received ones first, proved for `rows` rows in all.

    Raises BadProgram for other inputs or operators, Overflow with the numbers.
    """
    _require_inputs(program)
    whole = integer_program(affine(program), fixed)
    if whole.sum_rows:
        scale = 1 << SPARE_BITS
        weights = tuple(tuple(weight * scale for weight in row) for row in whole.weights)
        whole = replace(whole, weights=weights, bias=tuple(each * scale for each in whole.bias))
    whole.require_room(rows)
    cut = program.inputs[0].width
    received = tuple(row[:cut] for row in whole.weights)
    local = np.array([row[cut:] for row in whole.weights], dtype=np.int64)
    nothing = (0,) * whole.width_out
    return LinearPlan(replace(whole, weights=received, bias=nothing), local, np.array(whole.bias, dtype=np.int64))


def _require_inputs(program: Program) -> None:
    if program.input_names != INPUTS:
        names = ", ".join(program.input_names)
        raise BadProgram(f"a partner's program has the inputs {', '.join(INPUTS)}, in this order, not {names}")


def on_received(public: PaillierPublic, plan: LinearPlan, body: bytes, rows: int) -> bytes:
    """The part of one batch that comes from ciphertexts; a task. Sums of batches are added up with `public.add`.

    Raises BadCiphertext.
    """
    return public.evaluate(body, rows, plan.received)


def on_local(plan: LinearPlan, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The part of the partner's own encoded rows [rows, F] with the bias: [rows, K], or [1, K] of the sum over rows.

    It stays below 2^63 by the proof of the plan.
    """
    given = numbers.sum(axis=0, keepdims=True) if plan.sum_rows else numbers
    return given @ plan.local.T + plan.bias


def released(public: PaillierPublic, plan: LinearPlan, sealed: bytes, local: NDArray[np.int64], random: bytes) -> bytes:
    """Both parts together as they go to the renter: of row results as `PublicKey.decrypt` reads them, of sums as
    `opened_sums` does. `random` has `random_bytes`, and is not needed for row results. Raises BadCiphertext."""
    rows = 1 if plan.sum_rows else len(local)
    expected = public.body_bytes(rows, plan.width_out)
    numbers = ciphertexts.read(sealed, public.n, public.ciphertext_bytes, expected)
    plaintexts = _masked(public, local[0].tolist(), random) if plan.sum_rows else public.pack(local)
    pairs = zip(numbers, plaintexts, strict=True)
    added = [number * (1 + public.n * plaintext) % public.n_squared for number, plaintext in pairs]
    return public.serialise(fresh.rerandomised(public, added))


def random_bytes(public: PaillierPublic, width: int) -> int:
    """Bytes of randomness that `released` takes for sums."""
    return width * public.bits // 8


def _masked(public: PaillierPublic, numbers: list[int], random: bytes) -> list[mpz]:
    """Plaintexts whose slots are uniform and sum to the number modulo 2^64, with a uniform number above the slots."""
    size, slots = public.bits // 8, public.slots
    above = public.bits - 2 - SLOT_BITS * slots
    plaintexts = []
    for at, number in enumerate(numbers):
        drawn = mpz.from_bytes(random[at * size : (at + 1) * size], "big")
        words = [int(drawn >> SLOT_BITS * slot) & _WORD for slot in range(slots - 1)]
        words.append((number - sum(words)) & _WORD)
        top = 1 + int(drawn >> SLOT_BITS * slots) % ((1 << above) - 2)
        plaintexts.append(sum((mpz(word) << SLOT_BITS * slot for slot, word in enumerate([*words, top])), mpz(0)))
    return plaintexts


def opened_sums(secret: PaillierSecret, body: bytes, width: int) -> NDArray[np.int64]:
    """int64 [1, width] of the sums that `released` masked, in the scale of the program. Raises BadCiphertext."""
    public = secret.public
    numbers = ciphertexts.read(body, public.n, public.ciphertext_bytes, public.body_bytes(1, width))
    return np.array(
        [[_total(plaintext, public.slots) for plaintext in secret.decrypt_plaintexts(numbers)]], dtype=np.int64
    )


def _total(plaintext: mpz, slots: int) -> int:
    added = sum(int(plaintext >> SLOT_BITS * slot) & _WORD for slot in range(slots)) & _WORD
    signed = added - (1 << SLOT_BITS) if added >> (SLOT_BITS - 1) else added
    total = (signed + (1 << (SPARE_BITS - 1))) >> SPARE_BITS
    if abs(signed - (total << SPARE_BITS)) > slots:
        raise invalid()
    return total
