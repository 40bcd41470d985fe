"""`sublet job quote`: what a job would take and cost, before anything is ordered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodes.cli.main import main


def test_a_job_is_priced_and_nothing_is_left_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "init", "network"]) == 0
    renter = Path("network/nodes/A11.A12")
    asked = ["good.csv", "--linear", "weights.csv", "--id-column", "id", "--config", str(renter / "node.toml")]
    capsys.readouterr()
    assert main(["job", "quote", *asked, "--price-max", "2.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    offer = found["offers"][0]
    assert (offer["protection"], offer["possible"], offer["price"]) == ("homomorphic", True, None)
    assert offer["price_most"] == pytest.approx(2.5 * offer["lessor_seconds"] / 3600)
    assert not list((renter / "data").glob("jobs/*"))
