"""A job on a real RabbitMQ whose hub and renter keep their stores on PostgreSQL, with two processes each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.test_rabbitmq import ROWS, TOLERANCE, check_result, files, submit
from tests.support import rabbitmq as broker
from tests.support.deployment import Deployment, deployment
from tests.support.postgres import Server

__all__ = ["files"]

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def network(tmp_path: Path, rabbitmq: broker.Server) -> Iterator[Deployment]:
    with deployment(tmp_path / "network", rabbitmq) as running:
        yield running


@pytest.mark.timeout(240)
async def test_a_job_completes_though_one_of_two_hubs_and_renters_on_one_store_is_killed(
    network: Deployment, files: tuple[Path, Path, np.ndarray], postgres: Server, tmp_path: Path
) -> None:
    async with postgres.schema() as hubs, postgres.schema() as renters:
        (network.config("A11.A12").parent / "store-url").write_text(renters)
        config = network.config("A11.A12")
        config.write_text(f'store_file = "store-url"\n{config.read_text()}')
        pairs = [network.start("hub", "A11.hub", SUBLET_STORE=hubs) for _ in range(2)]
        network.start("hub", "B11.hub")
        for lessor in ("B11.B12", "B11.B13"):
            network.start("lessor", lessor)
        workers = [network.start("renter", "A11.A12") for _ in range(2)]
        job = submit(network, files, "enclave", "--batch-rows", "25", "--local-share", "0")
        network.until_parts(job, 3)
        for killed in (pairs[0], workers[0]):
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
        report = network.ended(job)
        assert report["state"] == "completed", report
        assert report["rows_done"] == ROWS
        check_result(network, job, files[2], TOLERANCE["enclave"], tmp_path)
        network.stop()
    assert not list(network.folder.glob("nodes/A11.*/data/node.sqlite*")), "the stores are in the database"
