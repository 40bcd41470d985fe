"""Joint jobs on a real RabbitMQ: three subnets, a process per role, some of which are killed on the way (N3, J1-J6).

Lessors' results reach the partner over B11 → A11 → C11: hubs B11 and C11 are not linked.
"""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from broker.network import route_of
from nodes.network import described, read_network
from tests.support import together as joint
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server
from tests.support.together import Case

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(180)]

PARTNER = "C11.C12"
START = (0.5, -0.25, 1.0)
IDS = 17_000
"""Of each side: two chunks."""
INIT = ("--hubs", "A11,B11,C11", "--links", "A11-B11,A11-C11", "--partner", PARTNER)
DATASET = """
[partner.datasets.claims]
file = "insurer.csv"
id_column = "id"
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_case(tmp_path_factory.mktemp("case"))


@pytest.fixture
def network(tmp_path: Path, rabbitmq: Server) -> Iterator[Deployment]:
    with deployment(tmp_path / "network", rabbitmq, *INIT) as running:
        folder = running.config(PARTNER).parent
        running.config(PARTNER).write_text(running.config(PARTNER).read_text() + DATASET)
        joint.policy(folder)
        yield running


def start(network: Deployment, case: Case) -> dict[str, Any]:
    (network.config(PARTNER).parent / "insurer.csv").write_bytes(case.partner.read_bytes())
    started = network.start_all()
    started["C11.hub"] = [network.start("hub", "C11.hub")]
    started[PARTNER] = [network.start("partner", PARTNER)]
    return started


def submit(network: Deployment, case: Case, folder: Path, *options: str) -> str:
    programs = {"l": joint.lessors_program(), "p": joint.partner_program(), "u": joint.update_program()}
    for name, raw in programs.items():
        (folder / f"{name}.onnx").write_bytes(raw)
    with_partner = ("--partner", PARTNER, "--dataset", joint.DATASET, "--partner-program", str(folder / "p.onnx"))
    rounds = ("--rounds", "3", "--update", str(folder / "u.onnx"), "--parameters", ",".join(map(str, START)))
    mine = ("--program", str(folder / "l.onnx"), "--id-column", "id", "--accept-software-enclave")
    job: str = network.job("submit", str(case.renter), *mine, *with_partner, *rounds, *options)["job"]
    return job


def at_partner(network: Deployment, command: str, *arguments: str) -> Any:
    done = network.sublet("joint", command, *arguments, "--config", str(network.config(PARTNER)), "--json")
    return json.loads(done.stdout)


def outputs(network: Deployment, job: str, folder: Path) -> np.ndarray:
    out = folder / "out.csv"
    network.sublet("job", "result", job, "--config", str(network.config("A11.A12")), "--out", str(out))
    with out.open(newline="") as file:
        _, *rows = csv.reader(file)
    return np.array([[float(value) for value in row[1:]] for row in rows])


def require_right(found: np.ndarray, case: Case) -> None:
    expected = case.expected(3, START)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_three_rounds_over_three_subnets_are_equal_to_plaintext(
    network: Deployment, case: Case, tmp_path: Path
) -> None:
    """The partner's policy leaves the request open, and a person there approves it."""
    there = described(read_network(network.config("A11.A12").parent / "network.toml"))
    assert route_of(there, "B11", "C11") == ("B11", "A11", "C11")
    joint.policy(network.config(PARTNER).parent, top='uncovered = "ask"', programs=f'["{"0" * 64}"]')
    start(network, case)
    job = submit(network, case, tmp_path, "--aligned")
    network.until(job, lambda _: any(each["phase"] == "waiting" for each in at_partner(network, "list")))
    at_partner(network, "approve", job)
    report = network.ended(job)
    assert report["state"] == "completed", report
    require_right(outputs(network, job, tmp_path), case)
    assert report["route"][-1].endswith(" → B11 → A11 → C11 → C11.C12")
    part = at_partner(network, "show", job)
    assert (part["renter"], part["answered"]) == ("A11.A12", 3)
    assert part["ledger"] == report["joint"]["ledger"]
    totals = [(each["party"], each["count"], each["round"]) for each in part["ledger"] if each["kind"] == "totals"]
    assert totals == [("renter", 2, number) for number in (1, 2, 3)]
    types = {line["type"] for line in at_partner(network, "explain", job)}
    assert {"joint.requested", "contract.shown", "round.opened", "partial.taken", "round.made"} <= types
    types = {line["type"] for line in network.job("explain", job)}
    assert {"introduction.made", "batch.forwarded", "batch.taken", "output.accepted"} <= types


@pytest.mark.timeout(300)
def test_partner_and_renter_that_are_killed_go_on_where_they_were(network: Deployment, tmp_path: Path) -> None:
    """Each once while rows in common are found, and once in a round."""
    case = joint.make_overlapping(tmp_path, IDS, joint.ROWS)
    started = start(network, case)
    job = submit(network, case, tmp_path, "--batch-rows", "3")

    def kill(role: str, address: str) -> None:
        (process,) = started[address]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        started[address] = [network.start(role, address)]

    for role, address, pattern in (
        ("partner", PARTNER, "alignment/masked/*.bin"),
        ("renter", "A11.A12", "alignment/taken/*.bin"),
        ("partner", PARTNER, "partials/0002-*.bin"),
        ("renter", "A11.A12", "rounds/0003-parameters-*.f64"),
    ):
        network.until_file(address, job, pattern)
        kill(role, address)
    assert network.job("show", job)["state"] == "running", "the job ended before the renter was killed"
    report = network.ended(job)
    assert report["state"] == "completed", report
    require_right(outputs(network, job, tmp_path), case)
    for ledger in (report["joint"]["ledger"], at_partner(network, "show", job)["ledger"]):
        common = {each["party"]: each["count"] for each in ledger if each["kind"] == "rows-in-common"}
        assert common == {"renter": joint.ROWS, "partner": joint.ROWS}
