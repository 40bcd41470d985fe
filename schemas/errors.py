"""The roots of every error that Sublet raises on purpose. Layers subclass them in their own `errors.py`.

SubletError
 ├── BadInput              the caller's data, program, options or configuration     exit code 2
 │    ├── BadData          a row or column of the input data
 │    ├── BadProgram       a program that cannot be run as asked; names the operator
 │    └── BadConfig        a configuration or job field
 ├── BrokerUnreachable     no connection to the broker                              exit code 3
 ├── PolicyRefused         somebody's policy says no                                exit code 4
 ├── VerificationFailed    a signature, evidence, ciphertext or result is not right  exit code 5
 └── JobFailed             the job ended without a result                           exit code 1
"""

from __future__ import annotations


class SubletError(Exception):
    """Base of all errors raised on purpose. The message says who erred and what to do."""

    exit_code = 1


class BadInput(SubletError):  # noqa: N818 - reads as the sentence it is
    """The caller's data, program, options or configuration cannot be used."""

    exit_code = 2


class BadData(BadInput):
    """The input data cannot be used. `row` counts data rows from 1; `column` is a name."""

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.column = column


class BadProgram(BadInput):
    """The program cannot be run as asked. `operator` names the ONNX operator at fault, if one is."""

    def __init__(self, message: str, *, operator: str | None = None) -> None:
        super().__init__(message)
        self.operator = operator


class BadConfig(BadInput):
    """A configuration or job field is missing, unknown or out of range. `field` names it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BrokerUnreachable(SubletError):  # noqa: N818
    """No connection to the broker could be made in time."""

    exit_code = 3


class PolicyRefused(SubletError):  # noqa: N818
    """A policy of one of the parties forbids what was asked."""

    exit_code = 4


class VerificationFailed(SubletError):  # noqa: N818
    """Something that must be proved was not: a signature, evidence, a ciphertext, a result.

    `code` is a constant in kebab-case by which callers, journals and tests tell the reasons apart.
    """

    exit_code = 5

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class JobFailed(SubletError):  # noqa: N818
    """The job ended without a result; the message lists every cause."""

    exit_code = 1
