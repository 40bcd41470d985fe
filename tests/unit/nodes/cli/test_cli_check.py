"""`sublet check` on the command line: a line for each thing, and the exit code of the first fault."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from nodes import checkup
from nodes.cli.main import main


def test_the_command_prints_a_line_each_and_ends_with_the_first_faults_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["network", "init", str(tmp_path)]) == 0
    node = str(tmp_path / "nodes" / "A11.A12" / "node.toml")
    monkeypatch.setattr(checkup, "CONNECT_SECONDS_MAX", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SUBLET_AMQP_URL", f"amqp://A11.A12:secret@127.0.0.1:{closed.getsockname()[1]}/x")
        capsys.readouterr()
        assert main(["check", "--config", node]) == 3
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:2] for line in lines] == [["ok", "disk"], ["BAD", "broker"]]
        assert "secret" not in "".join(lines)
        assert main(["check", "--config", node, "--json"]) == 3
        assert [each["what"] for each in json.loads(capsys.readouterr().out)] == ["disk", "broker"]
