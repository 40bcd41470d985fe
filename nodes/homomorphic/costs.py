"""What homomorphic work costs in seconds of one core: counted symbolically, priced with measured units. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from nodes.homomorphic.multiexp import multiplications
from nodes.homomorphic.noise import TABLE_AFTER
from nodes.homomorphic.scheme import IntegerProgram
from schemas.jobs import Scheme


class Units(Struct, frozen=True, kw_only=True):
    """Core-seconds of one scheme's parts on one machine."""

    start: float
    """Once per process: loading the scheme's library."""
    encrypt: float
    """Per ciphertext, once the key's tables are there."""
    encrypt_first: float
    """Per ciphertext before that."""
    tables: float
    """Once per key and process."""
    encrypt_exact: float
    """Per ciphertext with exact noise."""
    read_key: float
    """Once per public key and process: parsing and checking."""
    receive: float
    """Per ciphertext that arrives: parsing and checking."""
    step: float
    """Per multiplication of the compiled program."""
    output: float
    """Per ciphertext of a result: bias, fresh noise, serialising."""
    decrypt: float
    """Per ciphertext."""


@dataclass(frozen=True, slots=True)
class Work:
    """Ciphertexts and operations of a job, on all batches together."""

    ciphertexts_in: int
    ciphertexts_out: int
    steps: int


def count(scheme: Scheme, program: IntegerProgram, batches: list[tuple[int, int]], slots: int) -> Work:
    """What `batches`, given as (how many, rows of each), take in ciphertexts of `slots` rows."""
    blocks = sum(number * -(-rows // slots) for number, rows in batches)
    evaluations = sum(number for number, _ in batches) if program.sum_rows else blocks
    additions = (blocks - evaluations) * program.width_in
    return Work(
        ciphertexts_in=blocks * program.width_in,
        ciphertexts_out=evaluations * program.width_out,
        steps=evaluations * steps(scheme, program) + additions,
    )


def steps(scheme: Scheme, program: IntegerProgram) -> int:
    """Multiplications for one block: of the compiled powers, or one per weight that is not zero."""
    if scheme == "ckks":
        return sum(weight != 0 for weights in program.weights for weight in weights)
    return sum(multiplications(weights) for weights in program.weights)


def encrypt_seconds(units: Units, ciphertexts: int, processes: int, *, exact: bool = False) -> float:
    """Encrypting `ciphertexts` spread over `processes`, each of which starts and makes its own tables."""
    start = processes * units.start
    if exact:
        return start + ciphertexts * units.encrypt_exact
    if ciphertexts < TABLE_AFTER * processes:
        return start + ciphertexts * units.encrypt_first
    return start + ciphertexts * units.encrypt + processes * units.tables


def evaluate_seconds(units: Units, work: Work, processes: int) -> float:
    """Running the program on ciphertext (H2) in `processes` of lessors."""
    noise = encrypt_seconds(units, work.ciphertexts_out, processes) - work.ciphertexts_out * units.encrypt
    computing = work.steps * units.step + work.ciphertexts_out * units.output
    return processes * units.read_key + work.ciphertexts_in * units.receive + computing + noise
