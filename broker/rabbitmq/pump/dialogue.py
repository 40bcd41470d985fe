"""What is said on a connection beside messages: from the first greeting to the last. Pure (AMQP 0-9-1, section 2.2.4).

    greeting ──► start ──► tune ──► open ──► channel open ──► the channel's own steps ──► ready ──► closed

A connection has one channel, and ends with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pamqp import commands, exceptions, frame
from pamqp.base import Frame
from pamqp.header import ProtocolHeader

from broker.rabbitmq.frames import FRAME_END, FRAME_HEAD
from broker.rabbitmq.pump.stream import CHANNEL, FRAME_BYTES_MAX, Malformed

CONTROL: Final = 0
"""The channel of what is said of the connection itself."""
MECHANISM: Final = "PLAIN"
CAPABILITIES: Final = (
    "authentication_failure_close",
    "basic.nack",
    "connection.blocked",
    "consumer_cancel_notify",
    "publisher_confirms",
)
"""What the broker may say beside the protocol."""
GREETING: Final = ProtocolHeader(0, 9, 1).marshal()
CLOSING: Final = frame.marshal(commands.Connection.Close(200, "", 0, 0), CONTROL)


@dataclass(frozen=True, slots=True)
class Account:
    """Who connects, and to which virtual host."""

    user: str
    password: str = field(repr=False)
    virtual_host: str
    name: str
    """For the broker's list of connections."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Why the broker ended it, in its words."""

    code: int
    text: str
    of_channel: bool = False
    """It was the channel that was ended, for what was done on it."""


class Dialogue:
    """Of one connection."""

    def __init__(self, account: Account, steps: Sequence[Frame]) -> None:
        """On its channel are said these `steps`, each when the one before is answered."""
        self._account = account
        self._steps = [*steps]
        self._next: type[Frame] | None = commands.Connection.Start
        """What has to come now; None when it is ready."""
        self.fate: Fate | None = None
        self.blocked = False
        """Whether the broker takes no publishes for now."""
        self.heartbeat_seconds = 0
        """Zero: nobody sends any."""
        self.frame_bytes_max = FRAME_BYTES_MAX

    @property
    def ready(self) -> bool:
        """Whether all steps are answered, and it is not closed."""
        return self._next is None and self.fate is None

    def answer(self, channel: int, method: bytes) -> bytes:
        """What to say to what was said.

        Raises:
            Malformed: it is none of what may be said now.
        """
        said = _read(channel, method)
        match said:
            case commands.Connection.Close() | commands.Channel.Close():
                self.fate = Fate(said.reply_code or 0, said.reply_text, channel != CONTROL)
                closed = commands.Connection.CloseOk() if channel == CONTROL else commands.Channel.CloseOk()
                return frame.marshal(closed, channel)
            case commands.Connection.CloseOk():
                self.fate = Fate(200, "")
                return b""
            case commands.Basic.Cancel():
                self.fate = Fate(404, "the broker ended the subscription: the queue is gone", of_channel=True)
                return b""
            case commands.Connection.Blocked() | commands.Connection.Unblocked():
                self.blocked = isinstance(said, commands.Connection.Blocked)
                return b""
        if self._next is None or not isinstance(said, self._next):
            raise Malformed(f"{said.name}, where {self._next.__name__ if self._next else 'nothing'} was to come")
        return self._go_on(said)

    def _go_on(self, said: Frame) -> bytes:
        match said:
            case commands.Connection.Start():
                return self._say(CONTROL, commands.Connection.Tune, self._start(said))
            case commands.Connection.Tune():
                self._next = commands.Connection.OpenOk
                opening = commands.Connection.Open(virtual_host=self._account.virtual_host)
                return frame.marshal(self._tune(said), CONTROL) + frame.marshal(opening, CONTROL)
            case commands.Connection.OpenOk():
                return self._say(CHANNEL, commands.Channel.OpenOk, commands.Channel.Open())
        if not self._steps:
            self._next = None
            return b""
        step = self._steps.pop(0)
        return self._say(CHANNEL, _RESPONSES[type(step)], step)

    def _say(self, channel: int, answer: type[Frame], what: Frame) -> bytes:
        self._next = answer
        return frame.marshal(what, channel)

    def _start(self, said: commands.Connection.Start) -> Frame:
        if MECHANISM not in str(said.mechanisms).split():
            raise Malformed(f"that it lets nobody in by {MECHANISM}")
        can = dict.fromkeys(CAPABILITIES, True)
        who: dict[str, Any] = {"connection_name": self._account.name, "product": "sublet", "capabilities": can}
        secret = f"\0{self._account.user}\0{self._account.password}"
        return commands.Connection.StartOk(who, MECHANISM, secret, "en_US")

    def _tune(self, said: commands.Connection.Tune) -> Frame:
        self.heartbeat_seconds = said.heartbeat or 0
        self.frame_bytes_max = min(said.frame_max or FRAME_BYTES_MAX, FRAME_BYTES_MAX)
        return commands.Connection.TuneOk(said.channel_max, self.frame_bytes_max, self.heartbeat_seconds)


_RESPONSES: Final[dict[type[Frame], type[Frame]]] = {
    commands.Basic.Qos: commands.Basic.QosOk,
    commands.Basic.Consume: commands.Basic.ConsumeOk,
    commands.Confirm.Select: commands.Confirm.SelectOk,
}


def _read(channel: int, method: bytes) -> Frame:
    try:
        _, _, said = frame.unmarshal(FRAME_HEAD.pack(1, channel, len(method)) + method + FRAME_END)
    except (exceptions.PAMQPException, ValueError, LookupError, TypeError) as error:
        raise Malformed(f"a method that cannot be read ({type(error).__name__})") from error
    if not isinstance(said, Frame):
        raise Malformed("no method")
    return said
