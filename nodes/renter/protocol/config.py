"""What a renter is told from outside: its address, public keys and policies. Frozen data, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import limits
from schemas.ids import Address


@dataclass(frozen=True, slots=True)
class RenterConfig:
    """Public values only.

    `hub_keys` maps the hubs' own addresses (`A11.hub`) to Ed25519 public keys (32 bytes).
    """

    me: Address
    key: bytes
    """By which it is known."""
    newest: bytes = b""
    """By which it will be known, where that is another (`nodes.identity`)."""
    hub_keys: Mapping[str, bytes] = field(default_factory=dict)
    batch_deadline_seconds: float = limits.BATCH_DEADLINE_SECONDS
    handshake_seconds_max: float = limits.HANDSHAKE_SECONDS_MAX
    keep_seconds: float = limits.KEEP_SECONDS_DEFAULT
    """An ended job is kept so long."""
    keep_receipts_seconds: float = limits.KEEP_RECEIPTS_DAYS_DEFAULT * limits.DAY_SECONDS
    batch_window: int = limits.BATCH_WINDOW
    partner_seconds_max: float = limits.PARTNER_SECONDS_MAX
    """A partner that owes something and says nothing for this long ends the job."""
    approval_seconds_max: float = limits.APPROVAL_SECONDS_MAX
    """How long a person at the partner may take to approve."""
