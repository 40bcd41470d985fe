"""Jobs over hubs that each have a broker of their own, joined by bridges, on RabbitMQ with a process per role (N2, N3).

What a renter of A11 sends a lessor of B11 passes one bridge. What that lessor sends the partner at C11 passes two.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import test_joint_rabbitmq as together
from tests.e2e.test_joint_rabbitmq import INIT, PARTNER, case
from tests.e2e.test_rabbitmq import ROWS, TOLERANCE, check_result, files, submit
from tests.support import together as joint
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server
from tests.support.together import Case

__all__ = ["case", "files"]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(240)]

HUBS = ("A11", "B11", "C11")


@pytest.fixture
def network(tmp_path: Path, rabbitmq: Server) -> Iterator[Deployment]:
    with deployment(tmp_path / "network", rabbitmq, *INIT, own=HUBS) as running:
        path = running.config(PARTNER)
        path.write_text(path.read_text() + together.DATASET)
        joint.policy(path.parent)
        yield running


async def test_a_job_passes_bridges_that_are_killed(
    network: Deployment, files: tuple[Path, Path, np.ndarray], tmp_path: Path
) -> None:
    network.start_all()
    bridges = {hub: network.start("bridge", f"{hub}.hub") for hub in HUBS}
    job = submit(network, files, "enclave", "--batch-rows", "50", "--local-share", "0")
    network.until_parts(job, 3)
    for hub in ("A11", "B11"):
        os.kill(bridges[hub].pid, signal.SIGKILL)
        bridges[hub].wait()
        network.start("bridge", f"{hub}.hub")
    report = network.ended(job)
    assert report["state"] == "completed", report
    assert report["rows_done"] == ROWS
    check_result(network, job, files[2], TOLERANCE["enclave"], tmp_path)


async def test_lessors_and_a_partner_without_a_link_meet_over_a_third_hub(
    network: Deployment, case: Case, tmp_path: Path
) -> None:
    together.start(network, case)
    for hub in HUBS:
        network.start("bridge", f"{hub}.hub")
    job = together.submit(network, case, tmp_path, "--aligned")
    report = network.ended(job)
    assert report["state"] == "completed", report
    assert report["route"][-1].endswith(" → B11 → A11 → C11 → C11.C12")
    together.require_right(together.outputs(network, job, tmp_path), case)
