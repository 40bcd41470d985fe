"""How good a model is: a small file in the job's folder, for people and programs."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from nodes.joint.categories import Categories, Omitted
from nodes.renter.files.folder import JobFolder
from nodes.whole import write_whole


class Alone(Struct, frozen=True, kw_only=True):
    """The same kind of model of the renter's columns alone, on the same rows."""

    r2: float
    log_loss: float | None = None
    auc: float | None = None


class FitReport(Struct, frozen=True, kw_only=True):
    """A fitted model. What is None has no meaning for its algorithm."""

    algorithm: str
    label: str
    """The column that was modelled."""
    rows: int
    columns: tuple[str, ...]
    """The renter's."""
    partner_columns: int
    penalty: float
    """In all: what scikit-learn's Ridge calls alpha, on standardised columns."""
    intercept: float
    """The linear predictor of a mean row."""
    r2: float | None
    """Of the target by the scores of both parties together; where the partner's weights are withheld, at least this."""
    log_loss: float | None = None
    """Of calibrated probabilities; of a scoring job, for they take scores of rows, which sums do not tell."""
    auc: float | None = None
    """Of a scoring job, likewise."""
    deviance: float | None = None
    """Mean Poisson deviance; of a scoring job."""
    alone: Alone | None = None
    scored: int = 0
    """Rows of a scoring job with a label, which `r2`, `log_loss`, `auc` and `deviance` are of; 0: those fitted to."""
    texts: tuple[Categories, ...] = ()
    """How the last of the renter's columns were made of text."""
    omitted: tuple[Omitted, ...] = ()
    """Columns here that the model does not have."""
    merged: tuple[str, ...] = ()
    """Categories here that too few of the rows in common have: they count as their column's baseline."""
    slope: float | None = None
    """Calibrates joint scores: the logit of label 1 is slope·(score - intercept) + logit_at_mean."""
    logit_at_mean: float | None = None
    log_mean_excess: float = 0.0
    """Of a Poisson model: the logarithm of a row's mean is its score less this."""
    moved: int = 0
    """The renter's rows that stood alone and were moved towards the mean."""
    approximate: str = ""
    """What is approximate about it."""


def write_fit(folder: JobFolder, fit: FitReport) -> None:
    """Put it into a job's folder; done again it is left as it is."""
    write_whole(folder.fit, msgspec.json.encode(fit))


def write_scored(folder: JobFolder, fit: FitReport) -> None:
    """Put what a scoring job found beside what is known of its model; done again it is left as it is."""
    write_whole(folder.scored, msgspec.json.encode(fit))


def read_fit(folder: JobFolder) -> FitReport | None:
    """What was found, of a job that fitted a model or scored with one."""
    path = folder.scored if folder.scored.exists() else folder.fit
    try:
        return msgspec.json.decode(path.read_bytes(), type=FitReport)
    except (OSError, msgspec.MsgspecError):
        return None
