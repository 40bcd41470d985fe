"""Where a job's files lie, and in which format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nodes.data.manifest import MANIFEST
from nodes.renter.errors import OtherFormat
from nodes.whole import write_whole

if TYPE_CHECKING:
    from nodes.joint.files import IntegerFiles

FORMAT: Final = "3"
"""Of what lies in a job's folder. A release that lays it out otherwise counts up."""
FOLDER_MODE: Final = 0o700


@dataclass(frozen=True, slots=True)
class JobFolder:
    """A job's folder. Workers of one renter on several machines share the folder above."""

    path: Path

    @property
    def table(self) -> Path:
        """The input's ids and the program's columns, as they were at submission."""
        return self.path / "table"

    @property
    def joined(self) -> Path:
        """The table that a joint job's lessors compute on, where it is another than the input's."""
        return self.path / "joined"

    @property
    def model(self) -> Path:
        """The renter's part of a model, as a program."""
        return self.path / "model.onnx"

    @property
    def encoding(self) -> Path:
        """Which columns a model has, and how text became some of them."""
        return self.path / "encoding.json"

    @property
    def integers(self) -> IntegerFiles:
        """A model's columns."""
        from nodes.joint.files import IntegerFiles  # noqa: PLC0415 - NumPy: views start without

        return IntegerFiles(self.path)

    @property
    def labels(self) -> Path:
        """The labels of rows that are scored, which stay here: a table."""
        return self.path / "labels"

    @property
    def fit(self) -> Path:
        """How good a model is."""
        return self.path / "fit.json"

    @property
    def scored(self) -> Path:
        """How good it is on rows that were scored."""
        return self.path / "scored.json"

    @property
    def alignment(self) -> Path:
        """Masked ids of a joint job, until it ends."""
        return self.path / "alignment"

    @property
    def places(self) -> Path:
        """Which rows of the input both sides have, ascending: int64, from 0."""
        return self.alignment / "places.i8"

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
        """The joined result: a table."""
        return self.path / "output"

    def part(self, batch: int, digest: str) -> Path:
        """The file of one batch's result; the digest in its name keeps differing results apart."""
        return self.parts / f"{batch:06d}-{digest[:16]}.f64"

    def of_round(self, number: int, what: str, digest: str) -> Path:
        """A file of one round of a joint job: its `parameters` or `output`."""
        return self.path / "rounds" / f"{number:04d}-{what}-{digest[:16]}.f64"

    def make(self) -> None:
        """Make the folder, of this format; raises FileExistsError."""
        self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.path.mkdir(mode=FOLDER_MODE)
        write_whole(self._format, FORMAT.encode())

    def strip(self) -> None:
        """Remove what an ended job needs no more: the input but what it says of itself, parts, and rounds."""
        for folder in (self.parts, self.path / "rounds", self.joined, self.labels):
            shutil.rmtree(folder, ignore_errors=True)
        for path in self.table.glob("*"):
            if path.name != MANIFEST:
                path.unlink(missing_ok=True)
        self.integers.remove()

    def check(self) -> None:
        """Whether the folder is of this format.

        Raises:
            FileNotFoundError: there is none.
            OtherFormat: another release wrote it.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(self.path)
        found = self._format.read_text().strip() if self._format.exists() else "none"
        if found != FORMAT:
            raise OtherFormat(self.path, found, FORMAT)

    @property
    def _format(self) -> Path:
        return self.path / "format"
