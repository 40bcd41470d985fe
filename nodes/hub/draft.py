"""What one event changes at a hub, beside what the hub is told from outside. Pure."""

from __future__ import annotations

from nodes import draft
from nodes.hub.directory import HubConfig
from nodes.hub.records import BuyRecord, ContractRecord, Member, Placed, QuoteRecord, SellRecord


class Draft(draft.Draft[HubConfig]):
    """A draft over the hub's one aggregate."""

    def member(self, participant: str) -> Member | None:
        """Who joined, changed or left since the hub's files were written, or None."""
        return self.find(Member, f"member/{participant}")

    def sell(self, order_id: str) -> SellRecord | None:
        """The sell order of this id, or None."""
        return self.find(SellRecord, f"sell/{order_id}")

    def buy(self, order_id: str) -> BuyRecord | None:
        """The buy order of this id, or None."""
        return self.find(BuyRecord, f"buy/{order_id}")

    def placed(self, renter: str, *, open_more: int = 0, kept_more: int = 0) -> Placed:
        """How many buy orders of a renter are here, counted on by so many."""
        before = self.find(Placed, f"placed/{renter}") or Placed()
        after = Placed(open=before.open + open_more, kept=before.kept + kept_more)
        if not after.kept:
            self.delete(f"placed/{renter}")
        elif after != before:
            self.put(f"placed/{renter}", after)
        return after

    def quote(self, quote_id: str) -> QuoteRecord | None:
        """The reservation of this id, or None."""
        return self.find(QuoteRecord, f"quote/{quote_id}")

    def contract(self, contract_id: str) -> ContractRecord | None:
        """The contract of this id, or None."""
        return self.find(ContractRecord, f"contract/{contract_id}")
