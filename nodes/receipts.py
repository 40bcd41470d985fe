"""Receipts as hubs and renters keep them: what was owed outlives the job, in one aggregate per day. Pure.

    renter ──contract.settled──► itself, and its hub        as soon as a receipt has both signatures
    lessor ──contract.settled──► its hub                    (it keeps its own in files: `nodes/lessor/receipts.py`)

The day is that of the contract's beginning, which both hubs signed, so a receipt that comes twice comes to the same
aggregate: the first counts. A day goes as a whole, `keep_receipts_days` after its end. It has no journal: a receipt
carries all signatures that it rests on, and would stand there a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from nodes.contracts import verify_settlement
from nodes.draft import Draft, data_of
from nodes.machine import TIMER_FIRED, Perform, Refused, SetTimer, Step, TimerFired
from schemas.contracts import Contract, Settlement
from schemas.errors import VerificationFailed
from schemas.events import Event

PREFIX: Final = "receipts-"
"""Of the aggregates' names; a day as `2026-03-01` follows."""
RECORD: Final = "settled"
SETTLED: Final = "contract.settled"
DROP: Final = "drop-receipts"
"""The timer of a day, and the activity that removes its aggregate."""


class Config(Protocol):
    """What a keeper of receipts knows."""

    @property
    def hub_keys(self) -> Mapping[str, bytes]:
        """Ed25519 public keys by hub address."""
        ...

    @property
    def keep_receipts_seconds(self) -> float:
        """After its contract's day a receipt is kept so long."""
        ...


K = TypeVar("K", bound=Config)


def day_of(contract: Contract) -> str:
    """The day on which a contract begins, UTC, as `2026-03-01`."""
    return f"{datetime.fromtimestamp(contract.starts_at, UTC):%Y-%m-%d}"


def aggregate_of(settlement: Settlement) -> str:
    """The aggregate to which its record belongs."""
    return PREFIX + day_of(settlement.contract)


def key_of(event: Event) -> bytes | None:
    """The key of a party that settles, as its contract names it: where receipts lie nobody is registered, and whoever
    handles them verifies the contract.
    """
    if not isinstance(event.data, Settlement):
        return None
    contract = event.data.contract
    return {contract.renter: contract.renter_key, contract.lessor: contract.lessor_key}.get(event.source)


def concerns(event: Event) -> bool:
    """Whether the event is for such an aggregate."""
    fires = event.type == TIMER_FIRED and isinstance(event.data, TimerFired) and event.data.name == DROP
    return fires or event.type == SETTLED


def handle(draft: Draft[K], event: Event) -> Step:
    """Keep a receipt, once; or let a day go.

    Raises:
        Refused: not-your-contract, second-receipt, or a code of `verify_settlement`.
    """
    (_drop if event.type == TIMER_FIRED else _keep)(draft, event)
    return replace(draft.step(), journalled=False)


def _drop(draft: Draft[K], _: Event) -> None:
    """Unless a longer time was set meanwhile."""
    due = max((_last(each.contract, draft.config) for _, each in draft.each(Settlement, RECORD)), default=0.0)
    draft.do(SetTimer(name=DROP, at=due) if draft.now < due else Perform(activity=DROP, params={}))


def _keep(draft: Draft[K], event: Event) -> None:
    settlement = data_of(event, Settlement)
    contract = settlement.contract
    if event.source not in (contract.renter, contract.lessor):
        raise Refused("not-your-contract", f"{event.source} may not settle {contract.id}; its parties may")
    try:
        verify_settlement(settlement, draft.config.hub_keys, draft.context.verify)
    except VerificationFailed as error:
        raise Refused(error.code, str(error)) from error
    key = f"{RECORD}/{contract.id}"
    known = draft.find(Settlement, key)
    if known is None:
        draft.put(key, settlement)
        draft.do(SetTimer(name=DROP, at=_last(contract, draft.config)))
    elif known.receipt != settlement.receipt:
        raise Refused("second-receipt", f"{contract.id} has another receipt already")


def _last(contract: Contract, config: Config) -> float:
    day = datetime.fromtimestamp(contract.starts_at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).timestamp() + config.keep_receipts_seconds
