"""The partner's pass and row alignment, in processor time of one core.

The pass is a whole task: rows are parsed and checked, columns of 1024 levels summed up, results serialised. Its peer is
what stock phe does for the same sums: one multiplication and one addition of encrypted numbers per row, column and
number of a row, with the same weights. Ours handles all numbers of a row at once; phe's figure is for *one* number, so
that the ratio does not count the slots. Both sides' answers are checked first.

A round of a generic job is what a partner does with one batch of sealed results: parsing and checking, weighted sums
over its rows, and totals under full noise. Its peer is stock phe with the same weights, its answers obfuscated as well.

Alignment is both sides' work on so many ids each, half of them in common: hashing, masking, checking and masking again,
and the join. Its peer is openmined-psi, where one side learns what is in common and here both do. It pins a protobuf
that onnx cannot have, so that it runs in an environment of its own, which is made in build/ with the first run.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from gmpy2 import mpz

from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier import totals
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout
from nodes.homomorphic.port import IntegerProgram
from nodes.joint import alignment, partner
from nodes.joint.alignment import Masking
from nodes.partner.activities.sums import Sums, finished, partial_sums
from tests.bench.harness import Result, faster, interleave, more, output_of

KEY_SIZES: Final = (2048, 3072)
WIDTH: Final = 31
"""Numbers of a row: 30 columns and a label."""
ROWS: Final = 8192
COLUMNS: Final = 32
"""Enough for reading the rows to weigh little, as it does with the hundreds of columns of a real partner."""
LEVELS: Final = 1024
THEIR_ROWS: Final = 200
RECEIVED: Final = 8
OUTPUTS: Final = 4
"""Weighted sums of a round, of so many numbers of a row."""
IDS: Final = 100_000
PEER: Final = Path("tests/soak/psi_peer.py")
PEER_ENVIRONMENT: Final = Path("build/psi")
PEER_PACKAGE: Final = "openmined-psi==2.0.6"
INSTALL_SECONDS_MAX: Final = 600.0
PEER_SECONDS_MAX: Final = 3600.0


def run(only: str) -> Iterator[Result]:
    """Measures the names that start with `only`."""
    for bits in KEY_SIZES:
        if f"joint.pass.{bits}".startswith(only):
            figures = interleave(*_pass(paillier.generate(bits)))
            yield faster(f"joint.pass.{bits}", *figures, "phe on gmpy2, one slot", "µs/row/column")
    for bits in KEY_SIZES:
        if f"joint.round.{bits}".startswith(only):
            figures = interleave(*_round(paillier.generate(bits)))
            yield faster(f"joint.round.{bits}", *figures, "phe on gmpy2", "µs/row")
    if "joint.psi".startswith(only):
        python = _peer_python()
        rates = interleave(partial(_rate, IDS), partial(_peer_rate, python, IDS), warm_up=False)
        yield more("joint.psi", *rates, "openmined-psi, one-sided", "ids/s")


def _pass(secret: PaillierSecret) -> tuple[Callable[[], float], Callable[[], float]]:
    rng = np.random.default_rng(WIDTH)
    public, theirs = secret.public, secret.to_phe()
    given = rng.integers(-(2**15), 2**15, size=(ROWS, WIDTH))
    weights = rng.integers(-LEVELS // 2, LEVELS // 2, size=(ROWS, COLUMNS)).astype(np.int16)
    body = public.encrypt_rows(given)
    moments, size = partner.cross_moments(public, body, weights), public.ciphertext_bytes
    numbers = [mpz.from_bytes(moments[at : at + size], "big") for at in range(0, len(moments), size)]
    layout = Layout.widest(public.bits, WIDTH)
    opened = layout.unpack(secret.decrypt_plaintexts(numbers), public.n, layout.limit)
    assert opened == (weights.T.astype(np.int64) @ given).tolist()

    factors = weights[:THEIR_ROWS, 0].tolist()
    column = [theirs.public_key.encrypt(value) for value in given[:THEIR_ROWS, 0].tolist()]
    peer = partial(_weighted, column, factors)
    assert theirs.decrypt(peer()) == int(given[:THEIR_ROWS, 0] @ factors)
    ours = partial(_microseconds, lambda: partner.cross_moments(public, body, weights), ROWS * COLUMNS)
    return ours, partial(_microseconds, peer, THEIR_ROWS)


def _weighted(column: list[Any], factors: list[int]) -> Any:
    return sum(number * factor for number, factor in zip(column, factors, strict=True))


def _microseconds(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e6 / count


def _round(secret: PaillierSecret) -> tuple[Callable[[], float], Callable[[], float]]:
    rng = np.random.default_rng(RECEIVED)
    public, theirs = secret.public, secret.to_phe()
    given = rng.integers(-(2**25), 2**25, size=(ROWS, RECEIVED))
    weights = rng.integers(-(2**15), 2**15, size=(OUTPUTS, RECEIVED))
    program = IntegerProgram(tuple(map(tuple, weights.tolist())), (0,) * OUTPUTS, sum_rows=True, input_max=2**25)
    sums, body = Sums(public.to_bytes(), program), public.encrypt(given)

    def ours() -> bytes:
        return finished(sums, partial_sums(sums, body, ROWS).body, [0] * OUTPUTS).body

    assert totals.opened(secret, ours(), OUTPUTS) == (given @ weights.T).sum(axis=0).tolist()
    rows = [[theirs.public_key.encrypt(value) for value in row] for row in given[: THEIR_ROWS // OUTPUTS].tolist()]

    def peer() -> list[Any]:
        answers = [sum(_weighted(row, factors) for row in rows) for factors in weights.tolist()]
        for answer in answers:
            answer.obfuscate()
        return answers

    expected = (given[: len(rows)] @ weights.T).sum(axis=0).tolist()
    assert [theirs.decrypt(answer) for answer in peer()] == expected
    return partial(_microseconds, ours, ROWS), partial(_microseconds, peer, len(rows))


def _rate(count: int) -> float:
    """Ids of both sides per second of one core."""
    ours, theirs = ([f"person-{at}" for at in range(start, start + count)] for start in (0, count // 2))
    salt = bytes(alignment.SALT_BYTES)
    start = time.process_time()
    here, there = (Masking(secrets.token_bytes(alignment.SECRET_BYTES), salt) for _ in range(2))
    others, order = alignment.sorted_masks(alignment.masked(there, theirs))
    twice, again = alignment.remasked(there, alignment.masked(here, ours)), alignment.remasked(here, others)
    rows, places = alignment.matched(twice, again, order)
    seconds = time.process_time() - start
    assert [ours[row] for row in rows] == [theirs[place] for place in places] == ours[count // 2 :]
    return 2 * count / seconds


def _peer_rate(python: Path, count: int) -> float:
    """The same of openmined-psi."""
    return float(output_of([str(python), str(PEER), str(count)], PEER_SECONDS_MAX).split()[-2])


def _peer_python() -> Path:
    """The interpreter of an environment with it, made where there is none. Raises RuntimeError: it cannot be."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        output_of([sys.executable, "-m", "venv", str(PEER_ENVIRONMENT)], INSTALL_SECONDS_MAX)
    output_of([str(python), "-m", "pip", "install", "--quiet", PEER_PACKAGE], INSTALL_SECONDS_MAX)
    return python
