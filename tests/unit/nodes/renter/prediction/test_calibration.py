"""A machine is measured once; again when it, its libraries or our code are not what they were; its speed each time."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from nodes.crew.crew import Kit, Worked
from nodes.homomorphic import measure
from nodes.homomorphic.costs import Units
from nodes.renter.prediction import calibration
from nodes.renter.prediction.calibration import PROBES_KEPT
from schemas.jobs import Scheme
from tests.support.desk import Desk

PROBE: Final = 1.0
SECONDS_MAX: Final = 10.0
"""Calls that wait for each other in turn would wait for ever."""
UNITS: Final = Units(
    start=0.0,
    encrypt=(2.0, 1.0),
    tables=(3.0,),
    encrypt_exact=4.0,
    read_key=5.0,
    receive=6.0,
    step=7.0,
    output=8.0,
    decrypt=9.0,
)
PAILLIER: Final = {"paillier": UNITS, "paillier-subgroup": structs.replace(UNITS, decrypt=1.5)}
CKKS: Final = {"ckks": structs.replace(UNITS, start=0.5)}
PAILLIER_ONLY: Final[tuple[Scheme, ...]] = ("paillier",)


class Machine:
    """Where things are measured: `measured` says what, since it was last asked."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.desk = Desk({measure.probe: PROBE, measure.measure_paillier: PAILLIER})
        self.fresh = Desk({measure.measure_ckks: CKKS})
        monkeypatch.setattr(calibration, "Crew", self._new)

    def _new(self, hands: int) -> Desk:
        assert hands == 1
        return self.fresh

    async def units(self, *schemes: Scheme) -> dict[str, Units]:
        return dict(await calibration.units(self.desk, self.path, schemes or PAILLIER_ONLY))

    def measured(self) -> list[str]:
        tasks = [task for task in (*self.desk.called, *self.fresh.called) if task is not measure.probe]
        self.desk.called.clear()
        self.fresh.called.clear()
        return [task.__name__ for task in tasks]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "kept" / "calibration.json", monkeypatch)


async def test_what_was_measured_is_kept_and_not_measured_again(machine: Machine) -> None:
    assert await machine.units() == PAILLIER
    assert machine.measured() == ["measure_paillier"]
    assert await machine.units() == PAILLIER
    assert machine.measured() == []
    assert os.listdir(machine.path.parent) == [machine.path.name]


async def test_only_missing_schemes_are_measured(machine: Machine) -> None:
    assert await machine.units("ckks") == CKKS
    assert machine.measured() == ["measure_ckks"]
    assert await machine.units("paillier", "ckks", "paillier-subgroup") == PAILLIER | CKKS
    assert machine.measured() == ["measure_paillier"]
    assert await machine.units("paillier-subgroup", "ckks") == PAILLIER | CKKS
    assert machine.measured() == []


async def test_ckks_is_measured_in_a_process_that_has_not_used_it(machine: Machine) -> None:
    await machine.units("paillier", "ckks")
    assert machine.fresh.called == [measure.measure_ckks]
    assert measure.measure_ckks not in machine.desk.called


async def test_a_machine_of_another_speed_has_other_prices_for_the_same_units(machine: Machine) -> None:
    await machine.units("paillier", "ckks")
    machine.measured()
    machine.desk.answers |= {measure.probe: 0.25}
    faster = UNITS.times(0.25)
    assert (faster.encrypt, faster.tables, faster.product, faster.decrypt) == ((0.5, 0.25), (0.75,), 0.0, 2.25)
    assert (await machine.units())["paillier"] == faster
    assert machine.measured() == []


@pytest.mark.parametrize("factor", [1.9, 1 / 1.9])
async def test_a_moment_of_another_speed_changes_no_price_until_it_lasts(machine: Machine, factor: float) -> None:
    for _ in range(PROBES_KEPT):
        await machine.units()
    machine.desk.answers |= {measure.probe: PROBE * factor}
    prices = [(await machine.units())["paillier"] for _ in range(PROBES_KEPT)]
    assert prices == [UNITS] * (PROBES_KEPT // 2) + [UNITS.times(factor)] * (PROBES_KEPT // 2 + 1)


async def test_prices_are_of_all_processes_at_work_together(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    together, alone = asyncio.Barrier(machine.desk.hands), machine.desk.call
    seconds = itertools.cycle((1.0, 2.0))

    async def call(task: Any, kit: Kit[Any], *args: Any, **kwargs: Any) -> Any:
        if task is measure.probe:
            await together.wait()
            return Worked(next(seconds), 0.0)
        return await alone(task, kit, *args, **kwargs)

    monkeypatch.setattr(machine.desk, "call", call)
    async with asyncio.timeout(SECONDS_MAX):
        assert (await machine.units())["paillier"] == UNITS.times(1.5)


def other_cores(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(os, "cpu_count", lambda: 1023)


def other_python(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(platform, "python_version", lambda: "3.99")


def other_library(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(calibration, "version", lambda name: "99.0")


def other_code(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "measure.py").write_text("another measure")
    patch.setattr(measure, "__file__", str(folder / "measure.py"))


@pytest.mark.parametrize("change", [other_cores, other_python, other_library, other_code])
async def test_another_machine_library_or_code_is_measured_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: object
) -> None:
    await machine.units()
    machine.measured()
    assert callable(change)
    change(monkeypatch, tmp_path)
    assert await machine.units() == PAILLIER
    assert machine.measured() == ["measure_paillier"]


def test_every_source_of_what_is_measured_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measure, "__file__", str(tmp_path / "measure.py"))
    seen = set()
    for text in ("x = 1", "x = 2"):
        (tmp_path / "noise.py").write_text(text)
        seen.add(calibration.fingerprint())
    (tmp_path / "notes.txt").write_text("no code")
    seen.add(calibration.fingerprint())
    assert len(seen) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"machine": 1}', b'{"machine":"","units":{}}'])
async def test_a_damaged_file_is_made_again(machine: Machine, content: bytes) -> None:
    await machine.units()
    machine.measured()
    machine.path.write_bytes(content)
    assert await machine.units() == PAILLIER
    assert machine.measured() == ["measure_paillier"]
    assert await machine.units() == PAILLIER
    assert machine.measured() == []


async def test_units_of_another_version_are_measured_anew(machine: Machine) -> None:
    await machine.units()
    machine.measured()
    machine.path.write_bytes(machine.path.read_bytes().replace(b'"tables"', b'"tabellae"'))
    assert await machine.units() == PAILLIER
    assert machine.measured() == ["measure_paillier"]


async def test_a_file_that_cannot_be_read_or_written_fails_nothing(machine: Machine) -> None:
    machine.path.mkdir(parents=True)
    assert await machine.units() == PAILLIER
    assert machine.measured() == ["measure_paillier"]
    assert os.listdir(machine.path.parent) == [machine.path.name]


async def test_a_folder_that_cannot_be_made_fails_nothing(machine: Machine) -> None:
    machine.path.parent.write_text("a file where the folder should be")
    assert await machine.units("paillier", "ckks") == PAILLIER | CKKS
    assert machine.measured() == ["measure_paillier", "measure_ckks"]


def test_measurements_of_a_user_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert calibration.user_file() == tmp_path / "sublet" / "calibration.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert calibration.user_file() == tmp_path / ".cache" / "sublet" / "calibration.json"
