"""What receipts add up to on a page: the same as the account says, read once, and bounded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from nodes.contracts import to_file
from nodes.hub.machine import HubMachine
from nodes.receipts import RECORD, aggregate_of, day_of
from nodes.store.port import Decision, Input, View
from nodes.store.sqlite import SqliteStore
from nodes.views.accounts import Fault, added_up, in_files
from nodes.views.balance import REST_TIMES, Balance, Total
from schemas.contracts import Settlement
from tests.unit.nodes.lessor.rentals import HUB_KEYS, LESSOR, RENTER, contract
from tests.unit.nodes.settled import receipt_of, settlement

NOW: Final = 1_800_000_000.0
DAY_SECONDS: Final = 24 * 3600.0


def settled(number: int, day: int = 0, **changes: Any) -> Settlement:
    """Different ones; only files are verified, so ids may be given."""
    made = settlement(NOW + day * DAY_SECONDS, seconds=20.0 + number, **changes)
    return structs.replace(made, contract=structs.replace(made.contract, id=f"contract-{number:024x}"))


class Ticking:
    """A stopwatch that tests move, and that goes on by itself with each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 100.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "node.sqlite", HubMachine.record_types)
    yield opened
    await opened.close()


async def keep(store: SqliteStore, found: Sequence[Settlement]) -> None:
    for each in found:
        put = {f"{RECORD}/{each.contract.id}": each}

        def decide(_: Input, __: View, put: Any = put) -> Decision:
            return Decision(NOW, put=put)

        name = aggregate_of(each)
        await store.apply([Input(each.contract.id, name)], decide, owner="p", lease_until=NOW, performs_max=0)


def write(folder: Path, found: Sequence[Settlement]) -> list[Path]:
    paths = [folder / day_of(each.contract) / f"{each.contract.id}.json" for each in found]
    for path, each in zip(paths, found, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_file(each))
    return paths


def really(seconds: float, day: int = 0) -> Settlement:
    """One that verifies."""
    of = contract(now=NOW + day * DAY_SECONDS, id=f"contract-{round(seconds):024x}")
    return Settlement(contract=of, receipt=receipt_of(of, seconds))


async def test_sums_are_those_of_the_account_to_the_micro(store: SqliteStore) -> None:
    found = [settled(number, day=number % 3) for number in range(7)]
    await keep(store, found)
    balance = Balance(Ticking())
    whole = [await balance.refresh(store) for _ in range(3)]
    assert whole == [False, False, True]
    account = added_up("A11.hub", "hub", found)
    (total,) = balance.totals().values()
    assert (total.cost_micros, total.contracts) == (account.cost_micros, 7)
    assert total.unit_seconds == pytest.approx(account.sums[0].unit_seconds)
    assert balance.newest(3) == list(account.lines[::-1][:3])
    assert balance.totals(lessor=LESSOR) == {(RENTER, LESSOR): total}
    assert balance.totals(lessor="B11.B99") == balance.totals(renter="A11.A99") == {}
    assert balance.newest(3, lessor="B11.B99") == []


async def test_only_days_that_changed_are_read_again_and_the_newest_first(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(store, [settled(number, day=number) for number in range(3)])
    read: list[str] = []
    select = store.select

    async def counted(aggregates: Any, kinds: Any) -> Any:
        read.extend(aggregates)
        return await select(aggregates, kinds)

    monkeypatch.setattr(store, "select", counted)
    watch = Ticking()
    balance = Balance(watch)
    assert not await balance.refresh(store)
    assert balance.unread == 2
    while not await balance.refresh(store):
        pass
    assert [name[-5:] for name in read] == ["01-17", "01-16", "01-15"]
    read.clear()
    await keep(store, [settled(9, day=1)])
    await store.erase("receipts-2027-01-15")
    assert await balance.refresh(store)
    assert [name[-5:] for name in read] == ["01-16"]
    assert sum(each.contracts for each in balance.totals().values()) == 3


async def test_a_day_that_changes_all_the_time_is_given_rest(store: SqliteStore) -> None:
    watch = Ticking(step=0.5)
    balance = Balance(watch)
    await keep(store, [settled(0)])
    await balance.refresh(store)
    await keep(store, [settled(1)])
    assert await balance.refresh(store)
    assert [each.contracts for each in balance.totals().values()] == [1]
    watch.now += REST_TIMES * watch.step
    await balance.refresh(store)
    assert [each.contracts for each in balance.totals().values()] == [2]


async def test_of_many_receipts_the_last_are_kept_and_all_are_summed(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.views.balance.LINES_MAX", 4)
    found = [settled(number, day=number % 2) for number in range(30)]
    await keep(store, found)
    balance = Balance(Ticking())
    while not await balance.refresh(store):
        pass
    (total,) = balance.totals().values()
    assert total.contracts == 30
    assert total.cost_micros == sum(each.receipt.cost_micros for each in found)
    assert sum(len(day.lines) for day in balance._days.values()) <= 8
    assert balance.newest(4) == list(added_up("A11.hub", "hub", found).lines[::-1][:4])


# ------------------------------------------------------------ a lessor's files


def test_files_are_verified_once_and_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.views.balance.FILES_MAX", 2)
    write(tmp_path, [really(20.0 + number, day=number % 2) for number in range(5)])
    balance, unread = Balance(Ticking()), []
    while not balance.refresh_files(tmp_path, HUB_KEYS):
        unread.append(balance.unread)
    assert unread == [3, 1]
    found, _ = in_files(tmp_path, HUB_KEYS)
    (total,) = balance.totals().values()
    assert (total.contracts, total.cost_micros) == (5, sum(each.receipt.cost_micros for each in found))
    monkeypatch.setattr("nodes.views.balance.verified_file", None)
    assert balance.refresh_files(tmp_path, HUB_KEYS)


@pytest.mark.parametrize("how", ["changed", "gone", "day gone"])
def test_a_file_that_is_not_what_it_was_counts_no_more(tmp_path: Path, how: str) -> None:
    paths = write(tmp_path, [really(20.0), really(21.0)])
    balance = Balance(Ticking())
    balance.refresh_files(tmp_path, HUB_KEYS)
    before = next(iter(balance.totals().values()))
    paper = json.loads(paths[0].read_text())
    if how == "changed":
        paper["receipt"]["cost_micros"] += 1
        paths[0].write_text(json.dumps(paper))
    else:
        for path in paths if how == "day gone" else paths[:1]:
            path.unlink()
    if how == "day gone":
        paths[0].parent.rmdir()
    balance.refresh_files(tmp_path, HUB_KEYS)
    left = sum(balance.totals().values(), Total())
    assert (before.contracts, left.contracts) == (2, 0 if how == "day gone" else 1)
    named = [(each.file, each.code) for each in balance.faults]
    assert named == ([(paths[0], "renter-signature")] if how == "changed" else [])
    assert all(isinstance(each, Fault) for each in balance.faults)


def test_a_lessor_that_never_ran_earned_nothing(tmp_path: Path) -> None:
    balance = Balance(Ticking())
    assert balance.refresh_files(tmp_path / "none", HUB_KEYS)
    assert (balance.totals(), balance.newest(9), balance.unread) == ({}, [], 0)
