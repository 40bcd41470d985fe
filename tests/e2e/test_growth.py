"""What jobs leave behind: nothing that grows with their number, nothing that others may read, nothing once deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.hub.records import BuyRecord
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs.build import linear
from nodes.renter.protocol.records import ContractRecord
from nodes.renter.submission import JobOptions
from nodes.views.errors import UnknownJob
from schemas.ids import hub_address
from tests.support.growth import JOB_SECONDS_MAX, Traffic, files_bytes

JOBS = 12
"""`make soak` sends 500."""
GROWTH_MAX = 1.2


async def test_after_their_time_jobs_leave_nothing_that_grows_with_their_number(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    async with LocalNetwork(folder, lessors=1, renter={"keep_seconds": 0.1}) as network:
        traffic = Traffic(network, folder)
        for _ in range(JOBS // 4):
            await traffic.run()
        await traffic.gone()
        first = await traffic.left()
        for _ in range(JOBS - JOBS // 4):
            await traffic.run()
        await traffic.gone()
        last = await traffic.left()
    assert set(first.stores) == {LOCAL_RENTER, "A11.hub", "B11.hub"}
    for name, size in last.stores.items():
        assert size <= GROWTH_MAX * first.stores[name], f"{name}: {first.stores[name]} bytes, then {size}"
    assert last.files <= GROWTH_MAX * first.files


async def test_an_ended_job_keeps_its_result_and_what_explains_it_and_no_input_or_parts(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    async with LocalNetwork(folder, lessors=1) as network:
        traffic = Traffic(network, folder)
        job = await traffic.run(protection="enclave")
        here = network.jobs / job
        async with asyncio.timeout(JOB_SECONDS_MAX):
            while (here / "parts").exists() or (here / "table" / "values.f64").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await network.nodes[LOCAL_RENTER].runtime.idle()
        names = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
        report = [each async for each in network.watch(job)][-1]
        readable = [path for path in (folder / LOCAL_RENTER).rglob("*") if path.stat().st_mode & 0o077]
    assert {"format", "outputs.json", "table/table.json", "output/table.json", "output/values.f64"} <= names
    assert all(name.startswith("output/") or "/" not in name or name == "table/table.json" for name in names)
    assert report.columns == ("a0",)
    assert [path for path in readable if "node.sqlite" not in path.name] == [], "others may read these"


async def receipted(network: LocalNetwork, job: str) -> bool:
    """Whether all contracts of a job have ended."""
    return all(
        record.ended for record in (await network.store.read(job)).values() if isinstance(record, ContractRecord)
    )


async def test_a_deleted_job_leaves_nothing_and_one_that_runs_is_taken_back_first(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    async with LocalNetwork(folder, lessors=1) as network:
        traffic = Traffic(network, folder)
        done = await traffic.run()
        data = tmp_path / "data.csv"
        data.write_text("a\n1\n")
        async with asyncio.timeout(JOB_SECONDS_MAX):
            while not await receipted(network, done):  # noqa: ASYNC110 - a store is asked
                await asyncio.sleep(0.02)
        await network.silence("B11.B12")
        options = JobOptions(protection="homomorphic", lessors=1, match_seconds=60.0)
        spec = network.stage(data, linear({"a": [3.0]}, [1.0]), None, options)
        await network.submit(spec)
        async with asyncio.timeout(JOB_SECONDS_MAX):
            async for report in network.watch(spec.id):
                if report.phase in ("ordering", "running"):  # the hub may still find the silent lessor's order
                    break
        for job in (spec.id, done):
            await network.delete(job)
        await traffic.gone()
        await network.nodes[LOCAL_RENTER].runtime.idle()
        with pytest.raises(UnknownJob):
            await anext(network.watch(spec.id))
        assert list(network.jobs.iterdir()) == []
        assert files_bytes(folder / LOCAL_RENTER / "blobs") == 0
        async with asyncio.timeout(JOB_SECONDS_MAX):
            hub = network.nodes[hub_address("A11")].store
            while any(key.startswith("contract/") for key in await hub.read("hub")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        orders = [record for record in (await hub.read("hub")).values() if isinstance(record, BuyRecord)]
        assert {order.state for order in orders} <= {"matched", "cancelled"}
