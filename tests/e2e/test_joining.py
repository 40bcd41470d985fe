"""An organisation joins a running network, works, changes key and password, and leaves; nobody restarts anything.

What the two sides send each other lies in one folder here: nothing in it opens anything. With two lessors and all
protections: `tests/soak/joining.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from schemas.ids import Address
from tests.support.deployment import Deployment, deployment
from tests.support.newcomer import Newcomer, lessors_of, opened, standing_still, submit, write_table
from tests.support.rabbitmq import Server

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(240)]

ROWS, BATCH_ROWS = 2_000, 20
OTHER = "B11.B12"


@pytest.fixture
def network(tmp_path: Path, rabbitmq: Server) -> Iterator[Deployment]:
    port = str(urlsplit(rabbitmq.api_url).port)
    with deployment(tmp_path / "network", rabbitmq, "--lessor", OTHER, "--management-port", port) as running:
        yield running


def test_an_organisation_joins_works_changes_its_key_and_leaves_while_everything_runs(
    network: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "mail").mkdir()
    table, newcomer = write_table(tmp_path, ROWS), Newcomer(network, Address("B11.B14"), tmp_path / "mail")
    started = [network.start(*node) for node in (("hub", "A11.hub"), ("hub", "B11.hub"), ("lessor", OTHER))]
    renter = network.start("renter", "A11.A12")

    def job() -> str:
        return submit(network, table, "enclave", BATCH_ROWS)

    def lessors(job: str) -> set[str]:
        return lessors_of(network, job, ROWS, 0.0)

    running = job()
    network.until_parts(running, 3)
    with standing_still(renter):
        worker = newcomer.join()
    assert lessors(running) == {OTHER}

    running, before = job(), newcomer.key()
    network.until_parts(running, 3)
    with standing_still(renter):
        newcomer.change()
    assert newcomer.key() != before
    assert lessors(running) == {newcomer.address}
    assert lessors(job()) == {newcomer.address}

    newcomer.operator("remove", newcomer.address, "--wait-seconds", "30")
    assert lessors(job()) == {OTHER}
    assert newcomer.left() == []
    assert all(process.poll() is None for process in (*started, renter, worker)), network.logs()
    worker.kill()  # it would wait for an account that it will never have again

    assert len(newcomer.secrets) == 4, "two keys and two passwords"
    assert len(list(newcomer.mail.iterdir())) == 4, "two requests and two welcomes"
    assert opened([newcomer]) == []
