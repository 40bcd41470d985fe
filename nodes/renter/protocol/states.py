"""The phases of a job and of its subtasks, as tables. Pure.

Theory of operation. A job is one aggregate:

    new          not here yet
    preparing    data, program and options are examined and what each protection costs is predicted (activity `prepare`)
    agreeing     a job with a joint part asks its partner first (J1), which may ask a person
    joining      which rows both sides have is found, and the table made that lessors compute on (activity `join`);
                 passed over where the table is it already
    ordering     the assessment chose a protection (A1, A2); the buy order waits for contracts (R1-R4)
    running      the rows are split (S1): each contract's subtask has a queue of batches and a bounded window under way
    assembling   every row has its result; parts are joined in order and the local program runs (H3, T3)
    completed    the output is in its place
    failed       with its cause; contracts are ended, an open order is taken back

Everything that may fail for good ends the job. Replacement contracts join a job that is running.

A subtask is one contract's part of the job:

    keying       until one of its enclaves holds the subtask secret (E1); passed over where no secret is needed
    running      batches go out as results come in
    closing      its contract was renewed: the new one's subtask has its batches, but those that are under way
    completed    the job has all its results, or the lease is over; the lessor gets its receipt
    lost         its lessor stayed silent or erred: its batches go to the others, or to a new buy order

A round of a joint job (J6), while the job is running:

    planning     its parameters are made, and the size of what the enclaves will seal is found (activity `plan-round`)
    open         batches go out, their sealed results to the partner
    replying     of a model: the renter has its weights, and the partner is to make its own
    answered     the partner's output is decrypted: next come other parameters, or the end
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

JobPhase = Literal[
    "new", "preparing", "agreeing", "joining", "ordering", "running", "assembling", "completed", "failed"
]
SubtaskPhase = Literal["new", "keying", "running", "closing", "completed", "lost"]

JOB: Final[Mapping[tuple[JobPhase, str], JobPhase]] = MappingProxyType(
    {
        ("new", "submitted"): "preparing",
        ("preparing", "assessed"): "ordering",
        ("preparing", "failed"): "failed",
        ("preparing", "asked"): "agreeing",
        ("agreeing", "agreed"): "joining",
        ("agreeing", "failed"): "failed",
        ("joining", "joined"): "ordering",
        ("joining", "failed"): "failed",
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
        ("running", "renewed"): "closing",
        ("closing", "all-done"): "completed",
        ("closing", "lost"): "lost",
        ("running", "all-done"): "completed",
        ("running", "lost"): "lost",
    }
)
RoundPhase = Literal["planning", "open", "replying", "answered"]
ROUND: Final[Mapping[tuple[RoundPhase, str], RoundPhase]] = MappingProxyType(
    {
        ("planning", "planned"): "open",
        ("open", "output"): "answered",
        ("open", "solved"): "replying",
        ("replying", "norm"): "answered",
    }
)
NEW: Final[frozenset[str]] = frozenset({"new"})
ENDED: Final[frozenset[str]] = frozenset({"completed", "failed"})
LIVE: Final[frozenset[str]] = frozenset({"preparing", "agreeing", "joining", "ordering", "running", "assembling"})
SERVING: Final[frozenset[str]] = frozenset({"keying", "running"})
"""Subtasks that can take batches."""
OPEN: Final[frozenset[str]] = SERVING | {"closing"}
"""Subtasks whose contract runs."""
