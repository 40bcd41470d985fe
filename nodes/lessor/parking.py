"""Batches whose renter has not shown a contract yet: they wait at the broker, in no slot, few of each renter.

A worker that does not know a subtask asks its renter for the terms. Until they are here, with a contract that verifies,
whoever sent the batch may be anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.machine import Refused
from nodes.runtime.ageing import Ageing
from schemas.ids import Address

PAUSES_SECONDS: Final = (0.25, 0.25, 1.0, 1.0, 5.0, 5.0, 30.0)
"""A renter that is there answers before the second; the last one is taken again and again."""
RETURNS_MAX: Final = 64
"""Half an hour of pauses: a renter that is started again may still answer."""
BATCHES_PER_RENTER_MAX: Final = 64
BATCHES_MAX: Final = 1024
FORGET_SECONDS: Final = 90.0
"""A batch that did not come back for so long went to another worker."""


@dataclass(frozen=True, slots=True)
class _Parked:
    renter: Address
    returns: int


class Parking:
    """Which batches one worker has sent back to wait."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._parked: Ageing[_Parked] = Ageing(clock, most=BATCHES_MAX, seconds=FORGET_SECONDS)

    def pause_seconds(self, batch: str, renter: Address) -> float:
        """How long this message has to wait now.

        Raises:
            Refused: `no-contract`: its renter had time enough to show one, or has too many that wait.
        """
        parked = self._parked.find(batch)
        if parked is None:
            known = sum(each.renter == renter for each in self._parked)
            if known >= BATCHES_PER_RENTER_MAX or len(self._parked) >= BATCHES_MAX:
                raise Refused("no-contract", f"{known} batches of {renter} wait already for its contract")
            parked = _Parked(renter, 0)
        if parked.returns >= RETURNS_MAX:
            self._parked.forget(batch)
            raise Refused("no-contract", f"{renter} was asked for its contract again and again, and has shown none")
        self._parked.see(batch, _Parked(renter, parked.returns + 1))
        return PAUSES_SECONDS[min(parked.returns, len(PAUSES_SECONDS) - 1)]

    def leave(self, batch: str) -> None:
        """Its renter's contract is here."""
        self._parked.forget(batch)
