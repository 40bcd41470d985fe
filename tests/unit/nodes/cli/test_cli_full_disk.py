"""What a person reads of a full disk: where, how much is free, what to do."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, NoReturn

import pytest

from nodes.cli.main import main


def full(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_job_for_which_there_is_no_room_is_not_submitted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["network", "init", str(folder / "network")]) == 0
    renter = folder / "network" / "nodes" / "A11.A12"
    monkeypatch.setattr("nodes.renter.submission.make_table", full)
    asked = ["good.csv", "--program", "linear.onnx", "--protection", "homomorphic"]
    assert main(["job", "submit", *asked, "--config", f"{renter}/node.toml"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"sublet: cannot write to {renter}/data: No space left on device, ")
    assert said.endswith("bytes are free there; make room and try again")
    assert list((renter / "data" / "jobs").iterdir()) == []


def test_a_job_of_ones_own_for_which_there_is_no_room_is_not_unexpected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nodes.renter.submission.make_table", full)
    assert main(["run", "good.csv", "--program", "linear.onnx", "--protection", "homomorphic"]) == 1
    assert "sublet: cannot write to " in capsys.readouterr().err
