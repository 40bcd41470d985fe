"""From a model that an earlier job fitted to a job that scores new rows with it."""

from __future__ import annotations

import shutil
from pathlib import Path

from nodes.renter.files.fits import FitReport, read_fit
from nodes.renter.files.folder import JobFolder
from schemas.errors import BadConfig, BadData

SCORES_MAX = 250_000
"""Rows of one job: their scores come back in one message."""


def program_of(jobs: Path, model: str) -> bytes:
    """The renter's part of the model; raises BadConfig: there is none."""
    return _folder(jobs, model).model.read_bytes()


def take_fit(jobs: Path, model: str, rows: int, folder: JobFolder) -> None:
    """Copy what is known of the model into the scoring job's folder: the earlier job's may go.

    Raises BadData: there are more rows than one job can score.
    """
    if rows > SCORES_MAX:
        raise BadData(f"{rows:,} rows are more than one job scores: at most {SCORES_MAX:,}")
    shutil.copyfile(_folder(jobs, model).fit, folder.fit)


def _folder(jobs: Path, model: str) -> JobFolder:
    folder = JobFolder(jobs / model)
    known: FitReport | None = read_fit(folder) if folder.model.exists() else None
    if known is None:
        raise BadConfig(f"no job {model} here has fitted a model: name one by --score", field="score")
    return folder
