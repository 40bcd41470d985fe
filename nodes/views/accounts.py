"""What a node owes or earned, from the receipts that it keeps: hubs and renters in their store, lessors in files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from nodes import receipts
from nodes.config import NodeConfig
from nodes.contracts import read_file, verify_settlement
from nodes.identity import verify
from nodes.lessor.receipts import days
from nodes.store.port import Store
from nodes.views.source import open_store
from schemas.contracts import Settlement
from schemas.errors import BadConfig, VerificationFailed
from schemas.limits import LEASE_SECONDS_MAX

BEGINNING: Final = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One receipt. Times are seconds since 1970 (UTC)."""

    contract: str
    job: str
    renter: str
    lessor: str
    protection: str
    units: int
    price_micros: int
    """Millionths of the network's currency per unit and hour."""
    started_at: float
    ended_at: float
    rows: int
    batches: int
    cost_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Of a renter's receipts from one lessor."""

    renter: str
    lessor: str
    contracts: int
    unit_seconds: float
    cost_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A file that is no receipt any more; it counts for nothing."""

    file: Path
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All receipts that ended at `since` or later, oldest first, and what they add up to."""

    node: str
    role: str
    since: float
    lines: tuple[Line, ...]
    faults: tuple[Fault, ...] = ()

    @property
    def cost_micros(self) -> int:
        """Of all lines."""
        return sum(each.cost_micros for each in self.lines)

    @property
    def sums(self) -> tuple[Sum, ...]:
        """Per renter and lessor, dearest first."""
        by: dict[tuple[str, str], list[Line]] = {}
        for each in self.lines:
            by.setdefault((each.renter, each.lessor), []).append(each)
        return tuple(sorted((_sum(*pair, found) for pair, found in by.items()), key=_dearest))


async def account(config: NodeConfig, since: float = BEGINNING) -> Account:
    """This node's; `since` is seconds since 1970.

    Raises:
        BadConfig: a partner neither pays nor earns.
    """
    found, faults = await settlements(config, since)
    return added_up(config.address, config.role, found, faults, since)


def added_up(
    node: str, role: str, found: Iterable[Settlement], faults: Iterable[Fault] = (), since: float = BEGINNING
) -> Account:
    """The account that these receipts make."""
    lines = sorted(map(line_of, found), key=lambda each: (each.ended_at, each.contract))
    kept = tuple(each for each in lines if each.ended_at >= since)
    return Account(node=node, role=role, since=since, lines=kept, faults=tuple(faults))


async def settlements(config: NodeConfig, since: float = BEGINNING) -> tuple[list[Settlement], list[Fault]]:
    """Receipts of contracts that may have ended since, and files that are none; raises as `account`."""
    first = f"{datetime.fromtimestamp(max(0.0, since - LEASE_SECONDS_MAX), UTC):%Y-%m-%d}"
    if config.role == "partner":
        raise BadConfig(f"{config.address} is a partner: it neither pays nor earns", field="config")
    if config.role == "lessor":
        return await asyncio.to_thread(in_files, config.receipts, config.network.hub_keys, first)
    async with open_store(config) as store:
        return await in_store(store, first), []


async def in_store(store: Store, first: str = "") -> list[Settlement]:
    """Of contracts that began on the day `first`, as `2026-03-01`, or later."""
    names = [name for name in await store.aggregates(receipts.PREFIX) if name >= receipts.PREFIX + first]
    return [each for name in names for each in (await store.read(name)).values() if isinstance(each, Settlement)]


def in_files(folder: Path, hub_keys: Mapping[str, bytes], first: str = "") -> tuple[list[Settlement], list[Fault]]:
    """Likewise, of a lessor's folder, each verified; and the files that are no receipts. Blocking."""
    found: list[Settlement] = []
    faults: list[Fault] = []
    for path in _files(folder, first):
        try:
            found.append(verified_file(path, hub_keys))
        except VerificationFailed as error:
            faults.append(Fault(file=path, code=error.code, reason=str(error)))
    return found, faults


def verified_file(path: Path, hub_keys: Mapping[str, bytes]) -> Settlement:
    """A lessor's receipt; raises VerificationFailed. Blocking."""
    settlement = read_file(Settlement, path.read_bytes())
    verify_settlement(settlement, hub_keys, verify)
    return settlement


def _files(folder: Path, first: str) -> Iterator[Path]:
    for day in days(folder):
        if day.name >= first:
            yield from sorted(day.glob("*.json"))


def line_of(settlement: Settlement) -> Line:
    """A receipt as a line of an account."""
    contract, receipt = settlement.contract, settlement.receipt
    return Line(
        contract=contract.id,
        job=receipt.job,
        renter=contract.renter,
        lessor=contract.lessor,
        protection=contract.protection,
        units=contract.units,
        price_micros=contract.price_micros,
        started_at=receipt.started_at,
        ended_at=receipt.ended_at,
        rows=receipt.rows,
        batches=receipt.batches,
        cost_micros=receipt.cost_micros,
    )


def _sum(renter: str, lessor: str, lines: Iterable[Line]) -> Sum:
    found = list(lines)
    return Sum(
        renter=renter,
        lessor=lessor,
        contracts=len(found),
        unit_seconds=sum(each.units * (each.ended_at - each.started_at) for each in found),
        cost_micros=sum(each.cost_micros for each in found),
    )


def _dearest(of: Sum) -> tuple[int, str, str]:
    return -of.cost_micros, of.renter, of.lessor
