"""A job that no worker takes: its id is printed with a word, and watching it says what it waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodes.cli import running
from nodes.cli.main import main
from nodes.renter.files.folder import JobFolder
from schemas.ids import derive_id

JOB = derive_id("job", 1)


@pytest.fixture
def renter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The option of a renter none of whose workers runs, at a broker that takes jobs."""
    assert main(["network", "init", str(folder / "network")]) == 0
    node = folder / "network" / "nodes" / "A11.A12"

    async def submit(config: Any, *_: Any) -> str:
        config.data_dir.mkdir(exist_ok=True)
        JobFolder(config.jobs / JOB).make()
        return JOB

    monkeypatch.setattr("nodes.desk.submit", submit)
    monkeypatch.setattr(running, "TAKEN_SECONDS_MAX", 0.05)
    return ["--config", str(node / "node.toml")]


def test_a_job_that_no_worker_takes_is_said_to_wait(renter: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["job", "submit", "good.csv", "--program", "linear.onnx", *renter, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"job": JOB, "state": "submitted", "taken": False}
    assert (
        f"{JOB} is waiting for a renter: no worker of A11.A12 has taken it yet. Is `sublet renter` running?" in said.err
    )


def test_watching_a_job_that_is_not_there_is_an_error(renter: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "watch", derive_id("job", 2), *renter]) == 2
    assert "job" in capsys.readouterr().err
