"""Tells a sender why nothing that it says is believed, its clock or its key, and what is of a later release than this
node knows. Else it would wait for nothing.

Hubs tell whoever speaks to them, and are told by them: everybody begins with its hub. What is not known here everybody
tells. The broker pinned who the sender is, so nobody can be made to be told for another; and each is told rarely,
however much it sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from broker.names import DESK, parse_key
from broker.port import Message
from nodes.runtime.post import Post
from schemas import limits
from schemas.codec import release_of
from schemas.errors import BadConfig, SubletError
from schemas.events import RELEASE, CheckAnswered, EventRefused
from schemas.ids import Address, derive_id, hub_address, hub_of

OF_LATER_RELEASES: Final = frozenset({"unknown-type", "unknown-field"})
"""Reasons that a sender of a later release is given."""
NOT_BELIEVED: Final = frozenset(
    {"from-the-future", "too-old", "expired", "unknown-sender", "bad-signature", "sell-order-signature"}
)
"""Reasons that are about the sender and not about one of its messages."""
TOLD: Final = NOT_BELIEVED | OF_LATER_RELEASES
TELL_SECONDS: Final = 10.0
"""Between two complaints to one sender about one thing."""
TOLD_MAX: Final = 1024
"""Of whom it is remembered when they were told."""
UNTOLD: Final = frozenset({"", "event.refused", "delivery.failed"})
"""Types whose refusal nobody is told of: answers are not answered."""
TEXT_CHARS_MAX: Final = 200

log = structlog.get_logger(__name__)


def is_of_later_release(message: Message) -> bool:
    """Whether its sender says so."""
    return release_of(message.headers, "ce-") > RELEASE


class Complaints:
    """Of one process of a node."""

    def __init__(self, post: Post, clock: Callable[[], float]) -> None:
        self._post = post
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}

    async def tell(self, message: Message, code: str, reason: str) -> None:
        """Tell the sender that its message was refused, if that is of use to it. Raises nothing."""
        event_type = str(message.headers.get("ce-type", ""))[:TEXT_CHARS_MAX]
        try:
            sender = parse_key(message.key).src
        except BadConfig:
            return
        if code not in TOLD or event_type in UNTOLD or (code in OF_LATER_RELEASES and not is_of_later_release(message)):
            return
        name, why = message.id[:TEXT_CHARS_MAX] or "nameless", reason[: limits.REASON_CHARS_MAX]
        event_id = derive_id("refused", self._post.me, message.id, code)
        try:
            if event_type == "check.requested":  # who asks is always told
                answered = CheckAnswered(event=name, code=code, reason=why)
                await self._post.send("check.answered", sender, name, answered, event_id=event_id, lane=DESK)
            elif self._is_due(sender, code):
                subject = str(message.headers.get("ce-subject", ""))[:TEXT_CHARS_MAX] or name
                refused = EventRefused(event=name, type=event_type, code=code, reason=why)
                await self._post.send("event.refused", sender, subject, refused, event_id=event_id)
        except SubletError as error:
            log.info("a sender was not told", source=sender, reason=str(error))

    def _is_due(self, sender: Address, code: str) -> bool:
        me, now = self._post.me, self._clock()
        of_hubs = any(each == hub_address(hub_of(each)) for each in (sender, me))
        if sender == me or not (of_hubs or code in OF_LATER_RELEASES):
            return False
        if now < self._told.get((sender, code), -TELL_SECONDS) + TELL_SECONDS:
            return False
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told[sender, code] = now
        return True
