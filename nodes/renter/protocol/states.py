"""The phases of a job and of its subtasks, as tables. Pure.

Theory of operation. A job is one aggregate:

    new          not here yet
    preparing    data, program and options are examined and what each protection costs is predicted (activity `prepare`)
    ordering     the assessment chose a protection (A1, A2); the buy order waits for contracts (R1-R4)
    running      the rows are split (S1): each contract's subtask has a queue of batches and a bounded window under way
    assembling   every row has its result; parts are joined in order and the local program runs (H3, T3)
    completed    the output is in its place
    failed       with its cause; contracts are ended, an open order is taken back

Everything that may fail for good ends the job. Replacement contracts join a job that is running.

A subtask is one contract's part of the job:

    keying       until one of its enclaves holds the subtask secret (E1); passed over where no secret is needed
    running      batches go out as results come in
    completed    the job has all its results; the lessor gets its receipt
    lost         its lessor stayed silent or erred: its batches go to the others, or to a new buy order
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

JobPhase = Literal["new", "preparing", "ordering", "running", "assembling", "completed", "failed"]
SubtaskPhase = Literal["new", "keying", "running", "completed", "lost"]

JOB: Final[Mapping[tuple[JobPhase, str], JobPhase]] = MappingProxyType(
    {
        ("new", "submitted"): "preparing",
        ("preparing", "assessed"): "ordering",
        ("preparing", "failed"): "failed",
        ("ordering", "split"): "running",
        ("ordering", "failed"): "failed",
        ("running", "all-done"): "assembling",
        ("running", "failed"): "failed",
        ("assembling", "assembled"): "completed",
        ("assembling", "failed"): "failed",
    }
)
SUBTASK: Final[Mapping[tuple[SubtaskPhase, str], SubtaskPhase]] = MappingProxyType(
    {
        ("new", "needs-secret"): "keying",
        ("new", "needs-none"): "running",
        ("keying", "confirmed"): "running",
        ("keying", "all-done"): "completed",
        ("keying", "lost"): "lost",
        ("running", "all-done"): "completed",
        ("running", "lost"): "lost",
    }
)
NEW: Final[frozenset[str]] = frozenset({"new"})
ENDED: Final[frozenset[str]] = frozenset({"completed", "failed"})
LIVE: Final[frozenset[str]] = frozenset({"preparing", "ordering", "running", "assembling"})
SERVING: Final[frozenset[str]] = frozenset({"keying", "running"})
"""Subtasks that can take batches."""
