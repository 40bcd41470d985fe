"""Contracts (R4): one sell order bound to one buy order, signed by both hubs; receipts of use. Frozen data, pure."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.fields import PublicKeyField, SignatureField
from schemas.hubs import HubCertificate
from schemas.ids import AddressField, IdField
from schemas.orders import BuyOrder, Micros, Protection, SellOrder, Timestamp, Units


class Contract(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The rental relationship. Verifies offline: both orders carry their author's signature, both hubs sign the whole.

    The hubs vouch for the parties' keys, so a party needs to know only the hubs' keys (N4).
    """

    id: IdField
    buy: BuyOrder
    sell: SellOrder
    renter_key: PublicKeyField
    lessor_key: PublicKeyField
    renter_hub: AddressField
    lessor_hub: AddressField
    protection: Protection
    units: Units
    price_micros: Micros
    starts_at: Timestamp
    ends_at: Timestamp
    hub_certificates: Annotated[tuple[HubCertificate, ...], Meta(max_length=2)] = ()
    """Of the hubs that joined since the network was founded, or have another key: so the parties need not know them."""
    renter_hub_signature: SignatureField = b""
    lessor_hub_signature: SignatureField = b""

    @property
    def renter(self) -> str:
        """Address of the party that rents."""
        return self.buy.renter

    @property
    def lessor(self) -> str:
        """Address of the party that computes."""
        return self.sell.lessor


class Receipt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was used under a contract; signed by the renter, then by the lessor."""

    contract: IdField
    job: IdField
    subtask: IdField
    rows: Annotated[int, Meta(ge=0)]
    batches: Annotated[int, Meta(ge=0)]
    started_at: Timestamp
    ended_at: Timestamp
    cost_micros: Annotated[int, Meta(ge=0)]
    renter_signature: SignatureField = b""
    lessor_signature: SignatureField = b""

    @property
    def seconds(self) -> float:
        """That are paid for."""
        return self.ended_at - self.started_at


class Settlement(Struct, frozen=True, kw_only=True):
    """A contract and its receipt, with all signatures: what is owed, to be verified by whoever knows the hubs' keys."""

    contract: Contract
    receipt: Receipt
