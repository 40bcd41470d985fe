"""What a lessor is told from outside. Frozen data, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas import limits
from schemas.ids import Address
from schemas.orders import PROTECTIONS, Protection

ORDER_SECONDS: Final = 60.0
"""A sell order that is not renewed ends after this long: a lessor without living workers is not matched."""


@dataclass(frozen=True, slots=True)
class LessorConfig:
    """Public values only. `key` is this lessor's Ed25519 public key (32 bytes); `hub_keys` maps the hubs' own addresses
    (`B11.hub`) to theirs."""

    me: Address
    key: bytes
    hub_keys: Mapping[str, bytes] = field(default_factory=dict)
    lanes: int = 8
    units: int = 1
    price_micros: int = limits.PRICE_MICROS_DEFAULT
    charged_seconds_min: float = limits.CHARGED_SECONDS_MIN_DEFAULT
    idle_seconds_max: float = limits.CONTRACT_IDLE_SECONDS_MAX
    """A contract under which nothing was asked for this long is ended."""
    protections: tuple[Protection, ...] = PROTECTIONS
    memory_mib: int = 1024
    order_seconds: float = ORDER_SECONDS
