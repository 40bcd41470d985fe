"""A job's folder: where its input, the parts of its result and its output lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JobFolder:
    """Where a job's files lie. Workers of one renter on several machines share the folder above."""

    path: Path

    @property
    def data(self) -> Path:
        """The input, as it was at submission."""
        return self.path / "input.csv"

    @property
    def parts(self) -> Path:
        """One file per accepted batch result."""
        return self.path / "parts"

    @property
    def incidents(self) -> Path:
        """Lessors' signed messages that were refused."""
        return self.path / "incidents"

    @property
    def output(self) -> Path:
        """The joined result."""
        return self.path / "output.csv"

    def part(self, batch: int, digest: str) -> Path:
        """The file of one batch's result; the digest in its name keeps differing results apart."""
        return self.parts / f"{batch:06d}-{digest[:16]}.f64"
