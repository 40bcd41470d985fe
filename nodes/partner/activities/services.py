"""What a partner's activities need from outside, and where its files lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nodes.crew.crew import Crew
from nodes.data.port import Source
from nodes.data.reading import Reading
from nodes.identity import Identity
from nodes.joint.files import IntegerFiles
from nodes.partner.activities.keys import Keys
from nodes.store.blobs import BlobStore
from nodes.store.port import Store
from schemas.ids import Address
from schemas.joint import Outliers


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table that this partner has, by a name of its own, and how it is read."""

    data: Path | Source
    reading: Reading
    outliers: Outliers = "refuse"
    """What becomes of rows that stand alone in a model's columns."""


@dataclass(frozen=True, slots=True)
class Services:
    """Wired in one place (`nodes/bootstrap/`)."""

    identity: Identity
    store: Store
    blobs: BlobStore
    jobs: Path
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""
    crew: Crew
    """Computes on ciphertexts, one process per core."""
    policy: Path
    """Read anew for every request."""
    datasets: Mapping[str, Dataset] = field(default_factory=dict)

    @property
    def me(self) -> Address:
        """This partner's address."""
        return self.identity.address

    @property
    def keys(self) -> Keys:
        """Its parts' secrets."""
        return Keys(self.store, self.identity)

    def rows_of(self, job: str) -> Path:
        """Digests of the ids that a job rests on; outlives it (`row_sets.py`)."""
        return self.jobs.with_name("rows") / f"{job}.u8"

    def folder(self, job: str) -> PartFolder:
        """What is made of the data for one job."""
        return PartFolder(self.jobs / job)


@dataclass(frozen=True, slots=True)
class PartFolder:
    """A part's folder, erased with it."""

    path: Path

    @property
    def table(self) -> Path:
        """The columns that the program takes, in its order; or those of a model."""
        return self.path / "table"

    @property
    def alignment(self) -> Path:
        """Masked ids."""
        return self.path / "alignment"

    @property
    def matched(self) -> Path:
        """Which rows of the table both sides have, in the renter's order: int64, from 0. Where ids were masked."""
        return self.path / "matched.i8"

    @property
    def places(self) -> Path:
        """Those of them that may be summed up, likewise."""
        return self.path / "places.i8"

    @property
    def digest(self) -> Path:
        """Names the table."""
        return self.path / "table.sha256"

    @property
    def encoding(self) -> Path:
        """Which columns a model has, and how text became some of them."""
        return self.path / "encoding.json"

    @property
    def columns(self) -> IntegerFiles:
        """A model's, as integers."""
        return IntegerFiles(self.path)

    def unit(self, number: int, digest: str) -> Path:
        """The sums of some rows for some columns, still encrypted."""
        return self.path / "units" / f"{number:06d}-{digest[:16]}.bin"

    def drop_before(self, number: int) -> None:
        """Remove what earlier rounds were added up from."""
        for path in (self.path / "partials").glob("*.bin"):
            if int(path.name.partition("-")[0]) < number:
                path.unlink(missing_ok=True)

    def partial(self, number: int, batch: int, digest: str) -> Path:
        """The partial sums of one sealed result, still encrypted; of a model the sealed result itself."""
        return self.path / "partials" / f"{number:04d}-{batch:06d}-{digest[:16]}.bin"
