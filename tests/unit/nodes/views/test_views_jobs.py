"""What is said of jobs: damaged ones too, and those that no worker has taken yet."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.network import Hub, Link, Network
from nodes.renter.protocol.records import RECORD_TYPES
from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore
from nodes.views import jobs, journal
from nodes.views.errors import UnknownJob
from nodes.views.reporting import way_to_partner
from schemas.ids import address


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A renter's store without jobs."""
    store = await SqliteStore.open(None, RECORD_TYPES)
    yield store
    await store.close()


async def test_a_job_that_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    await (await SqliteStore.open(path, RECORD_TYPES)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO aggregates (aggregate, version, journalled, last_hash) VALUES ('job-1', 1, 0, '')"
        )
        connection.execute("INSERT INTO records (aggregate, key, value, version) VALUES ('job-1', 'job', x'c1', 1)")
    connection.close()
    store = await SqliteStore.open(path, RECORD_TYPES)
    (listed,) = await jobs.list_jobs(store, tmp_path / "jobs")
    await store.close()
    assert (listed.id, listed.phase, listed.code, listed.ended) == ("job-1", "unreadable", "record-unreadable", True)
    assert "the record job of job-1 cannot be read" in listed.reason


async def test_a_submitted_job_is_waited_for_until_a_worker_takes_it_or_its_folder_is_gone(
    store: Store, tmp_path: Path
) -> None:
    folder, looks = tmp_path / "job-1", 0
    folder.mkdir()

    async def pause() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            folder.rmdir()

    with pytest.raises(UnknownJob, match="there is no job job-1 here"):
        _ = [each async for each in jobs.watch(store, "job-1", tmp_path, pause)]
    assert looks == 3


async def test_a_job_that_nobody_submitted_is_unknown_to_every_view(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownJob):
        await jobs.report(store, "job-1", tmp_path)
    for name in ("", ".", ".."):  # folders that are no job's
        with pytest.raises(UnknownJob):
            await jobs.report_when_taken(store, name, tmp_path)
    with pytest.raises(UnknownJob):
        _ = [each async for each in jobs.watch(store, "job-1", tmp_path)]
    with pytest.raises(UnknownJob):
        await journal.explain(store, "job-1")


@pytest.mark.parametrize(
    ("links", "way"),
    [
        ((("A11", "B11"), ("A11", "C11")), "B11.B12 → B11 → A11 → C11 → C11.C12"),
        ((("A11", "B11"), ("B11", "C11"), ("A11", "C11")), "B11.B12 → B11 → C11 → C11.C12"),
        (None, "B11.B12 → B11 → … → C11 → C11.C12"),
        ((), "B11.B12 → B11 → … → C11 → C11.C12"),
    ],
    ids=["by the renter's hub", "linked", "of a network that is not known", "of a network without these hubs"],
)
def test_the_way_from_a_lessor_to_a_partner_names_the_hubs_between(
    links: tuple[tuple[str, str], ...] | None, way: str
) -> None:
    hubs = tuple(Hub(name=name) for name in ("A11", "B11", "C11") if links)
    network = None if links is None else Network(hubs=hubs, links=tuple(Link(hubs=each) for each in links))
    assert way_to_partner(address("B11", "B12"), address("C11", "C12"), network) == way
