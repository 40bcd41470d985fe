"""A job as people see it: state, decision with its numbers, contracts, route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from nodes.renter.files.fits import FitReport
from nodes.renter.protocol.records import LostLink
from nodes.renter.protocol.states import JobPhase
from schemas.jobs import Assessment, Costs, CutNote
from schemas.joint import Learned

UNREADABLE: Final = "unreadable"
"""The phase of a job whose records are damaged."""
WAITING: Final = "waiting"
"""The phase of a job that no worker has taken yet."""
PHASES: Final = (WAITING, *(phase for phase in get_args(JobPhase) if phase != "new"), UNREADABLE)
"""All that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """A contract of a job, and how far its subtask is."""

    id: str
    lessor: str
    renter_hub: str
    lessor_hub: str
    protection: str
    units: int
    price_micros: int
    """Millionths of the network's currency per unit and hour."""
    state: Literal["running", "ended"]
    subtask: str
    """Its phase; empty before the rows are split."""
    rows: int
    batches: int
    """Both done so far."""
    under_way: int = 0
    """Batches that it was sent and has not answered."""
    waiting: int = 0
    """Batches that it has yet to be sent."""
    core_seconds: float = 0.0
    """That its rows took, as the lessor says."""
    heard_at: float = 0.0
    """When the lessor was last heard of, seconds since 1970."""
    cost_micros: int = 0
    """As its receipt says, once there is one: when its subtask is completed."""
    route: str = ""
    """The hops between the parties."""
    seconds: float = 0.0
    """From the subtask's beginning to the last that was heard of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What an enclave that got a key had proved of itself."""

    lessor: str
    kind: str
    measurement: str
    """Of what it runs, hexadecimal."""
    confidential: bool
    """Against the owner of its machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """A job's partner, its rounds, and what each side learned so far."""

    partner: str
    dataset: str
    round: int
    """The one under way, or the last."""
    rounds: int
    fits: bool
    """Whether a model is fitted."""
    fit: FitReport | None
    """Of a model that was fitted, or that rows are scored with."""
    ledger: tuple[Learned, ...]
    round_phase: str = ""
    """Of the one under way."""
    accepted: bool = False
    """Whether the partner takes part."""
    owes_since: float = 0.0
    """When the partner was last due to say something and has not, seconds since 1970; 0 when it owes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job at one moment. Times are seconds since 1970 (UTC), 0 when not reached."""

    id: str
    phase: str
    asked: str = ""
    protection: str | None = None
    columns: tuple[str, ...] = ()
    """That the program takes, in its order."""
    columns_by: str = ""
    """What decided that: the program's names (name), the file's order (position), or the user (choice)."""
    rows: int = 0
    rows_done: int = 0
    batches: int = 0
    batches_done: int = 0
    submitted_at: float = 0.0
    ended_at: float = 0.0
    code: str = ""
    """Why it failed; `nodes.views.failures` says whose fault that is."""
    reason: str = ""
    assessment: Assessment | None = None
    price_micros_max: int = 0
    """That it pays per unit and hour, in millionths of the network's currency."""
    cut: CutNote | None = None
    """Where the program is cut, when only its beginning runs on ciphertext."""
    spent: Costs | None = None
    """What the assessment's `costs` predicted, as it came; None before any batch is done."""
    contracts: tuple[Rental, ...] = ()
    route: tuple[str, ...] = ()
    confidential: str = ""
    proofs: tuple[Proof, ...] = ()
    """Of enclaves that got a key; none where lessors compute on ciphertext."""
    finishes: bool = False
    """Whether a program of the user's runs here, on what comes back."""
    output: Path | None = None
    id_column: str | None = None
    """That names the rows of the output; without one they are numbered."""
    sum_rows: bool = False
    """Whether the output is one row, for all rows together."""
    joint: Joining | None = None
    renter: str = ""
    """Its address, where it is known from a contract."""
    ordered_at: float = 0.0
    """When the order was placed whose contracts are awaited, seconds since 1970; 0 where none are."""
    unowned: int = 0
    """Batches of lost subtasks that no live one has taken over yet."""
    here: int | None = None
    """Batches that are left to the renter itself, since its key decrypts nothing more."""
    lost_links: tuple[LostLink, ...] = ()
    """Of its hub's: what goes over them waits."""
    causes: tuple[tuple[str, str], ...] = ()
    """Code and text of everything that went wrong on the way."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ("completed", "failed", UNREADABLE)

    @property
    def seconds(self) -> float:
        """From submission to the end."""
        return max(0.0, self.ended_at - self.submitted_at)
