"""A model that a job fitted: how good it is, and this renter's part of it."""

from __future__ import annotations

from pathlib import Path

from nodes.renter.files.fits import Alone, FitReport
from nodes.renter.files.folder import JobFolder

__all__ = ["Alone", "FitReport", "figures", "program"]


def figures(fit: FitReport | Alone) -> str:
    """How good it is, in words; what is not known is left out."""
    found = {"r2": fit.r2, "auc": fit.auc, "log loss": fit.log_loss, "deviance": getattr(fit, "deviance", None)}
    return ", ".join(f"{name} {value:.5g}" for name, value in found.items() if value is not None)


def program(jobs: Path, job: str) -> bytes:
    """The renter's part as ONNX, of a job whose report has a fit; `jobs` is the folder of all jobs."""
    return JobFolder(jobs / job).model.read_bytes()
