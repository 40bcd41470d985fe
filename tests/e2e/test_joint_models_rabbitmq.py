"""A model of two parties on a real RabbitMQ, with a process per role; partner and renter are killed on the way."""

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
from sklearn.linear_model import Ridge

from tests.support import together as joint
from tests.support.deployment import Deployment, deployment
from tests.support.rabbitmq import Server

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(300)]

PARTNER, RENTER = "C11.C12", "A11.A12"
ROWS, COLUMNS = 4000, 130
"""Three units of the partner's pass."""
PENALTY_PER_ROW = 0.01
INIT = ("--hubs", "A11,B11,C11", "--links", "A11-B11,A11-C11", "--partner", PARTNER)
DATASET = """
[partner.datasets.claims]
file = "insurer.csv"
id_column = "id"
missing = "mean"
outliers = "move"
"""


@pytest.fixture
def network(tmp_path: Path, rabbitmq: Server) -> Iterator[Deployment]:
    with deployment(tmp_path / "network", rabbitmq, *INIT) as running:
        running.config(PARTNER).write_text(running.config(PARTNER).read_text() + DATASET)
        joint.policy(running.config(PARTNER).parent)
        yield running


def test_a_model_comes_out_the_same_whoever_is_killed(network: Deployment, tmp_path: Path) -> None:
    case = joint.make_wide(tmp_path, ROWS, COLUMNS)
    (network.config(PARTNER).parent / "insurer.csv").write_bytes(case.partner.read_bytes())
    started = network.start_all()
    started["C11.hub"] = [network.start("hub", "C11.hub")]
    started[PARTNER] = [network.start("partner", PARTNER)]
    asked = ("--algorithm", "ridge", "--label", joint.LABEL, "--penalty", str(PENALTY_PER_ROW), "--key-bits", "2048")
    mine = ("--id-column", "id", "--accept-software-enclave", "--aligned", "--partner-bits", "16")
    job = network.job("submit", str(case.renter), *mine, "--partner", PARTNER, "--dataset", "claims", *asked)["job"]

    def kill(role: str, address: str) -> None:
        (process,) = started[address]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        started[address] = [network.start(role, address)]

    for role, address, pattern in (
        ("partner", PARTNER, "units/*.bin"),
        ("renter", RENTER, "rounds/0001-solved-*.f64"),
    ):
        network.until_file(address, job, pattern)
        kill(role, address)
    report = network.ended(job)
    assert report["state"] == "completed", report
    part = at_partner(network, "show", job)
    assert part["ledger"] == report["joint"]["ledger"]
    found = np.array([*weights(network, job, tmp_path)[:3], *part["weights"].values()])
    pooled = np.hstack([case.mine[:, :3], case.theirs])
    spread = pooled.std(axis=0)
    model = Ridge(alpha=PENALTY_PER_ROW * ROWS).fit((pooled - pooled.mean(axis=0)) / spread, case.mine[:, 3])
    assert np.abs(found * spread - model.coef_).max() < 1e-3 * np.abs(model.coef_).max()
    score = model.score((pooled - pooled.mean(axis=0)) / spread, case.mine[:, 3])
    assert report["joint"]["fit"]["r2"] == pytest.approx(score, abs=1e-4)


def at_partner(network: Deployment, command: str, *arguments: str) -> Any:
    done = network.sublet("joint", command, *arguments, "--config", str(network.config(PARTNER)), "--json")
    return json.loads(done.stdout)


def weights(network: Deployment, job: str, folder: Path) -> list[float]:
    """Of the renter's columns in their order, and the intercept; its program is there too."""
    here, out, program = ("--config", str(network.config(RENTER))), folder / "out.csv", folder / "part.onnx"
    network.sublet("job", "result", job, *here, "--out", str(out))
    network.sublet("job", "model", job, *here, "--out", str(program))
    assert program.stat().st_size
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "weight"]
    assert [row[0] for row in rows] == ["x0", "x1", "x2", "intercept"]
    return [float(row[1]) for row in rows]
