"""From a model that an earlier job fitted to a job that scores new rows with it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nodes.data.making import make_table
from nodes.data.port import Source
from nodes.data.reading import Dialect, Reading
from nodes.joint.files import label_of
from nodes.joint.models import MODELS
from nodes.programs.build import identity
from nodes.programs.check import check
from nodes.renter.files.fits import FitReport, read_fit, write_fit
from nodes.renter.files.folder import JobFolder
from schemas.errors import BadConfig, BadData
from schemas.joint import AlgorithmName

SCORES_MAX = 250_000
"""Rows of one job: their scores come back in one message."""


def program_of(jobs: Path, model: str) -> bytes:
    """The renter's part of the model; raises BadConfig: there is none."""
    _fit(jobs, model)
    return JobFolder(jobs / model).model.read_bytes()


def take_fit(jobs: Path, model: str, rows: int, folder: JobFolder) -> FitReport:
    """Copy what is known of the model into the scoring job's folder: the earlier job's may go.

    Raises BadData: there are more rows than one job can score.
    """
    if rows > SCORES_MAX:
        raise BadData(f"{rows:,} rows are more than one job scores: at most {SCORES_MAX:,}")
    found = _fit(jobs, model)
    write_fit(folder, found)
    return found


def take_labels(source: Path | Source, label: str, dialect: Dialect, fit: FitReport, folder: JobFolder) -> None:
    """Lay the rows' labels into the job's folder, which they do not leave; raises BadInput."""
    table = make_table(folder.labels, source, check(identity([label])), Reading(dialect=dialect))
    algorithm = msgspec.convert(fit.algorithm, AlgorithmName)
    MODELS[algorithm].target(label_of(table))


def _fit(jobs: Path, model: str) -> FitReport:
    folder = JobFolder(jobs / model)
    known = read_fit(folder) if folder.model.exists() else None
    if known is None:
        raise BadConfig(f"no job {model} here has fitted a model: name one by --score", field="score")
    return known
