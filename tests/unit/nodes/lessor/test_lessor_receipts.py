"""A lessor's receipts: written once, whole, by whichever worker, and gone after a year."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from pathlib import Path

import pytest

from nodes.lessor.receipts import Receipts, days
from nodes.machine import Refused
from schemas.contracts import Settlement
from schemas.errors import BadConfig
from schemas.limits import KEEP_RECEIPTS_DAYS_DEFAULT, KEEP_RECEIPTS_DAYS_MIN
from tests.unit.nodes.settled import settlement

WORKERS = 8


def test_a_receipt_is_a_file_under_its_day_that_holds_the_contract_too(tmp_path: Path) -> None:
    Receipts(tmp_path / "data" / "receipts").keep(settlement())
    (file,) = (tmp_path / "data" / "receipts").rglob("*.json")
    assert (file.parent.name, file.stem) == ("2027-01-15", settlement().contract.id)
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_the_first_receipt_of_a_contract_counts_also_after_a_restart(tmp_path: Path) -> None:
    first, second = settlement(), settlement(seconds=30.0)
    Receipts(tmp_path).keep(first)
    restarted = Receipts(tmp_path)
    restarted.keep(first)
    restarted.require_only(first.contract, first.receipt)
    for refused in (restarted.keep, lambda other: restarted.require_only(other.contract, other.receipt)):
        with pytest.raises(Refused) as error:
            refused(second)
        assert error.value.code == "second-receipt"
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_of_workers_that_write_at_once_one_wins_and_the_others_are_refused(tmp_path: Path) -> None:
    ready, outcomes = threading.Barrier(WORKERS), list[str]()

    def work(other: Settlement) -> None:
        kept = Receipts(tmp_path)
        ready.wait()
        try:
            kept.keep(other)
            outcomes.append("kept")
        except Refused as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=work, args=(settlement(seconds=20.0 + n),)) for n in range(WORKERS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["kept"] + ["second-receipt"] * (WORKERS - 1)


@pytest.mark.parametrize("keep_days", [KEEP_RECEIPTS_DAYS_MIN, KEEP_RECEIPTS_DAYS_DEFAULT])
def test_days_go_when_they_are_older_than_receipts_are_kept(tmp_path: Path, keep_days: float) -> None:
    for name in ("2027-01-14", "2027-01-15", "2027-1-1", "notes"):
        (tmp_path / name).mkdir()
    Receipts(tmp_path, keep_days).forget(date(2027, 1, 16) + timedelta(days=keep_days))
    assert [each.name for each in days(tmp_path)] == ["2027-01-15"]
    assert (tmp_path / "notes").exists()


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadConfig, match="for receipts"):
        Receipts(tmp_path / "file" / "receipts")
