"""A question of people at a node to a hub, and its answer, which comes in the node's lane for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from broker.names import DESK, queue_name
from broker.port import Broker, Consumer
from nodes.draft import data_of
from nodes.identity import verify
from nodes.runtime.post import Post
from nodes.views.market import Market, of_words
from schemas import codec
from schemas.errors import SubletError
from schemas.events import CheckAnswered, Event, MarketRequested, MarketTold
from schemas.ids import Address, derive_id, hub_address, hub_of

ANSWER_SECONDS_MAX: Final = 5.0
PREFETCH: Final = 8


@dataclass(frozen=True, slots=True)
class Asking:
    """From one node, while its lane is taken."""

    post: Post
    hub_keys: Mapping[str, bytes]
    """Ed25519 public keys by hub address."""
    _answers: Consumer

    async def ask(self, event_type: str, hub: str, data: Struct) -> Event:
        """The hub's answer.

        Raises:
            TimeoutError: none in `ANSWER_SECONDS_MAX`.
            SubletError: the question cannot be sent.
        """
        name = derive_id("event", os.urandom(16).hex())
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await self.post.send(event_type, hub, name, data, event_id=name)
            return await self._answer(hub, name)

    async def _answer(self, hub: str, name: str) -> Event:
        """The one to this question, past those that came too late for others."""
        async for delivery in self._answers:
            await delivery.ack()
            try:
                received = codec.decode(delivery.message.headers, delivery.message.body)
            except SubletError:
                continue
            event, key = received.event, self.hub_keys.get(hub)
            mine = isinstance(event.data, CheckAnswered | MarketTold) and event.data.event == name
            if mine and event.source == hub and key is not None and verify(key, received.signed, received.signature):
                return event
        raise TimeoutError


@asynccontextmanager
async def asking(broker: Broker, me: Address, post: Post, hub_keys: Mapping[str, bytes]) -> AsyncIterator[Asking]:
    """Take the lane of people at this node."""
    async with broker.consume(queue_name(me, DESK), prefetch=PREFETCH, exclusive=True) as answers:
        yield Asking(post, hub_keys, answers)


async def told_market(post: Post, broker: Broker, hub_keys: Mapping[str, bytes]) -> Market:
    """What compute there is, as the hub of a participant knows; raises HubSilent."""
    hub = hub_address(hub_of(post.me))
    async with asking(broker, post.me, post, hub_keys) as desk:
        try:
            told = data_of(await desk.ask("market.requested", hub, MarketRequested(lane=DESK)), MarketTold)
        except TimeoutError as error:
            raise HubSilent(hub) from error
    return of_words(post.me, told.capacities, told.more)


class HubSilent(SubletError):  # noqa: N818 - reads as the sentence it is
    """The hub answers nothing."""

    def __init__(self, hub: str) -> None:
        super().__init__(f"no answer of {hub} in {ANSWER_SECONDS_MAX:g} s: is `sublet hub` running there?")
