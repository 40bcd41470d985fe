"""The tables of phases: every phase can be reached, ended ones are left no more, and nothing else is possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from nodes.renter.protocol.machine import TABLE
from nodes.renter.protocol.states import ENDED, JOB, LIVE, NEW, OPEN, SUBTASK, JobPhase, SubtaskPhase
from nodes.states import IllegalTransition, advance

TABLES = [(JOB, set(get_args(JobPhase))), (SUBTASK, set(get_args(SubtaskPhase)))]


@pytest.mark.parametrize(("table", "phases"), TABLES, ids=["job", "subtask"])
def test_every_phase_is_reached_from_new(table: Mapping[Any, str], phases: set[str]) -> None:
    reached = {"new"}
    for _ in phases:
        reached |= {after for (before, _), after in table.items() if before in reached}
    assert reached == phases


def test_what_ended_stays_so() -> None:
    assert not {before for before, _ in JOB} & ENDED
    assert {before for before, _ in SUBTASK} == {"new"} | OPEN


def test_any_job_that_lives_can_fail() -> None:
    assert {before for before, happened in JOB if happened == "failed"} == LIVE


def test_a_step_that_no_table_has_is_a_mistake_of_this_program() -> None:
    with pytest.raises(IllegalTransition, match="nothing that is completed can be failed"):
        advance(JOB, "completed", "failed")


def test_handlers_serve_phases_that_exist() -> None:
    named = frozenset[str]().union(*(phases for phases, _ in TABLE.values()))
    assert named == NEW | LIVE | ENDED
