"""Whose fault a failed job is, by the code it ended with: the class of error, and with it the exit code.

A job ends with a code of the renter's own protocol, of its hub, or of the first lessor that it lost. Lessors choose
theirs freely, so a code without a row is nobody's known fault: the job failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nodes.enclave.errors import POLICY_CODES, Code
from schemas.errors import BadData, BadInput, BadProgram, JobFailed, PolicyRefused, SubletError, VerificationFailed

CODES: Final[Mapping[type[SubletError], tuple[str, ...]]] = MappingProxyType(
    {
        BadInput: (
            "backdated",
            "bad-input",
            "bad-order",
            "bad-request",
            "bad-split",
            "dataset-unfit",
            "no-file",
            "not-aligned",
            "not-believed",
            "other-format",
            "other-version",
            "unknown-hub",
            "unknown-partner",
        ),
        BadData: ("bad-data",),
        # The last three: it takes or does what no enclave allows to any program.
        BadProgram: ("bad-program", "no-room", "not-linear", "enclave-cpu", "enclave-memory", "enclave-syscall"),
        PolicyRefused: (
            "no-enclave",
            *POLICY_CODES,
            # A partner's
            "alignment-not-allowed",
            "budget-spent",
            "rows-too-alike",
            "column-not-allowed",
            "declined",
            "high-leverage",
            "low-support",
            "not-approved",
            "per-row-output",
            "policy-expired",
            "too-few-rows",
            "too-many-ids",
            "too-many-rounds",
            "too-many-rows",
            "unknown-algorithm",
            "unknown-dataset",
            "unknown-model",
            "unknown-program",
            "unknown-renter",
            "withdrawn",
        ),
        VerificationFailed: (
            *(code for code in Code if code not in POLICY_CODES),
            "bad-key",
            "blob-damaged",
            "ciphertext-invalid",
            "columns-unannounced",
            "ids-changed",
            "ids-invalid",
            "ids-repeated",
            "ids-too-many",
            "ids-unannounced",
            "ids-wrong-size",
            "modulus-unproved",
            "moments-impossible",
            "not-finite",
            "second-key",
            "unseal-failed",
            "wrong-result",
            "wrong-shape",
        ),
        JobFailed: (
            "activity-failed",
            "bad-pieces",
            "cancelled",
            "enclave-check",
            "enclave-closed",
            "enclave-crash",
            "enclave-machine-memory",
            "enclave-timeout",
            "enclave-unavailable",
            "hub-full",
            "too-many-orders",
            "hub-silent",
            "no-key",
            "no-lessor-left",
            "no-match",
            "no-memory",
            "not-assembled",
            "over-budget",
            "partner-failed",
            "cut-off",
            "partner-silent",
            "renter-silent",
            "rows-differ",
            "rows-not-covered",
            "silent",
            "too-many-attempts",
            "wrong-verdict",
        ),
    }
)
FAILURES: Final[Mapping[str, type[SubletError]]] = MappingProxyType(
    {str(code): kind for kind, codes in CODES.items() for code in codes}
)

UNFIT: Final = "dataset-unfit"
"""Why is for the partner alone."""
ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "budget-spent": "bring fewer columns (--columns): all jobs on these rows together may have one for ten rows",
        UNFIT: "ask the partner: `sublet joint explain JOB` tells it what does not fit",
        "high-leverage": '--outliers move moves such rows towards the mean (at the partner: outliers = "move" of its '
        "dataset); or leave out the columns in which they stand alone (--columns, --partner-columns)",
        "low-support": "leave such columns out (--columns, --partner-columns), or merge rare categories first",
        "rows-too-alike": "leave --aligned out: rows are found by masked ids then, and the few that differ are left "
        "out; or bring the same rows as in an earlier job, until as many differ as the partner's policy wants under an "
        "output (20 by default)",
        "not-aligned": "leave --aligned out: the rows in common are found then",
        "too-few-rows": "there must be ten rows in common for each column of either side, and as many as the partner's "
        "policy asks for: take fewer columns (--columns, --partner-columns) or bring more rows; ids are compared "
        "letter by letter",
    }
)
"""What to do about a refusal whose reason may not say it, as it tells nothing of the other side's data."""


def kind_of(code: str) -> type[SubletError]:
    """The class of error that the code belongs to; its `exit_code` is the job's."""
    return FAILURES.get(code, JobFailed)
