"""`sublet hub|renter|lessor`: the right role, a clean end on a signal, and logs that hold no secret."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import structlog

from nodes.cli.logs import configure_logs
from nodes.cli.main import main
from nodes.config import NodeConfig
from schemas.errors import BrokerUnreachable

NODES = {"hub": "A11.hub", "renter": "A11.A12", "lessor": "B11.B12"}


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """A new network's node folders."""
    main(["network", "init", str(tmp_path)])
    return tmp_path / "nodes"


@pytest.mark.parametrize("role", NODES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_role_cleanly(
    nodes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], role: str, number: signal.Signals
) -> None:
    ran: list[NodeConfig] = []

    async def run_node(config: NodeConfig, stop: asyncio.Event) -> None:
        ran.append(config)
        os.kill(os.getpid(), number)
        await stop.wait()

    monkeypatch.setattr("nodes.bootstrap.running.run_node", run_node)
    capsys.readouterr()
    assert main([role, "--config", str(nodes / NODES[role] / "node.toml")]) == 0
    assert [(config.role, config.address) for config in ran] == [(role, NODES[role])]
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.err.splitlines()]
    assert [event["event"] for event in events] == ["starting", "ended"]
    assert events[0]["broker"] == "127.0.0.1:5672"
    assert ran[0].amqp_url.split("@")[0].split(":")[-1] not in said.err
    assert not [
        each for each in threading.enumerate() if isinstance(each, threading.Timer) and not each.finished.is_set()
    ]
    assert said.out == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_hangup_ends_a_role_only_with_its_terminal(
    nodes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    ended: list[bool] = []

    async def run_node(config: NodeConfig, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait([asyncio.create_task(each.wait()) for each in (stop, seen)], return_when="FIRST_COMPLETED")
        ended.append(stop.is_set())

    async def serving(config: NodeConfig, stop: asyncio.Event) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, seen.set)
        await run_node(config, stop)

    seen = asyncio.Event()
    monkeypatch.setattr("nodes.bootstrap.running.run_node", serving)
    monkeypatch.setattr("nodes.cli.serve._on_terminal", lambda: terminal)
    assert main(["hub", "--config", str(nodes / "A11.hub" / "node.toml")]) == 0
    assert ended == [terminal]
    assert ("nothing to reload" in capsys.readouterr().err) is not terminal


def test_a_role_without_its_broker_ends_with_3(
    nodes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run_node(config: NodeConfig, stop: asyncio.Event) -> None:
        raise BrokerUnreachable("no broker answers at 127.0.0.1:5672")

    monkeypatch.setattr("nodes.bootstrap.running.run_node", run_node)
    assert main(["hub", "--config", str(nodes / "A11.hub" / "node.toml")]) == 3
    assert "sublet: no broker answers at 127.0.0.1:5672" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hub", "--config", "{}/B11.B12/node.toml"], "describes a lessor, not a hub"),
        (["lessor", "--config", "{}/missing.toml"], "cannot read"),
        (["lessor", "--config", "{}/B11.B12/node.toml", "--log-level", "loud"], "there is no log level 'loud'"),
    ],
)
def test_a_role_that_cannot_run_ends_with_2(
    nodes: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([each.format(nodes) for each in arguments]) == 2
    assert message in capsys.readouterr().err


def test_logs_are_json_lines_of_the_wanted_level_whoever_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info")
    log = structlog.get_logger("ours")
    log.debug("left out")
    log.info("ours", number=3)
    logging.getLogger("library").warning("theirs %d", 4)
    logging.getLogger("aiormq.connection").error("an attempt among many")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("ours", "info"), ("theirs 4", "warning")]
    assert lines[0]["number"] == 3


def test_a_role_that_cannot_end_is_ended_anyway(nodes: Path) -> None:
    """A thread that computes on would keep its process, and its service manager, waiting."""
    script = (
        "import asyncio, os, signal, sys, threading\n"
        "import nodes.bootstrap.running\n"
        "from nodes.cli import serve\n"
        "from nodes.cli.main import main\n"
        "serve.END_SECONDS_MAX = 0.2\n"
        "async def stuck(config, stop):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    await asyncio.to_thread(threading.Event().wait)\n"
        "nodes.bootstrap.running.run_node = stuck\n"
        "sys.exit(main(['hub', '--config', sys.argv[1]]))\n"
    )
    command = [sys.executable, "-c", script, str(nodes / "A11.hub" / "node.toml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, "left to the next process" in ended.stderr) == (0, True), ended.stderr


def test_logs_on_a_terminal_are_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    configure_logs("info")
    structlog.get_logger("ours").warning("subtask-lost", source="B11.B12", reason="it was silent")
    said = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().err)
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[warning +\] subtask-lost +reason='it was silent' source=B11.B12\n", said)


def test_a_line_begins_with_what_is_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info")
    structlog.get_logger("ours").info("job completed", id="job-1", role="renter", node="A11.A12")
    names = list(json.loads(capsys.readouterr().err))
    assert names == ["timestamp", "level", "event", "node", "role", "id"]
