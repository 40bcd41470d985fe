"""How a worker computes one subtask's batches: the port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.errors import SubletError
from schemas.jobs import Batch


class CannotCompute(SubletError):  # noqa: N818 - reads as the sentence it is
    """The subtask is not computed by this worker; `code` says why in kebab-case."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class BatchRefused(SubletError):  # noqa: N818
    """This batch cannot be computed; `final` when it would fail everywhere the same."""

    def __init__(self, code: str, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.code = code
        self.final = final


@dataclass(frozen=True, slots=True)
class Computed:
    """A result's body, and the processor seconds it took, summed over all cores."""

    body: bytes
    core_seconds: float


class Computer(Protocol):
    """Computes batches of one subtask."""

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """The result and what it cost. Raises BatchRefused."""
        ...

    async def close(self) -> None:
        """Forget keys and end processes."""
        ...
