"""How good a model is: a small file in the job's folder, for people and programs."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from nodes.renter.files.folder import JobFolder
from nodes.whole import write_whole

OWN: Final = "own"
JOINT: Final = "joint"


class FitReport(Struct, frozen=True, kw_only=True):
    """A fitted model. What is None has no meaning for its algorithm."""

    algorithm: str
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
    auc: float | None = None
    scores: str = ""
    """Whose scores `log_loss` and `auc` are of: the renter's part alone (own), or both parts (joint)."""
    slope: float | None = None
    """Calibrates joint scores: the logit of label 1 is slope·(score - intercept) + logit_at_mean."""
    logit_at_mean: float | None = None
    moved: int = 0
    """The renter's rows that stood alone and were moved towards the mean."""
    approximate: str = ""
    """What is approximate about it."""


def write_fit(folder: JobFolder, fit: FitReport) -> None:
    """Put it into a job's folder; done again it is left as it is."""
    write_whole(folder.fit, msgspec.json.encode(fit))


def read_fit(folder: JobFolder) -> FitReport | None:
    """What was found, of a job that fitted a model."""
    try:
        return msgspec.json.decode(folder.fit.read_bytes(), type=FitReport)
    except (OSError, msgspec.MsgspecError):
        return None
