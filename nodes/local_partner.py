"""A partner for a network in this process: its tables, and a policy for exactly one job, or for all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes.partner.activities.services import Dataset
from nodes.partner.policy import ANY
from nodes.programs.check import check
from nodes.renter.invitation import Invitation
from schemas.joint import ROUNDS_MAX
from schemas.limits import IDS_PER_ALIGNMENT_MAX

__all__ = ["Dataset", "LocalPartner", "allow", "allow_all"]


@dataclass(frozen=True, slots=True)
class LocalPartner:
    """A partner for a local network: its datasets by name, its policy file, and `PartnerConfig` fields to change."""

    datasets: Mapping[str, Dataset]
    policy: Path
    settings: Mapping[str, Any] = field(default_factory=dict)


def allow_all(renter: str, datasets: Iterable[str], policy: Path) -> None:
    """Write a policy that lets this renter do all that a policy can allow."""
    _write(
        policy,
        {
            "renters": [renter],
            "datasets": list(datasets),
            "programs": [ANY],
            "algorithms": [ANY],
            "per_row": True,
            "rounds_max": ROUNDS_MAX,
            "ids_max": IDS_PER_ALIGNMENT_MAX,
        },
    )


def allow(renter: str, asked: Invitation, policy: Path, scored: str | None = None) -> None:
    """Write a policy that covers this alone, and of rows of the dataset `scored` to be scored with its model; a partner
    that runs reads it at the next request.

    Raises:
        BadProgram: the program that it is asked to run is none.
    """
    rule: dict[str, Any] = {
        "renters": [renter],
        "datasets": [asked.dataset, *([] if scored is None else [scored])],
        "columns": list(asked.columns),
        "programs": [check(asked.program).digest] if asked.program else [],
        "algorithms": [asked.fitting.algorithm.name] if asked.fitting is not None else [],
        "per_row": scored is not None,
        "rounds_max": asked.rounds,
        "alignment": ["digest" if asked.aligned else "psi"],
        "ids_max": IDS_PER_ALIGNMENT_MAX,
    }
    _write(policy, rule)


def _write(policy: Path, rule: Mapping[str, Any]) -> None:
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in rule.items())
    policy.write_text("\n".join(("[[allow]]", *lines, "")), encoding="utf-8")
