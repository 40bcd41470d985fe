"""The one way in: whatever a node's queues deliver is received, checked and settled here, for every role.

    delivery ──► receive: route, event, role, age ──► sender's key, signature ──► handler ──► acknowledged
                    │ (`nodes.runtime.checks`)              │                        │
                    └───────── refused ─────────────────────┴────────────────────────┴──► set aside with the reason
                               what this node cannot do now ─────────────────────────┴──► back, after a pause
                               its disk is full or fails ────────────────────────────┴──► held: `storage.py`

Whatever is raised while receiving, handling or settling ends in one of these three: never as the end of the process or
of its neighbours. An answer that is late for whoever asked is acknowledged, like what was handled. A role with a store
decides inside its transaction (`loop.py`) and uses `receive` and the answers; a consumer without one uses `serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from broker.names import Key, is_lane, sender_of
from broker.port import Delivery
from nodes.identity import verify
from nodes.machine import Refused
from nodes.operations.telemetry import Telemetry
from nodes.runtime import bulk
from nodes.runtime.checks import Receiver, check_event, check_signature, read_route
from nodes.runtime.complaints import OF_LATER_RELEASES, Complaints, is_of_later_release
from nodes.runtime.storage import Storage
from nodes.store.errors import RecordUnreadable
from schemas import codec
from schemas.codec import Received
from schemas.errors import SubletError, VerificationFailed
from schemas.events import RELEASE, Event, EventRefused, Role
from schemas.ids import Address

K = TypeVar("K")

RETRY_SECONDS: Final = 1.0
"""Pause before a message comes again that this node could not handle or settle now."""
FAILED: Final = "handler-failed"
UNREADABLE: Final = "unreadable"
"""Reasons of dead letters that are faults of this program, found in the log."""
LATER_RELEASE_TRIES: Final = 8
"""A second apart: while a node's workers are replaced one by one, another may know what this one does not."""
_NOT_NOW: Final = (SubletError, OSError, MemoryError)
"""What may pass: a broker out of reach, no memory."""
Noted = Callable[[str, str, str], Awaitable[None]]
"""Is told who sent what is set aside, the code and the reason."""


class Later(SubletError):  # noqa: N818 - reads as the sentence it is
    """Raised by a handler that lacks something which is on its way: the message comes again after a pause."""

    def __init__(self, reason: str, seconds: float = RETRY_SECONDS) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Unawaited(SubletError):  # noqa: N818 - reads as the sentence it is
    """Raised for an answer that came too late for whoever asked: nobody's fault, and of no use to anybody."""


class Door:
    """Receives for one address in one role."""

    def __init__(
        self,
        me: Address,
        role: Role,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        storage: Storage | None = None,
        complaints: Complaints | None = None,
        telemetry: Telemetry | None = None,
        noted: Noted | None = None,
    ) -> None:
        """A door of this node; `clock` gives seconds since 1970, `pause` waits so many seconds.

        `noted` is told of what is set aside: by whom, with which code, and why; it raises nothing.
        """
        self._noted = noted
        self._telemetry = telemetry or Telemetry()
        self._complaints = complaints
        self._storage = storage or Storage(pause=pause)
        self._receiver = Receiver(me, role)
        self._clock = clock
        self._pause = pause
        self._log = structlog.get_logger(__name__).bind(node=me, role=role)

    async def serve(
        self,
        delivery: Delivery,
        sender: Callable[[Event], Awaitable[tuple[bytes | None, K]]],
        handle: Callable[[Event, K], Awaitable[None]],
    ) -> None:
        """Receive one delivery, let it be handled, settle it. Raises nothing.

        Args:
            delivery: of a queue of this node.
            sender: the sender's Ed25519 public key (None when unknown) and what was looked up to find it; may raise
                Refused, Later or Unawaited.
            handle: acts on an authentic event and what `sender` found; may raise Refused, VerificationFailed (set
                aside), Later or another SubletError (comes again).
        """

        async def work() -> None:
            received = await self.receive(delivery)
            event = received.event
            tracing, of = self._telemetry.tracing, {"sublet.from": event.source}
            with tracing.span(f"handle {event.type}", event.subject, event.traceparent, "consumer", **of):
                key, known = await sender(event)
                if key is None and isinstance(event.data, EventRefused):
                    return  # it is logged; a worker that knows nothing yet of who answers has nothing to do
                check_signature(received, key, verify)
                await handle(event, known)

        await self.settle(delivery, work)

    async def receive(self, delivery: Delivery) -> Received:
        """The event of a delivery, past every check that needs no knowledge of its sender.

        Raises:
            Refused: with the reason, whatever the message contains.
            Later: it is of a later release, which another worker of this node may know.
        """
        message = delivery.message
        try:
            route = read_route(message.key, self._receiver)
            received = await bulk.decode(message.headers, message.body)
            check_event(received.event, route, self._receiver, self._clock())
            queue, waited = "lane" if is_lane(route.kind) else route.kind, self._clock() - received.event.time
            self._telemetry.metrics.received(received.event.type, len(message.body), queue, waited)
            if isinstance(told := received.event.data, EventRefused):
                by, what = received.event.source, "not understood" if told.code in OF_LATER_RELEASES else "not believed"
                self._log.error(what, source=by, type=told.type, code=told.code, reason=told.reason)
        except Refused:
            raise
        except VerificationFailed as error:
            if error.code in OF_LATER_RELEASES:
                raise self._not_understood(delivery, route, error) from error
            raise Refused(error.code, str(error)) from error
        except Exception as error:
            self._log.exception("a message could not be read", id=message.id)
            raise Refused(UNREADABLE, type(error).__name__) from error
        return received

    def _not_understood(self, delivery: Delivery, route: Key, error: VerificationFailed) -> Exception:
        """What becomes of what this release does not know. Of one that is not later it is a fault."""
        if not is_of_later_release(delivery.message):
            return Refused(error.code, str(error))
        theirs = codec.release_of(delivery.message.headers, "ce-")
        reason = f"{error}; {route.src} speaks release {theirs}, {self._receiver.me} release {RELEASE}"
        if is_lane(route.kind) or delivery.delivery_count >= LATER_RELEASE_TRIES:
            return Refused(error.code, reason)
        return Later(reason)

    async def settle(self, delivery: Delivery, work: Callable[[], Awaitable[None]]) -> None:
        """Do what a delivery asks for and settle it by what comes of that. Raises nothing but cancellation."""
        try:
            await self._storage.persist(work)
        except Refused as refusal:
            await self.set_aside(delivery, refusal.code, refusal.reason)
        except (VerificationFailed, RecordUnreadable) as error:
            await self.set_aside(delivery, error.code, str(error))
        except Unawaited as error:
            self._log.info("came too late", source=sender_of(delivery.message.key), reason=str(error))
            await self.acknowledge(delivery)
        except Later as error:
            key = delivery.message.key
            self._log.info("a message comes again", source=sender_of(key), reason=str(error), key=key)
            await self.bring_again(delivery, error.seconds)
        except _NOT_NOW as error:
            key = delivery.message.key
            self._log.warning("a message comes again", source=sender_of(key), reason=_said(error), key=key)
            await self.bring_again(delivery)
        except Exception as error:
            self._log.exception("a message could not be handled", id=delivery.message.id, key=delivery.message.key)
            await self.set_aside(delivery, FAILED, type(error).__name__)
        else:
            await self.acknowledge(delivery)

    async def acknowledge(self, delivery: Delivery) -> None:
        """It is done with. Raises nothing."""
        await self._answer(delivery, delivery.ack())

    async def set_aside(self, delivery: Delivery, code: str, reason: str) -> None:
        """Move it to the dead letters. Raises nothing."""
        message = delivery.message
        sender = sender_of(message.key)
        self._log.warning("set aside", code=code, reason=reason, source=sender, id=message.id, key=message.key)
        self._telemetry.metrics.refused(code)
        await self._answer(delivery, delivery.reject(code))
        if self._noted is not None:
            await self._noted(sender or "", code, reason)
        if self._complaints is not None:
            await self._complaints.tell(message, code, reason)

    async def bring_again(self, delivery: Delivery, seconds: float = RETRY_SECONDS) -> None:
        """Let it come again after a pause. Raises nothing."""
        self._telemetry.metrics.comes_again()
        await self._answer(delivery, delivery.retry(seconds))

    async def _answer(self, delivery: Delivery, answer: Awaitable[None]) -> None:
        """A delivery that could not be settled goes back to its queue, after a pause: every return counts."""
        try:
            await answer
        except Exception as error:
            self._log.warning("a message could not be settled", reason=_said(error), id=delivery.message.id)
            await self._pause(RETRY_SECONDS)
            try:
                await delivery.release()
            except Exception as again:
                self._log.warning("a message comes again with the next connection", reason=_said(again))


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
