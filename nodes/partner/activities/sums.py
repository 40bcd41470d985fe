"""What a partner computes on ciphertexts (J3): partial sums of sealed results, and of those a round's output.

Its program is affine: `sum over rows of (received·W + local·V) + b`. The received part is computed on ciphertexts, in
the crew, which may die of what lessors send. The local part is computed on the partner's own columns, in the clear, and
goes into the output by encryption.

Weights become integers, round(W·2^weight bits), as fine as a total over all rows leaves room for: no total reaches
2^62, proved from what the renter announced (no value is larger than 2^value bits; an enclave refuses one that is).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.crew.crew import Kit
from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.paillier import totals
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.port import IntegerProgram
from nodes.inputs import LOCAL, RECEIVED, columns_of
from nodes.programs.compile import affine
from nodes.programs.program import Program
from schemas.errors import VerificationFailed

TOTAL_BITS: Final = 62
NO_ROOM: Final = (
    "a total over all rows leaves no room for the program's weights: narrow what the lessors' program gives"
)
"""What the renter is told; how much room the partner's own sums take is not its business."""
WEIGHT_BITS_MAX: Final = 52
WEIGHT_BITS_MIN: Final = 8
"""Of the smallest weight: fewer would round it away."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Split:
    """A partner's program by whose columns it weights: [K, O] and [F, O], and the bias [O]."""

    received: Floats
    local: Floats
    bias: Floats

    @classmethod
    def of(cls, program: Program) -> Split:
        """Compile it; raises BadProgram."""
        mapped = affine(program)
        received, local = columns_of(program, RECEIVED), columns_of(program, LOCAL)
        return cls(mapped.weights[received], mapped.weights[local], mapped.bias)

    def of_local(self, sums: Floats) -> Floats:
        """What the partner's own columns give, of their sums [F] over all rows: [O]."""
        return np.asarray(sums @ self.local + self.bias, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Scales:
    """How fine a round is computed: its output is round(y·2^bits)."""

    weight_bits: int
    bits: int
    program: IntegerProgram
    plus: tuple[int, ...]
    """What the partner's own columns add to each output."""


def scales(split: Split, own: Floats, rows: int, value_bits: int, result_bits: int) -> Scales:
    """The finest weights for which no total over `rows` rows reaches 2^62; `own` [O] is `Split.of_local`.

    Raises Overflow (a BadProgram): there are none.
    """
    largest = rows * np.abs(split.received).sum(axis=0) * 2.0**value_bits + np.abs(own) * 2.0**result_bits
    reach = math.frexp(float(largest.max()))[1]
    weight_bits = min(WEIGHT_BITS_MAX, TOTAL_BITS - 1 - reach)
    smallest = np.abs(split.received[split.received != 0.0]).min(initial=math.inf)
    if weight_bits + math.frexp(float(smallest))[1] < WEIGHT_BITS_MIN and math.isfinite(smallest):
        text = f"there is room for {weight_bits} bits of weights; too few: narrow the results of the lessors' program"
        raise Overflow(text, reached=1 << max(0, reach), limit=1 << TOTAL_BITS)
    weights = np.rint(np.ldexp(split.received, weight_bits)).T
    bits = result_bits + weight_bits
    program = IntegerProgram(
        weights=tuple(tuple(int(each) for each in row) for row in weights.tolist()),
        bias=(0,) * len(own),
        sum_rows=True,
        input_max=1 << value_bits,
    )
    program.require_room(rows)
    return Scales(weight_bits, bits, program, tuple(int(each) for each in np.rint(np.ldexp(own, bits)).tolist()))


@dataclass(frozen=True)
class Sums:
    """What all tasks of one round share."""

    key: bytes = field(repr=False)
    program: IntegerProgram

    @cached_property
    def public(self) -> PaillierPublic:
        """The renter's key."""
        return PaillierPublic.from_bytes(self.key)

    @property
    def width(self) -> int:
        """Outputs."""
        return self.program.width_out


SumsKit = Kit[Sums]


class Made(Struct, frozen=True):
    """A body; or the code and reason for which there is none."""

    body: bytes = b""
    code: str = ""
    reason: str = ""


def partial_sums(sums: Sums, body: bytes, rows: int) -> Made:
    """The weighted sums over one sealed result's rows, one ciphertext per output."""
    try:
        return Made(sums.public.evaluate(body, rows, sums.program))
    except VerificationFailed as error:
        return Made(code=error.code, reason=str(error))


def added(sums: Sums, bodies: list[bytes]) -> Made:
    """The sums of partial sums."""
    whole = bodies[0]
    for each in bodies[1:]:
        whole = sums.public.add(whole, each, 1, sums.width)
    return Made(whole)


def finished(sums: Sums, body: bytes, plus: list[int]) -> Made:
    """The output as it leaves: the partner's own part in it, under whole noise, and nothing but totals (J3)."""
    return Made(totals.hidden(sums.public, body, sums.width, plus))
