"""What a user may wish for is the same wherever a job begins, and all of it reaches the job."""

from __future__ import annotations

import inspect
from typing import Final

from nodes.cli import compute, jobs
from nodes.renter.submission import JobOptions

ALONE: Final = {"out", "check"}
"""A job in this process ends before the command does."""
SUBMITTED: Final = {"config", "wait", "accept_software_enclave"}
"""A running network may have hardware; this process has none."""


def test_both_commands_that_begin_a_job_offer_the_same_wishes_with_the_same_defaults() -> None:
    alone, submitted = (inspect.signature(each).parameters for each in (compute.run, jobs.submit))
    assert alone.keys() - submitted.keys() == ALONE
    assert submitted.keys() - alone.keys() == SUBMITTED
    shared = alone.keys() & submitted.keys()
    assert {name: (alone[name].default, alone[name].annotation) for name in shared} == {
        name: (submitted[name].default, submitted[name].annotation) for name in shared
    }


def test_a_job_knows_every_wish_of_the_command_line() -> None:
    """But units, which follow from the lessors, and the lease, which is the network's."""
    offered = {
        "price_micros_max" if name == "price_max" else name for name in inspect.signature(jobs.submit).parameters
    }
    assert JobOptions.__dataclass_fields__.keys() - offered == {"units", "lease_seconds"}
