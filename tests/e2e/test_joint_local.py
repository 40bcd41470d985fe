"""Joint jobs in one process: lessors seal for a partner in a third subnet, in rounds, and the sums are right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.data.table import open_table
from nodes.joint import chunks, modulus
from nodes.local import WATCH_SECONDS, LocalNetwork
from nodes.partner.activities import table
from nodes.partner.activities.examine import examine
from nodes.renter.protocol import partnership
from nodes.views import parts
from nodes.views.report import JobReport
from schemas import limits
from tests.support import together as joint
from tests.support.together import Case

JOB_SECONDS_MAX = 60
LONG = {"batch_rows": 5}
"""So many batches, and rounds, that the job goes on when somebody acts upon its second round."""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_case(tmp_path_factory.mktemp("case"))


@pytest.fixture
async def network(tmp_path: Path, case: Case) -> AsyncIterator[LocalNetwork]:
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as running:
        yield running


async def submit(network: LocalNetwork, case: Case, job: dict[str, Any] | None = None, **invited: Any) -> str:
    spec = network.stage(case.renter, joint.lessors_program(), None, joint.wishes(job, **invited))
    await network.submit(spec)
    return spec.id


async def ended(network: LocalNetwork, job: str) -> JobReport:
    async with asyncio.timeout(JOB_SECONDS_MAX):
        reports = [each async for each in network.watch(job)]
    return reports[-1]


async def until_round(network: LocalNetwork, job: str, number: int) -> None:
    """Return when a round is under way."""
    async with asyncio.timeout(JOB_SECONDS_MAX):
        async for report in network.watch(job):
            assert not report.ended, report.reason
            if report.joint is not None and report.joint.round >= number:
                return


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Return when something shows outside of the job's report."""
    async with asyncio.timeout(JOB_SECONDS_MAX):
        while not await seen():  # noqa: ASYNC110 - what is awaited happens in files and stores
            await asyncio.sleep(WATCH_SECONDS)


async def erased(folder: Path) -> None:
    """Return when a folder is gone."""

    async def gone() -> bool:
        return not await asyncio.to_thread(folder.exists)

    await until(gone)


def outputs(report: JobReport) -> np.ndarray:
    assert report.output is not None
    table = open_table(report.output)
    assert table.ids(0, table.rows) == [str(number + 1) for number in range(table.rows)]
    return table.read(0, table.rows)


async def test_three_rounds_are_equal_to_plaintext(network: LocalNetwork, case: Case) -> None:
    report = await ended(network, await submit(network, case, parameters=(0.5, -0.25, 1.0)))
    assert report.phase == "completed", report.reason
    found, expected = outputs(report), case.expected(3, (0.5, -0.25, 1.0))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


async def test_rows_in_common_are_found_and_computed_on_whatever_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three hundred ids on each side, in ten chunks."""
    monkeypatch.setattr(chunks, "IDS_PER_CHUNK", 31)
    case = joint.make_overlapping(tmp_path)
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        job = await submit(network, case, aligned=False)
        report = await ended(network, job)
        assert report.phase == "completed", report.reason
        expected = case.expected(3)
        assert np.abs(outputs(report) - expected).max() <= 1e-6 * np.abs(expected).max()
        assert report.joint is not None
        assert network.partner_store is not None
        part = await parts.part(network.partner_store, job)
        assert part.ledger == report.joint.ledger
        (told,) = [each for each in part.ledger if (each.party, each.kind) == ("renter", "rows-in-common")]
        assert (told.count, told.round) == (150, 0)
        assert "150 of the renter's ids and 150 of the partner's did not match" in told.shape
        await erased(network.partner_folder / "jobs" / job)
        await erased(network.jobs / job / "alignment")


async def test_two_jobs_whose_rows_differ_by_one_person_show_no_fewer_than_are_wanted_under_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: the difference of both sums is what the partner has of this person. So more are left out."""
    monkeypatch.setattr(chunks, "IDS_PER_CHUNK", 64)
    case = joint.make_overlapping(tmp_path)
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        jobs = list[str]()
        header, *lines = case.renter.read_text().splitlines()
        theirs = {line.partition(",")[0] for line in case.partner.read_text().splitlines()[1:]}
        victim = next(line for line in lines if line.partition(",")[0] in theirs)
        for some in (lines, [line for line in lines if line != victim], [line for line in lines if line != victim]):
            case.renter.write_text("\n".join([header, *some]))
            jobs.append(await submit(network, case, aligned=False, rounds=1, update=None))
            report = await ended(network, jobs[-1])
            assert report.phase == "completed", report.reason
        first, second, third = (used(network, job) for job in jobs)
        assert (len(first), len(second)) == (150, 130)
        assert third == second < first
        assert report.joint is not None
        told = {(each.party, each.kind): each.shape for each in report.joint.ledger}
        assert "19 more rows in common" in told["renter", "rows-omitted"]


async def test_a_few_new_people_are_left_out_until_there_are_enough_of_them(tmp_path: Path) -> None:
    case = joint.make_overlapping(tmp_path)
    header, *lines = case.renter.read_text().splitlines()
    theirs = {line.partition(",")[0] for line in case.partner.read_text().splitlines()[1:]}
    new = [line for line in lines if line.partition(",")[0] in theirs][-25:]
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        reports, rows = list[JobReport](), list[int]()
        for few in (25, 15, 0):
            missing = new[:few]
            case.renter.write_text("\n".join([header, *(line for line in lines if line not in missing)]))
            job = await submit(network, case, aligned=False, rounds=1, update=None)
            reports.append(await ended(network, job))
            assert reports[-1].phase == "completed", reports[-1].reason
            rows.append(len(used(network, job)))
            assert network.partner_store is not None
            part = await parts.part(network.partner_store, job)
            assert reports[-1].joint is not None
            assert sorted(map(repr, part.ledger)) == sorted(map(repr, reports[-1].joint.ledger))
    assert rows == [125, 125, 150]
    assert np.allclose(outputs(reports[1]), outputs(reports[0]))
    expected = case.expected(1)
    assert np.abs(outputs(reports[2]) - expected).max() <= 1e-6 * np.abs(expected).max()


def used(network: LocalNetwork, job: str) -> set[int]:
    """Digests of the ids under a job's sums."""
    return set(np.fromfile(network.partner_folder / "rows" / f"{job}.u8", dtype="<u8").tolist())


async def test_a_partner_that_is_at_work_for_longer_than_it_may_be_silent_is_waited_for(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs, enough, silent_max = list[float](), asyncio.Event(), 2.0
    works = partnership.works

    async def slowly(*given: Any) -> Any:
        await enough.wait()
        return await examine(*given)

    def counted(draft: Any) -> None:
        works(draft)
        signs.append(draft.now)
        if signs[-1] - signs[0] > silent_max:
            enough.set()

    monkeypatch.setattr(limits, "WORK_SIGN_SECONDS", silent_max / 20)
    monkeypatch.setattr(table, "examine", slowly)
    monkeypatch.setattr(partnership, "works", counted)
    partner = joint.local_partner(case, joint.policy(tmp_path))
    renter = {"partner_seconds_max": silent_max}
    async with LocalNetwork(tmp_path / "network", partner=partner, renter=renter) as network:
        report = await ended(network, await submit(network, case, rounds=1))
    assert report.phase == "completed", report.reason


async def test_a_partner_that_is_gone_for_good_ends_the_job_by_name(tmp_path: Path, case: Case) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path))
    patience = {"partner_seconds_max": 10.0}
    async with LocalNetwork(tmp_path / "network", partner=partner, renter=patience) as network:
        job = await submit(network, case, LONG, rounds=5)
        await until_round(network, job, 2)
        await network.end_partner()
        report = await ended(network, job)
    assert (report.phase, report.code) == ("failed", "partner-silent")
    assert "C11.C12" in report.reason
    assert "round 2" in report.reason


async def test_a_lost_lessors_rows_go_to_the_other(tmp_path: Path, case: Case) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path))
    patience = {"batch_deadline_seconds": 1.0}
    async with LocalNetwork(tmp_path / "network", partner=partner, renter=patience) as network:
        job = await submit(network, case, {"batch_rows": 20})
        await until_round(network, job, 2)
        await network.silence("B11.B12")
        report = await ended(network, job)
        assert report.phase == "completed", report.reason
        expected = case.expected(3)
        assert np.abs(outputs(report) - expected).max() <= 1e-6 * np.abs(expected).max()


async def test_several_workers_of_a_lessor_fetch_the_rows_they_lack(tmp_path: Path, case: Case) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner, lessors=1, workers=2) as network:
        job = await submit(network, case, {"batch_rows": 30, "lessors": 1, "units": 2})
        report = await ended(network, job)
        assert report.phase == "completed", report.reason
        expected = case.expected(3)
        assert np.abs(outputs(report) - expected).max() <= 1e-6 * np.abs(expected).max()


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unknown-renter": ({"renters": '["A11.A19"]'}, {}),
    "unknown-dataset": ({"datasets": '["others"]'}, {}),
    "policy-expired": ({"until": "2020-01-01T00:00:00Z"}, {}),
    "column-not-allowed": ({"columns": '["premium"]'}, {}),
    "unknown-program": ({"programs": f'["{"0" * 64}"]'}, {}),
    "alignment-not-allowed": ({"alignment": '["psi"]'}, {}),
    "too-many-ids": ({"ids_max": 299}, {"aligned": False}),
    "too-few-rows": ({"rows_min": 301}, {}),
    "too-many-rounds": ({"rounds_max": 2}, {}),
    "modulus-unproved": ({}, {}),
    "per-row-output": ({}, {"program": joint.partner_program(per_row=True)}),
    "not-aligned": ({}, {}),
    "unknown-partner": ({}, {"partner": "C11.C19"}),
}


async def test_what_the_partner_refuses_ends_the_job_with_its_reason_before_compute_is_ordered(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is read for every request; a reason tells nothing of the data."""
    partner = joint.local_partner(case, joint.policy(tmp_path))
    async with LocalNetwork(tmp_path / "network", partner=partner) as network:
        for code, (changed, invited) in REFUSALS.items():
            joint.policy(tmp_path, **changed)
            with monkeypatch.context() as hostile:
                if code == "modulus-unproved":
                    hostile.setattr(modulus, "proof", lambda *_: b"")
                if code == "not-aligned":
                    case = replace(case, renter=_without_last(case.renter, tmp_path / "fewer.csv"))
                report = await ended(network, await submit(network, case, **invited))
            assert (report.phase, report.code) == ("failed", code), report.reason
            assert not report.contracts
            told = report.reason.replace("C11.C12", "").replace("C11.C19", "")
            assert not [word for word in ("premium", "insurer", "person", "300") if word in told], told


def _without_last(table: Path, to: Path) -> Path:
    to.write_text("\n".join(table.read_text().splitlines()[:-1]))
    return to
