"""What a renter accepts of enclaves. Pure data: `judge` holds claims against it, `policy_file` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodes.enclave.agreement.labels import H
from schemas.limits import NONCE_SECONDS_MAX

UP_TO_DATE: Final = "UpToDate"
"""Intel's status of a platform that lacks nothing."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a renter accepts. Nothing is accepted by default: `measurements` are reference values (RFC 9334).

    `accept_software` is apart from `kinds`, so that no list of kinds can let in what is not confidential.
    `signers`, when given, lists the platforms or development keys whose reports count. `tcb_min` holds (kind, part,
    lowest number); `tcb_statuses` and `rejected_advisories` are held against what a vendor says about a platform.
    """

    kinds: frozenset[str] = frozenset()
    measurements: frozenset[bytes] = frozenset()
    accept_software: bool = False
    allow_debug: bool = False
    signers: frozenset[bytes] | None = None
    nonce_seconds_max: float = NONCE_SECONDS_MAX
    tcb_min: tuple[tuple[str, str, int], ...] = ()
    tcb_statuses: frozenset[str] = frozenset({UP_TO_DATE})
    rejected_advisories: frozenset[str] = frozenset()

    def digest(self) -> bytes:
        """64 bytes that bind the policy into the key agreement."""
        signers = (b"any",) if self.signers is None else (b"only", *sorted(self.signers))
        return H(
            "policy",
            H("policy-kinds", *sorted(self.kinds)),
            H("policy-measurements", *sorted(self.measurements)),
            int(self.accept_software),
            int(self.allow_debug),
            H("policy-signers", *signers),
            int(self.nonce_seconds_max * 1000),
            H("policy-tcb-min", *(f"{kind}.{part}={number}" for kind, part, number in sorted(self.tcb_min))),
            H("policy-tcb-statuses", *sorted(self.tcb_statuses)),
            H("policy-advisories", *sorted(self.rejected_advisories)),
        )
