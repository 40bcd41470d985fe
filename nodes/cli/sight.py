"""What strangers see of a job in this process: the first batch that each lessor gets, as it goes over the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.port import Message

DISPATCHED: Final = "batch.dispatched"
SHOWN_BYTES: Final = 16
KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch on its way to a lessor: rows [first_row, first_row + rows) of the input."""

    lessor: str
    first_row: int
    rows: int
    size: int
    """Bytes."""
    middle: bytes
    """Some from the middle of it, where no frame begins."""

    def __str__(self) -> str:
        size = f"{self.size:,} bytes" if self.size < KIB else f"{self.size / KIB:,.1f} KiB"
        return f"… {self.middle.hex(' ')} … ({size})"


class Sight:
    """Looks at what a broker takes in; see `EmbeddedServer.observed`."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        """By lessor."""

    @property
    def first(self) -> Seen | None:
        """The batch of the first rows; None where nothing went out."""
        return min(self.seen.values(), key=lambda each: each.first_row, default=None)

    def __call__(self, message: Message) -> None:
        """Remember a batch, if it is a lessor's first."""
        headers = message.headers
        if headers.get("ce-type") != DISPATCHED or str(headers.get("ce-to")) in self.seen:
            return
        lessor, half = str(headers["ce-to"]), len(message.body) // 2
        self.seen[lessor] = Seen(
            lessor=lessor,
            first_row=int(headers["ce-firstrow"]),
            rows=int(headers["ce-rows"]),
            size=len(message.body),
            middle=bytes(message.body[half : half + SHOWN_BYTES]),
        )
