"""A renter's services without a crew of processes, on a store in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.enclave.attestation.policy import Policy
from nodes.identity import Identity
from nodes.renter.activities.services import Services
from nodes.renter.protocol.machine import RenterMachine
from nodes.store.blobs import BlobStore
from nodes.store.sqlite import SqliteStore
from schemas.ids import address
from tests.support.desk import Desk

ME = address("A11", "A12")


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    store = await SqliteStore.open(None, RenterMachine.record_types)
    yield Services(
        identity=Identity.from_seed(ME, b"\x07" * 32),
        store=store,
        blobs=BlobStore(tmp_path / "blobs"),
        jobs=tmp_path / "jobs",
        clock=time.time,
        core_clock=time.thread_time,
        crew=Desk(),
        calibration=tmp_path / "calibration.json",
        policy=lambda accept: Policy(accept_software=accept),
    )
    await store.close()
