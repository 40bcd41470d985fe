"""A model that a job fitted: how good it is, and this renter's part of it."""

from __future__ import annotations

from pathlib import Path

from nodes.renter.files.fits import Alone, FitReport
from nodes.renter.files.folder import JobFolder

__all__ = ["Alone", "FitReport", "program"]


def program(jobs: Path, job: str) -> bytes:
    """The renter's part as ONNX, of a job whose report has a fit; `jobs` is the folder of all jobs."""
    return JobFolder(jobs / job).model.read_bytes()
