"""How the market, accounts, contracts and receipts look."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Final

from nodes.cli.console import table
from nodes.cli.show import when
from nodes.cli.tables import Table
from nodes.views.accounts import Account, Line
from nodes.views.market import Market
from schemas import money
from schemas.contracts import Contract, Settlement

SAYS: Final = {"renter": "paid", "lessor": "earned", "hub": "passed on"}
HOUR_SECONDS: Final = 3600.0


def market_lines(market: Market) -> Iterator[str | Table]:
    """Per subnet and protection a line."""
    made = table(
        "", "subnet", "", "protection", "#units free", "#best price/h", "#MiB at most", "told", drops=("MiB at most",)
    )
    for each in market.supplies:
        price = "" if each.best_price_micros is None else money.shown(each.best_price_micros)
        memory = f"{each.memory_mib:,}" if each.memory_mib else ""
        told = f"{each.age_seconds:.0f} s ago"
        made.add_row(each.subnet, "own" if each.own else "", each.protection, f"{each.units:,}", price, memory, told)
    yield made
    if market.more:
        yield f"{market.more:,} more, of fewer units, are left out"


def account_lines(account: Account) -> Iterator[str | Table]:
    """Sums by party, and the total."""
    made = table("", "renter", "lessor", "#contracts", "#unit-hours", "#amount")
    for each in account.sums:
        hours = f"{each.unit_seconds / HOUR_SECONDS:,.4f}"
        made.add_row(each.renter, each.lessor, f"{each.contracts:,}", hours, money.shown(each.cost_micros))
    if account.lines:
        yield made
    since = f" since {when(account.since)}" if account.since else ""
    total = f"{money.shown(account.cost_micros)} under {len(account.lines):,} contracts{since}"
    yield f"{SAYS[account.role]:<12}{total}, by the receipts that {account.node} keeps"


def receipts_table(account: Account, limit: int = 0) -> Table:
    """A line per receipt, newest first; at most `limit`, where that is not 0."""
    made = table(
        "",
        "contract",
        "renter",
        "lessor",
        "protection",
        "#seconds",
        "#amount",
        "ended",
        drops=("protection", "renter" if account.role == "renter" else "lessor", "seconds", "ended"),
    )
    for each in account.lines[::-1][: limit or None]:
        numbers = (f"{each.ended_at - each.started_at:,.1f}", money.shown(each.cost_micros))
        made.add_row(each.contract, each.renter, each.lessor, each.protection, *numbers, when(each.ended_at))
    return made


def write_csv(lines: Iterable[Line]) -> None:
    """To stdout (RFC 4180); amounts are whole millionths, times seconds since 1970."""
    writer = csv.DictWriter(sys.stdout, [each.name for each in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in lines)


def contract_lines(contract: Contract) -> Iterator[str]:
    """A verified contract."""
    units = f"{contract.units:,} unit{'' if contract.units == 1 else 's'}"
    price = f"{units} at {money.shown(contract.price_micros)} per unit and hour"
    yield f"contract    {contract.id}: verified"
    yield f"renter      {contract.renter}, of {contract.renter_hub}"
    yield f"lessor      {contract.lessor}, of {contract.lessor_hub}"
    yield f"terms       {contract.protection}, {price}"
    yield f"lease       {when(contract.starts_at)} to {when(contract.ends_at)}"
    yield "signed      by both hubs, and both parties' orders by themselves"


def settlement_lines(settlement: Settlement) -> Iterator[str]:
    """A verified receipt."""
    receipt = settlement.receipt
    yield from contract_lines(settlement.contract)
    cost = money.shown(receipt.cost_micros)
    yield f"receipt     {cost} for {receipt.seconds:,.2f} s: verified, signed by both parties"
    yield f"            {receipt.rows:,} rows in {receipt.batches:,} batches, ended {when(receipt.ended_at)}"
