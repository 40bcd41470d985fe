"""What a partner is told from outside. Frozen data, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import limits
from schemas.ids import Address


@dataclass(frozen=True, slots=True)
class PartnerConfig:
    """Public values only. `key` is this partner's Ed25519 public key (32 bytes); `hub_keys` maps the hubs' own
    addresses (`C11.hub`) to theirs."""

    me: Address
    key: bytes
    newest: bytes = b""
    """By which it will be known, where that is another (`nodes.identity`)."""
    hub_keys: Mapping[str, bytes] = field(default_factory=dict)
    renter_seconds_max: float = limits.RENTER_SECONDS_MAX
    """A renter that was not heard of for this long ends its job here."""
    approval_seconds_max: float = limits.APPROVAL_SECONDS_MAX
