"""What homomorphic work costs in seconds of one core: counted symbolically, priced with measured units. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct, structs

from nodes.homomorphic.paillier.multiexp import multiplications
from nodes.homomorphic.port import IntegerProgram
from nodes.programs.affine import Monomial
from schemas.jobs import PAILLIER, Scheme

TABLES_AFTER: Final = (12, 4000)
"""Ciphertexts under one key after which each next larger table of noise has paid for itself."""


class Units(Struct, frozen=True, kw_only=True):
    """Core-seconds of one scheme's parts on one machine; as measured, in probes (`measure.py`)."""

    start: float
    """Once per process: loading the scheme's library."""
    encrypt: tuple[float, ...]
    """Per ciphertext: without a table of noise, then with each."""
    tables: tuple[float, ...]
    """Once per key and process: making each table."""
    encrypt_exact: float
    """Per ciphertext with exact noise."""
    read_key: float
    """Once per public key and process: parsing and checking."""
    receive: float
    """Per ciphertext that arrives: parsing and checking."""
    step: float
    """Per multiplication of the compiled program."""
    product: float = 0.0
    """Per product of two ciphertexts."""
    output: float
    """Per ciphertext of a result: bias, fresh noise by the last table, serialising."""
    decrypt: float
    """Per ciphertext."""
    open: float = 0.0
    """Per result, of however few ciphertexts, that is decrypted."""

    def times(self, factor: float) -> Units:
        """All of them times a factor: the seconds of a probe."""
        return Units(**{name: _times(getattr(self, name), factor) for name in self.__struct_fields__})


def _times(numbers: float | tuple[float, ...], factor: float) -> Any:
    return tuple(each * factor for each in numbers) if isinstance(numbers, tuple) else numbers * factor


@dataclass(frozen=True, slots=True)
class Work:
    """Ciphertexts and operations of a job, on all batches together, and ciphertexts of the largest batch."""

    ciphertexts_in: int
    ciphertexts_out: int
    steps: int
    batch_in: int
    batch_out: int
    products: int = 0


def count(scheme: Scheme, program: IntegerProgram, batches: list[tuple[int, int]], slots: int) -> Work:
    """What `batches`, given as (how many, rows of each), take in ciphertexts of `slots` rows."""
    blocks = sum(number * -(-rows // slots) for number, rows in batches)
    evaluations = sum(number for number, _ in batches) if program.sum_rows else blocks
    additions = (blocks - evaluations) * program.width_in
    largest = max((-(-rows // slots) for _, rows in batches), default=0)
    return Work(
        ciphertexts_in=blocks * program.width_in,
        ciphertexts_out=evaluations * program.width_out,
        steps=evaluations * steps(scheme, program) + additions,
        batch_in=largest * program.width_in,
        batch_out=(1 if program.sum_rows else largest) * program.width_out,
        products=blocks * products(program),
    )


def count_sealed(width: int, batches: list[tuple[int, int]], slots: int, *, sum_rows: bool) -> Work:
    """What sealing results of `width` columns takes (T2), batches as in `count`."""
    blocks = [(number, 1 if sum_rows else -(-rows // slots)) for number, rows in batches]
    return Work(
        ciphertexts_in=0,
        ciphertexts_out=width * sum(number * each for number, each in blocks),
        steps=0,
        batch_in=0,
        batch_out=width * max((each for _, each in blocks), default=0),
    )


def steps(scheme: Scheme, program: IntegerProgram) -> int:
    """Multiplications for one block: of the compiled powers, or one per weight that is not zero."""
    if scheme not in PAILLIER:
        return sum(weight != 0 for weights in program.weights for weight in weights)
    return sum(multiplications(weights) for weights in program.weights)


def products(program: IntegerProgram) -> int:
    """Products of ciphertexts for one block: of two columns, each made once; then, for every output, the sums of those
    that share the rest of their product are multiplied by that rest."""
    pairs: set[Monomial] = set()
    rests = 0
    for weights in program.weights:
        used = [each for each, weight in zip(program.products, weights[program.width_in :], strict=True) if weight]
        pairs |= {half for each in used for half in (each[:2], each[2:]) if len(half) > 1}
        rests += len({each[2:] for each in used if each[2:]})
    return len(pairs) + rests


def encrypt_seconds(units: Units, ciphertexts: int, batch: int, processes: int, *, exact: bool = False) -> float:
    """Encrypting `ciphertexts`, `batch` at a time, in as many of `processes` as have a batch to encrypt.

    Each of them starts, does without tables for its first batches, and makes each table when it pays.
    """
    if not ciphertexts:
        return 0.0
    working = min(processes, -(-ciphertexts // batch))
    seconds = working * units.start
    if exact:
        return seconds + ciphertexts * units.encrypt_exact
    ends = [working * ((after - 1) // batch * batch) for after in TABLES_AFTER[: len(units.tables)]]
    begin = 0
    for each, table, end in zip(units.encrypt, (0.0, *units.tables), [*ends, ciphertexts], strict=True):
        if made := min(ciphertexts, end) - begin:
            seconds += working * table + made * each
            begin += made
    return seconds


def evaluate_seconds(units: Units, work: Work, processes: int) -> float:
    """Running the program on ciphertext (H2) in `processes` of lessors.

    A lessor loads the scheme's library and reads the key when it opens its subtask: that is no batch's time.
    """
    opened = structs.replace(units, start=0.0)
    noise = encrypt_seconds(opened, work.ciphertexts_out, work.batch_out, processes)
    noise -= work.ciphertexts_out * units.encrypt[-1]
    computing = work.steps * units.step + work.products * units.product + work.ciphertexts_out * units.output
    return work.ciphertexts_in * units.receive + computing + noise
