"""Jobs over hubs that each have a broker of their own, joined by bridges, on RabbitMQ with a process per role (N2, N3).

What a renter of A11 sends a lessor of B11 passes one bridge. What that lessor sends a partner at C11 passes two:
`test_operations.py`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from schemas.ids import Address, hub_of
from tests.e2e.test_joint_rabbitmq import INIT
from tests.e2e.test_rabbitmq import ROWS, TOLERANCE, check_result, files, submit
from tests.support.deployment import Deployment, deployment
from tests.support.intruder import Intruder
from tests.support.rabbitmq import Server

__all__ = ["files"]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(240)]

HUBS = ("A11", "B11", "C11")
INTRUDER = Address("B11.B13")
SILENT, DEAF = "nothing has come from {} for 9 s", "{} says that nothing comes from here"


@pytest.fixture
def network(tmp_path: Path, rabbitmq: Server) -> Iterator[Deployment]:
    """The lessor's hub is a leaf, as it has one link."""
    made = (*INIT, "--leaf", "B11")
    with deployment(tmp_path / "network", rabbitmq, *made, own=dict.fromkeys(HUBS, rabbitmq)) as running:
        yield running


def lost_links(network: Deployment, hub: str) -> dict[str, str]:
    shown = json.loads(network.sublet("network", "show", "--config", str(network.config(hub)), "--json").stdout)
    return {each["neighbour"]: each["why"] for each in shown["lost_links"]}


async def test_a_job_passes_bridges_that_are_killed_and_a_cut_link_is_named_at_both_ends(
    network: Deployment, files: tuple[Path, Path, np.ndarray], tmp_path: Path
) -> None:
    network.start_all()
    bridges = {hub: network.start("bridge", f"{hub}.hub") for hub in HUBS}
    job = submit(network, files, "enclave", "--batch-rows", "50", "--local-share", "0")
    network.until_parts(job, 3)
    for hub in ("A11", "B11"):
        os.kill(bridges[hub].pid, signal.SIGKILL)
        bridges[hub].wait()
        bridges[hub] = network.start("bridge", f"{hub}.hub")
    report = network.ended(job)
    assert report["state"] == "completed", report
    assert report["rows_done"] == ROWS
    check_result(network, job, files[2], TOLERANCE["enclave"], tmp_path)

    ends = {"A11.hub": ("B11.hub", SILENT), "B11.hub": ("A11.hub", DEAF)}
    for hub, (neighbour, _) in ends.items():
        network.until_link(hub, neighbour, lost=False)
    os.kill(bridges["B11"].pid, signal.SIGKILL)
    bridges["B11"].wait()
    for hub, (neighbour, why) in ends.items():
        said = network.until_link(hub, neighbour, lost=True)
        assert said["reason"] == why.format(neighbour)
        assert lost_links(network, hub)[hub_of(Address(neighbour))] == said["reason"]
    network.start("bridge", "B11.hub")
    for hub, (neighbour, _) in ends.items():
        network.until_link(hub, neighbour, lost=False)
        assert hub_of(Address(neighbour)) not in lost_links(network, hub)


async def test_a_participant_that_does_all_it_can_stops_no_bridge_and_no_job(
    network: Deployment, files: tuple[Path, Path, np.ndarray], tmp_path: Path
) -> None:
    """`make soak` does it with 10,000 messages to nobody, on three servers."""
    for hub in HUBS:
        network.start("hub", f"{hub}.hub")
        network.start("bridge", f"{hub}.hub")
    network.start("renter", "A11.A12")
    network.start("lessor", "B11.B12")
    job = submit(network, files, "enclave", "--batch-rows", "50", "--local-share", "0")
    network.until_parts(job, 3)
    intruder = Intruder.of(network, INTRUDER)
    await intruder.attack(unroutable=300, large=1)
    report = network.ended(job)
    assert report["state"] == "completed", report
    check_result(network, job, files[2], TOLERANCE["enclave"], tmp_path)
    assert not {"forged source", "forged hub", "another's user-id"} & intruder.taken.keys()
    assert {kind: intruder.taken[kind] for kind in ("large", "user-id")} == {"large": 3, "user-id": 3}
    assert intruder.blamed_on_others(network) == []
    assert {process.poll() for process in network.processes} == {None}
