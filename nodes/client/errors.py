"""What the client raises beside what a job or its submission raise.

SubletError
 ├── BadConfig
 │    └── NetworkClosed   the network was closed, and with it what a local one had
 └── …                    of a job that failed: the class that its code belongs to (`nodes/views/failures.py`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nodes.views.failures import kind_of
from nodes.views.jobs import JobReport
from schemas.errors import BadConfig, BadInput, SubletError, VerificationFailed

_IN_PYTHON: Final = {
    "--missing nan": 'missing="nan"',
    "--results-stay": "results_stay=True",
    "--scheme ckks": 'scheme="ckks"',
    "--accept-software-enclave": 'accept=["software-enclave"]',
    "--id-column": "id",
    "--price-max": "price_micros_max",
}
_OPTION: Final = re.compile("|".join([*_IN_PYTHON, r"--[a-z][a-z-]*[a-z]"]))


class NetworkClosed(BadConfig):
    """The network was closed."""

    def __init__(self) -> None:
        super().__init__("this network was closed: open another with sublet.connect or sublet.local", field="network")


def failure(report: JobReport) -> SubletError:
    """Why a job failed, as an error; its `code` is the job's."""
    kind, text = kind_of(report.code), f"{report.id} failed ({report.code}): {report.reason}"
    error = VerificationFailed(text, code=report.code) if kind is VerificationFailed else kind(text)
    vars(error)["code"] = report.code
    return error


@contextmanager
def told_in_python() -> Iterator[None]:
    """Where an error names options of the command line, it names what they are called here."""
    try:
        yield
    except BadInput as error:
        error.args = (_OPTION.sub(_in_python, str(error)), *error.args[1:])
        raise


def _in_python(found: re.Match[str]) -> str:
    return _IN_PYTHON.get(found[0], found[0].strip("-").replace("-", "_"))
