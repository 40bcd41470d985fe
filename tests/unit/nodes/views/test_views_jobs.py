"""What is said of jobs, also of those whose records are damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from nodes.renter.protocol.machine import RenterMachine
from nodes.store.sqlite import SqliteStore
from nodes.views.jobs import list_jobs


async def test_a_job_that_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    await (await SqliteStore.open(path, RenterMachine.record_types)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO aggregates (aggregate, version, journalled, last_hash) VALUES ('job-1', 1, 0, '')"
        )
        connection.execute("INSERT INTO records (aggregate, key, value, version) VALUES ('job-1', 'job', x'c1', 1)")
    connection.close()
    store = await SqliteStore.open(path, RenterMachine.record_types)
    (listed,) = await list_jobs(store, tmp_path / "jobs")
    await store.close()
    assert (listed.id, listed.phase, listed.code, listed.ended) == ("job-1", "unreadable", "record-unreadable", True)
    assert "the record job of job-1 cannot be read" in listed.reason
