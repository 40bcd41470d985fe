"""What a protection does with a job's batches, at the renter: closes them on their way out, opens what comes back.

Each adapter mirrors a lessor's `Computer` (`nodes/lessor/compute/`): what `close` makes it computes, and `open` reads
what it made. A joint job's batches are closed round by round instead (`joint.py`). Which adapter a job has is said in
`registry.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nodes.crew.crew import Crew, survived
from nodes.crew.errors import HandLost
from nodes.data.table import Table
from nodes.homomorphic.port import SecretKey
from nodes.programs.program import Program
from nodes.renter.protocol.records import Facts
from schemas.errors import VerificationFailed
from schemas.jobs import Assessment, Batch, Noise

T = TypeVar("T")
P = ParamSpec("P")

VALUE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Closed:
    """A batch as it travels, and the core-seconds that it took."""

    body: bytes
    core_seconds: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A result in plaintext, [rows or 1, K], and the core-seconds that it took."""

    rows: NDArray[np.float64]
    core_seconds: float


class Protection(Protocol):
    """Of one job. Any worker of the renter has the same, and opens what another closed."""

    async def open(self, batch: Batch, body: bytes) -> Opened:
        """Authenticate, decrypt and audit a result.

        Raises:
            VerificationFailed: with the code of what is wrong with it; the lessor erred.
            BadData: the renter's own rows are not what they were.
        """
        ...

    async def forget(self) -> None:
        """Erase the job's keys from memory."""
        ...


class BatchProtection(Protection, Protocol):
    """Of a job whose batches go out once."""

    async def close(self, batch: Batch) -> Closed:
        """Read and encrypt what goes out. Raises BadData: the renter's own rows are not what they were."""
        ...


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What adapters are made of."""

    table: Table
    program: Program
    facts: Facts
    assessment: Assessment
    noise: Noise
    key: SecretKey | None = field(repr=False)
    """The job's, where the protection has one."""
    secret: Callable[[str], Awaitable[bytes]]
    """Subtask id -> the secret that only its lessor's enclaves get."""
    crew: Crew
    core_clock: Callable[[], float]
    """Processor seconds of the calling thread."""


def matrix(raw: bytes, batch: Batch, facts: Facts) -> NDArray[np.float64]:
    """A result's little-endian float64 values in their shape.

    Raises:
        VerificationFailed: `wrong-shape` or `not-finite`.
    """
    rows, width = 1 if facts.sum_rows else batch.rows, facts.width_out
    if len(raw) != rows * width * VALUE_BYTES:
        raise VerificationFailed(f"a result of {len(raw)} bytes is not {rows} rows of {width}", code="wrong-shape")
    values = np.frombuffer(raw, dtype="<f8").reshape(rows, width)
    if not np.isfinite(values).all():
        raise VerificationFailed("the result has values that are not finite", code="not-finite")
    return values


def timed(clock: Callable[[], float], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """The work's result, and the core-seconds it took in this thread."""
    start = clock()
    return work(*args, **kwargs), clock() - start


async def read_result(work: Callable[[], Awaitable[T]]) -> T:
    """What reading a result in the crew comes to. Raises VerificationFailed: it kills whoever reads it."""
    try:
        return await survived(work)
    except HandLost as error:
        raise VerificationFailed(str(error), code="ciphertext-invalid") from error
