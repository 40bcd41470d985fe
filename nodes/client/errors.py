"""What the client raises beside what a job or its submission raise.

SubletError
 ├── BadConfig
 │    └── NetworkClosed   the network was closed, and with it what a local one had
 └── …                    of a job that failed: the class that its code belongs to (`nodes/views/failures.py`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from nodes.views.failures import ADVICE, UNFIT, kind_of
from nodes.views.report import JobReport
from schemas.errors import BadConfig, SubletError, VerificationFailed

_IN_PYTHON: Final = (
    (re.compile(r"--(protection|scheme|missing|outliers) ([a-z][a-z-]*[a-z])"), r'\1="\2"'),
    (re.compile(r"`sublet job list` shows"), "net.jobs() lists"),
    (re.compile(r"--results-stay"), "results_stay=True"),
    (re.compile(r"--accept-software-enclave"), 'accept=["software-enclave"]'),
    (re.compile(r"--id-column"), "id"),
    (re.compile(r"--([a-z][a-z-]*[a-z])"), lambda found: found[1].replace("-", "_")),
)
"""What the command line calls its options and commands, and what they are called here."""


def unfit(field: str, given: object, give: str) -> BadConfig:
    """An argument is of a type that cannot be used; `give` is what can."""
    return BadConfig(f"{field} is {give}, not {given!r:.40}", field=field)


class NetworkClosed(BadConfig):
    """The network was closed."""

    def __init__(self) -> None:
        super().__init__("this network was closed: open another with sublet.connect or sublet.local", field="network")


def failure(report: JobReport, said: Sequence[str] = ()) -> SubletError:
    """Why a job failed, and what to do, as an error; its `code` is the job's.

    `said` is the partner's own account of it, where that is here.
    """
    parts = [report.reason, *(f"there: {each}" for each in said)]
    if report.code in ADVICE and not (said and report.code == UNFIT):
        parts.append(f"what to do: {ADVICE[report.code]}")
    kind, text = kind_of(report.code), f"{report.id} failed ({report.code}): {in_python('; '.join(parts))}"
    error = VerificationFailed(text, code=report.code) if kind is VerificationFailed else kind(text)
    vars(error)["code"] = report.code
    return error


@contextmanager
def told_in_python() -> Iterator[None]:
    """Errors that name options of the command line name what they are called here."""
    try:
        yield
    except SubletError as error:
        error.args = (in_python(str(error)), *error.args[1:])
        raise


def in_python(text: str) -> str:
    """The text with options of the command line called what they are called here."""
    for option, name in _IN_PYTHON:
        text = option.sub(name, text)
    return text
