"""A participant of a local network without any contract, and all that it does to be in others' way."""

from __future__ import annotations

import time
from dataclasses import dataclass

from broker.names import routing_key
from broker.port import Message
from nodes.local import LOCAL_RENTER, LocalNetwork
from schemas import codec
from schemas.events import CATALOGUE, Event, SubtaskRequested, batch_attributes
from schemas.ids import Address, address, derive_id, hub_address
from schemas.jobs import Batch
from schemas.orders import BuyOrder
from schemas.signing import struct_bytes

LESSOR, STRANGER = address("B11", "B12"), address("B11", "B13")
PUBLISH_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Stranger:
    """Speaks as `STRANGER`, whose own worker was silenced."""

    network: LocalNetwork

    async def annoy(self, *, batches: int, orders: int, questions: int) -> None:
        """Batches of subtasks that it invented, orders that nothing matches, questions about jobs of others."""
        broker = self.network.server.connect(STRANGER)
        made = (
            *(self._batch(number) for number in range(batches)),
            *(self._order(number) for number in range(orders)),
            *(self._question(number) for number in range(questions)),
        )
        for message in made:
            await broker.publish(message, timeout_seconds=PUBLISH_SECONDS_MAX)
        await broker.close()

    def _batch(self, number: int) -> Message:
        batch = Batch(
            job=derive_id("job", "junk"),
            subtask=derive_id("subtask", "junk", number),
            contract=derive_id("contract", "junk", number),
            batch=number,
            attempt=1,
            first_row=0,
            rows=1,
        )
        return self._message(
            LESSOR, "batch.dispatched", number, subject=batch.job, body=b"junk", attributes=batch_attributes(batch)
        )

    def _order(self, number: int) -> Message:
        unsigned = BuyOrder(
            id=derive_id("order", "junk", number),
            renter=STRANGER,
            job=derive_id("job", "junk", number),
            units=1,
            price_micros_max=0,
            protection="homomorphic",
            lease_seconds=60.0,
            match_by=time.time() + 600,
        )
        fields = {name: getattr(unsigned, name) for name in unsigned.__struct_fields__}
        signature = self.network.identity(STRANGER).sign(struct_bytes(unsigned))
        order = BuyOrder(**fields | {"signature": signature})
        return self._message(hub_address("B11"), "order.buy.placed", number, subject=order.id, data=order)

    def _question(self, number: int) -> Message:
        data = SubtaskRequested(
            job=derive_id("job", "junk"),
            subtask=derive_id("subtask", "junk"),
            worker=derive_id("worker", number),
            lane="w1",
        )
        return self._message(LOCAL_RENTER, "subtask.requested", number, subject=data.job, data=data)

    def _message(self, to: Address, event_type: str, number: int, **fields: object) -> Message:
        event_id = derive_id("event", event_type, number)
        event = Event(id=event_id, type=event_type, source=STRANGER, to=to, time=time.time(), **fields)  # type: ignore[arg-type]
        headers, raw = codec.encode(event, self.network.identity(STRANGER).sign)
        key = routing_key(to, STRANGER, CATALOGUE[event_type].kind)
        return Message(key=key, body=raw, headers=headers, id=event_id)
