"""The phases of a worker's session with one subtask, as a table. Pure.

Theory of operation. A session is what one worker knows of one subtask, in memory only; any worker can make any again:

    asked       the worker lacks the subtask and asked its renter for it, on its lane
    gathering   the terms are here; program or public key are still on their way (order is not assumed)
    building    the crew compiles the program, or an enclave is started and makes its evidence (E1)
    offered     the renter has the evidence
    accepting   the renter's seal is being opened inside the enclave
    open        batches are computed
    gone        no record is left: refused, failed, too late, idle, or its contract is over
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

SessionPhase = Literal["new", "asked", "gathering", "building", "offered", "accepting", "open", "gone"]

OPENING: Final[tuple[SessionPhase, ...]] = ("asked", "gathering", "building", "offered", "accepting")

SESSION: Final[Mapping[tuple[SessionPhase, str], SessionPhase]] = MappingProxyType(
    {
        ("new", "wanted"): "asked",
        ("asked", "assigned"): "gathering",
        ("gathering", "complete"): "building",
        ("building", "ready"): "open",
        ("building", "evidence-made"): "offered",
        ("offered", "sealed"): "accepting",
        ("accepting", "accepted"): "open",
        ("open", "closed"): "gone",
        **{(phase, "given-up"): "gone" for phase in OPENING},
    }
)
