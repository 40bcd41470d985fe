"""The phases of a partner's part in a job, and of its rounds, as tables. Pure.

Theory of operation. A partner's part in a job is one aggregate:

    new          not asked yet
    examining    the request is held against policy and data (activity `examine`)
    waiting      a person has to approve it
    accepted     rows are aligned, then rounds go on: sealed results come from lessors under contract, outputs go to
                 the renter
    refused      by the policy, by a person, or by the data: with a code, and a reason that tells nothing of the data
    finished     the renter ended the job
    withdrawn    a person here took the data back
    failed       the renter fell silent, or something here failed

What ends it erases the data made for it; the summary and the ledger stay.

A round:

    open         sealed results come in, and their partial sums are kept
    summing      every row is in, of a model: units of rows and columns are summed up (activities `sum-unit`)
    answering    the output is made (activity `answer`)
    answered     it is on its way to the renter (J4)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

PartPhase = Literal["new", "examining", "waiting", "accepted", "refused", "finished", "withdrawn", "failed"]
RoundPhase = Literal["new", "open", "summing", "answering", "answered"]

PART: Final[Mapping[tuple[PartPhase, str], PartPhase]] = MappingProxyType(
    {
        ("new", "requested"): "examining",
        ("examining", "covered"): "accepted",
        ("examining", "undecided"): "waiting",
        ("examining", "refused"): "refused",
        ("examining", "ended"): "finished",
        ("examining", "withdrawn"): "refused",
        ("examining", "failed"): "failed",
        ("waiting", "approved"): "examining",
        ("waiting", "withdrawn"): "refused",
        ("waiting", "ended"): "finished",
        ("waiting", "failed"): "failed",
        ("accepted", "ended"): "finished",
        ("accepted", "refused"): "refused",
        ("accepted", "withdrawn"): "withdrawn",
        ("accepted", "failed"): "failed",
    }
)
ROUND: Final[Mapping[tuple[RoundPhase, str], RoundPhase]] = MappingProxyType(
    {
        ("new", "opened"): "open",
        ("open", "all-rows"): "answering",
        ("open", "all-to-sum"): "summing",
        ("summing", "summed"): "answering",
        ("answering", "answered"): "answered",
    }
)
NEW: Final[frozenset[str]] = frozenset({"new"})
LIVE: Final[frozenset[str]] = frozenset({"examining", "waiting", "accepted"})
ENDED: Final[frozenset[str]] = frozenset({"refused", "finished", "withdrawn", "failed"})
