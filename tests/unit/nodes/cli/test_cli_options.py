"""What a user may ask of a job is the same wherever one begins, and all of it reaches the job."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from nodes.cli import compute, jobs
from nodes.cli.options import PROGRAMS, Asked, Together, Whom
from nodes.renter.submission import JobOptions

TOGETHER, WHOM = ({each.name for each in fields(kind)} for kind in (Together, Whom))

BOTH = {"joint", "joint_id_column", "score", "score_joint"}


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (compute.run, {"data", "out", "check", "verbose", "as_json", *BOTH, *TOGETHER}),
        (jobs.quote, {"data", "config", "accept_software_enclave", "as_json"}),
        (jobs.submit, {"data", "config", "key", "wait", "accept_software_enclave", "as_json", *WHOM, *TOGETHER}),
    ],
)
def test_commands_that_begin_a_job_offer_all_there_is_to_ask_and_their_own(
    command: Callable[..., None], own: set[str]
) -> None:
    offered = inspect.signature(command).parameters
    assert {each.name: offered[each.name].default for each in fields(Asked)} == {
        each.name: each.default for each in fields(Asked)
    }
    assert offered.keys() - {each.name for each in fields(Asked)} == own


def test_a_job_knows_every_wish_of_the_command_line() -> None:
    """But units, which follow from the lessors, software enclaves, which only a running network can do without, and the
    partner, which has options of its own."""
    asked = {each.name for each in fields(Asked)} - set(PROGRAMS)
    assert {each.name for each in fields(JobOptions)} - asked == {
        "units",
        "accept_software_enclave",
        "joint",
    }


def test_without_options_a_job_is_as_a_job_without_wishes() -> None:
    assert Asked().wishes(accept_software_enclave=False) == JobOptions()


def test_what_was_asked_reaches_the_job() -> None:
    choices = Asked(protection="sealed-result", scheme="paillier", noise="exact")
    asked = replace(choices, id_column="id", lessors=7, results_stay=True, local_share=0.5, price_max=0.5)
    assert asked.wishes(accept_software_enclave=True) == JobOptions(
        protection="sealed-result",
        scheme="paillier",
        noise="exact",
        id_column="id",
        lessors=7,
        results_stay=True,
        local_share=0.5,
        price_max=0.5,
        accept_software_enclave=True,
    )
