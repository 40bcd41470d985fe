"""Orders (R1): what a lessor offers and what a renter asks for, each signed by its author. Frozen data, pure."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from schemas import limits
from schemas.fields import PublicKeyField, SignatureField
from schemas.ids import AddressField, IdField

Protection = Literal["homomorphic", "enclave", "sealed-result"]
PROTECTIONS: tuple[Protection, ...] = ("homomorphic", "enclave", "sealed-result")

Units = Annotated[int, Meta(ge=1, le=limits.UNITS_PER_ORDER_MAX)]
Micros = Annotated[int, Meta(ge=0, le=limits.PRICE_MICROS_MAX)]
Seconds = Annotated[float, Meta(ge=0.0, le=10**9)]
Timestamp = Annotated[float, Meta(ge=0.0, le=4e9)]
"""Seconds since 1970-01-01T00:00:00Z."""


class SellOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A lessor's offer of idle compute. Placing the same id again renews it (and shows that the lessor lives), or puts
    other terms in the place of its own.

    `units` workers compute at a time; `price_micros` is millionths of the currency per unit and hour.
    """

    id: IdField
    lessor: AddressField
    units: Units
    price_micros: Micros
    protections: Annotated[tuple[Protection, ...], Meta(min_length=1, max_length=3)]
    memory_mib: Annotated[int, Meta(ge=64, le=2**24)] = 1024
    """Memory that one unit may use."""
    charged_seconds_min: Annotated[float, Meta(ge=0, le=3600.0)] = 0.0
    """A contract costs as much as so many seconds at least, or its lease if that is less; one that renews another does
    not."""
    since: Timestamp = 0.0
    """When its lessor began to offer these terms: of two orders of one id those that are younger count."""
    expires_at: Timestamp
    signature: SignatureField = b""

    def has_terms_of(self, other: SellOrder) -> bool:
        """Whether it offers the same: an order and its renewals do."""
        later = {"since": other.since, "expires_at": other.expires_at, "signature": other.signature}
        return structs.replace(self, **later) == other


class BuyOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a renter asks for: up to `units` in all, spread over `lessors_min` to `lessors_max` lessors (R3)."""

    id: IdField
    renter: AddressField
    job: IdField
    units: Units
    units_min: Units | None = None
    """Fewer are no match; by default all of them."""
    lessors_min: Annotated[int, Meta(ge=1, le=limits.LESSORS_PER_JOB_MAX)] = 1
    lessors_max: Annotated[int, Meta(ge=1, le=limits.LESSORS_PER_JOB_MAX)] = 1
    price_micros_max: Micros
    protection: Protection
    memory_mib: Annotated[int, Meta(ge=64, le=2**24)] = 64
    lease_seconds: Annotated[float, Meta(gt=0, le=limits.LEASE_SECONDS_MAX)]
    """How long the contracts shall run, counted from their signing."""
    match_by: Timestamp
    """Without a match by then the order is refused."""
    avoid: Annotated[tuple[AddressField, ...], Meta(max_length=limits.LESSORS_PER_JOB_MAX)] = ()
    """Lessors that this job does not want (they fell silent or erred)."""
    renews: Annotated[tuple[IdField, ...], Meta(max_length=limits.LESSORS_PER_JOB_MAX)] = ()
    """Contracts of this renter that soon end: their units count as free for this order."""
    signature: SignatureField = b""


class Need(Struct, frozen=True, kw_only=True):
    """What a buy order still lacks: all of it at first, less once some lessors serve it."""

    units: Units
    lessors_min: Annotated[int, Meta(ge=1, le=limits.LESSORS_PER_JOB_MAX)]
    lessors_max: Annotated[int, Meta(ge=1, le=limits.LESSORS_PER_JOB_MAX)]
    avoid: Annotated[tuple[AddressField, ...], Meta(max_length=2 * limits.LESSORS_PER_JOB_MAX)] = ()
    """Lessors that are not wanted or serve the order already."""


class Offer(Struct, frozen=True, kw_only=True):
    """Units of one sell order that its hub keeps reserved for one buy order until `reserved_until`."""

    sell: SellOrder
    lessor_key: PublicKeyField
    units: Units
    placed_at: Timestamp
    """When the sell order reached its hub: time priority among equal prices."""
    reserved_until: Timestamp


class Capacity(Struct, frozen=True, kw_only=True):
    """What a subnet has under one protection: a sum and the best price, never single orders (N4).

    It goes on from hub to hub, so it is a hint: who acts on it asks for a quote, which is signed by whoever gives it.
    """

    hub: AddressField
    protection: Protection
    units: Annotated[int, Meta(ge=0)]
    """That are free."""
    price_micros: Micros = 0
    """The lowest of a free unit."""
    memory_mib: Annotated[int, Meta(ge=0)] = 0
    """The most that a unit of any living lessor may use, be it free or not; 0: there is none."""
    at: Timestamp
    """When its hub found it so, by its own clock: of two words on a hub the younger counts."""
    age_seconds: Annotated[float, Meta(ge=0.0, le=limits.CAPACITY_SECONDS_MAX)] = 0.0
    """How old it is, as those found who carried it, each by its own clock: no two clocks need agree."""
    hops: Annotated[int, Meta(ge=0, le=limits.HOPS_MAX)] = 0
    """Hubs that passed it on."""
