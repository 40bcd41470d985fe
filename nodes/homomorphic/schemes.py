"""The schemes that a job can use, by name: what is known of each without a key, how to make keys and to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from nodes.homomorphic.bfv import linear as bfv
from nodes.homomorphic.bfv import parameters as bfv_parameters
from nodes.homomorphic.bfv import seal as bfv_seal
from nodes.homomorphic.bfv.linear import BfvPublic, BfvSecret
from nodes.homomorphic.ckks import linear as ckks
from nodes.homomorphic.ckks import polynomial as ckks_polynomial
from nodes.homomorphic.ckks import seal as ckks_seal
from nodes.homomorphic.ckks.linear import CkksPublic, CkksSecret
from nodes.homomorphic.ckks.polynomial import PolynomialPublic, PolynomialSecret
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.public import PaillierPublic, slots_of
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.port import SLOT_BITS, SLOT_BITS_MIN, IntegerProgram, PublicKey, SecretKey, Shape
from nodes.programs.affine import AffineMap
from nodes.programs.compile import affine
from nodes.programs.cut import Cut, cut
from nodes.programs.polynomial import DEGREE_MAX, polynomial
from nodes.programs.program import Program
from schemas.errors import BadProgram
from schemas.jobs import APPROXIMATE, Scheme

MULTIPLYING: Final = frozenset({"Mul", "Pow"})
"""Operators that may make polynomials of what is encrypted."""
PRODUCTS_HELP: Final = (
    f"; polynomials of degree {DEGREE_MAX} at most can be computed on ciphertext when results stay with you "
    "(--scheme ckks --results-stay)"
)
DEPTHS: Final[Mapping[Scheme, int]] = MappingProxyType({"ckks-degree-2": 1, "ckks-degree-4": 2})
"""Products in a row, of those schemes that multiply ciphertexts by each other."""
KEY_BITS: Final = paillier.KEY_BITS_DEFAULT
SMALLEST: Final = IntegerProgram(((1,),), (0,), input_max=2)
NOT_JOINT: Final = (
    "`bfv` is not for joint computation: what a partner made cannot be audited, and one decryption of a crafted "
    "ciphertext tells the whole key; leave --scheme out"
)
SEALS: Final = frozenset({"auto", "paillier", "paillier-subgroup"})
"""What may be asked for when enclaves encrypt results."""
NOT_SEALING: Final = "enclaves seal results under Paillier: leave --scheme out, or write `paillier`"
MUST_STAY: Final = (
    "who sees ciphertexts and results of an approximate scheme can compute its key: use it only for results that you "
    "show to nobody, and say so (--results-stay)"
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A scheme of the port: what its keys are like, and how they are made and read."""

    shapes: tuple[Shape, ...]
    """Of what its keys make, from the cheapest to the dearest; where they are alike, from the one that holds least."""
    generate: Callable[[IntegerProgram, int, int], SecretKey]
    """For a program on so many rows at a time, of this shape or one after it."""
    read_secret: Callable[[bytes], SecretKey]
    read_public: Callable[[bytes], PublicKey]
    fitting: Callable[[IntegerProgram, int], int] = lambda program, rows: 0
    """Which of the shapes a program needs on so many rows at a time; raises Overflow."""
    alike: bool = False
    """Whether a ciphertext costs the same in every shape."""


PAILLIER_SLOT_BITS: Final = range(SLOT_BITS, SLOT_BITS_MIN - 1, -1)
"""Of the shapes of its ciphertexts: the widest, in which anything fits, stand first."""


def _paillier(*, subgroup: bool) -> Adapter:
    size = KEY_BITS // 4
    return Adapter(
        tuple(Shape(KEY_BITS, slots_of(KEY_BITS, bits), size, 0.0, size) for bits in PAILLIER_SLOT_BITS),
        lambda program, rows, at: paillier.generate(KEY_BITS, subgroup=subgroup),
        PaillierSecret.from_bytes,
        PaillierPublic.from_bytes,
        lambda program, rows: PAILLIER_SLOT_BITS.index(program.slot_bits),
        alike=True,
    )


def _polynomial(depth: int) -> Adapter:
    chain = ckks_polynomial.CHAINS[depth]
    return Adapter(
        (Shape(chain.bits, ckks_seal.SLOTS, chain.frame_bytes, ckks_polynomial.RELATIVE_ERROR, chain.result_bytes),),
        lambda program, rows, at: ckks_polynomial.generate(depth, _input_bits(program)),
        PolynomialSecret.from_bytes,
        PolynomialPublic.from_bytes,
    )


def _input_bits(program: IntegerProgram) -> int:
    return max(1, (program.input_max - 1).bit_length())


ADAPTERS: Final[Mapping[Scheme, Adapter]] = MappingProxyType(
    {
        "paillier": _paillier(subgroup=False),
        "paillier-subgroup": _paillier(subgroup=True),
        "bfv": Adapter(
            tuple(each.shape for each in bfv_parameters.SETS),
            bfv.generate_for,
            BfvSecret.from_bytes,
            BfvPublic.from_bytes,
            lambda program, rows: bfv_parameters.fitting(program, rows).chosen,
        ),
        "ckks": Adapter(
            (Shape(sum(ckks.MODULUS_BITS), ckks_seal.SLOTS, ckks.FRAME_BYTES, ckks.RELATIVE_ERROR, ckks.FRAME_BYTES),),
            lambda program, rows, at: ckks.generate(_input_bits(program)),
            CkksSecret.from_bytes,
            CkksPublic.from_bytes,
        ),
        **{scheme: _polynomial(depth) for scheme, depth in DEPTHS.items()},
    }
)


def shape(scheme: Scheme, at: int = 0) -> Shape:
    """How much a ciphertext holds and takes; some schemes have several shapes, the cheapest first."""
    return ADAPTERS[scheme].shapes[at]


def kind_of(scheme: Scheme, at: int) -> str:
    """What keys of one shape are called where their costs are kept."""
    return f"{scheme}/{at}" if _kinds(scheme) > 1 else scheme


def _kinds(scheme: Scheme) -> int:
    """How many kinds of keys it has."""
    adapter = ADAPTERS[scheme]
    return 1 if adapter.alike else len(adapter.shapes)


def of_kind(kind: str) -> tuple[Scheme, int]:
    """Scheme and shape of a `kind`."""
    return {kind_of(scheme, at): (scheme, at) for scheme in ADAPTERS for at in range(_kinds(scheme))}[kind]


def fitting(scheme: Scheme, program: IntegerProgram, rows: int) -> int:
    """Which shape has room for this program, on so many rows at a time; raises Overflow."""
    return ADAPTERS[scheme].fitting(program, rows)


def for_degree(degree: int) -> Scheme:
    """The cheapest scheme that multiplies ciphertexts and computes polynomials of this degree."""
    return next(scheme for scheme, depth in DEPTHS.items() if degree <= 1 << depth)


def may_multiply(wish: str, results_stay: bool) -> bool:
    """Whether a job's wishes allow the schemes that multiply ciphertexts by each other."""
    return wish in ("auto", "ckks") and results_stay


def runnable(program: Program, *, products: bool) -> AffineMap:
    """What ciphertexts can compute of the program: affine, or with `products` a polynomial.

    Raises BadProgram; where products might help, it says so.
    """
    try:
        return affine(program)
    except BadProgram as error:
        if error.operator not in MULTIPLYING:
            raise
        if products:
            return polynomial(program)
        raise BadProgram(f"{error}{PRODUCTS_HELP}", operator=error.operator) from None


def cut_for(program: Program, *, products: bool) -> Cut | None:
    """Where the program is cut for ciphertexts; None where they can compute all of it.

    Raises BadProgram: not even a beginning that would be worth it.
    """
    try:
        runnable(program, products=products)
    except BadProgram as error:
        try:
            found = cut(program, products=products)
            runnable(found.beginning, products=products)
        except BadProgram as futile:
            message = f"{error}; cutting the program before that gives nothing: {futile}"
            raise BadProgram(message, operator=error.operator) from error
        return found
    return None


def compiled(scheme: Scheme, program: Program) -> AffineMap:
    """What the program computes, in the form in which the scheme can run it; raises BadProgram."""
    return polynomial(program, 1 << DEPTHS[scheme]) if scheme in DEPTHS else affine(program)


def unavailable(scheme: Scheme) -> str:
    """Why this installation cannot use the scheme; empty when it can."""
    if scheme in APPROXIMATE and find_spec("tenseal") is None:
        return "CKKS needs TenSEAL: pip install 'sublet[ckks]'"
    if scheme == "bfv" and find_spec("seal") is None:
        return bfv_seal.MISSING
    return ""


def require_accuracy(scheme: Scheme, program: IntegerProgram, rows: int) -> None:
    """Raises TooCoarse where the scheme's error could be larger than its `relative_error` says."""
    if scheme == "ckks":
        ckks.require_accuracy(program, rows)


def generate(scheme: Scheme, program: IntegerProgram = SMALLEST, rows: int = 1, at: int = 0) -> SecretKey:
    """A new key for a program on so many rows at a time, of this shape or one after it; Paillier's are for any program.

    Raises BadConfig where the scheme is not available, and Overflow where it has no room for the program.
    """
    return ADAPTERS[scheme].generate(program, rows, at)


def read_secret(scheme: Scheme, data: bytes) -> SecretKey:
    """A secret key from its bytes; raises BadKey."""
    return ADAPTERS[scheme].read_secret(data)


def read_public(scheme: Scheme, data: bytes) -> PublicKey:
    """A public key from bytes that anybody may have sent; raises BadKey."""
    return ADAPTERS[scheme].read_public(data)
