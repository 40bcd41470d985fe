"""A renter of a running network, from its folder: what needs no broker, and what is said where there is none."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import sublet
from nodes import desk
from nodes.cli.main import main
from nodes.client import logs
from nodes.client.frames import loaded

MODEL = sublet.linear({"a": 2.0})


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A renter's folder in a network whose broker does not listen."""
    monkeypatch.setattr(desk, "CONNECT_SECONDS_MAX", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert (
            main(["network", "init", str(tmp_path / "net"), "--amqp-host", "127.0.0.1", "--amqp-port", str(port)]) == 0
        )
        (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    return tmp_path / "net" / "nodes" / "A11.A12"


def test_without_a_broker_jobs_are_listed_and_quoted_but_not_submitted(node: Path, tmp_path: Path) -> None:
    with sublet.connect(node / "node.toml") as net:
        assert net.jobs() == []
        quote = net.quote(tmp_path / "rows.csv", MODEL, protection="enclave", accept=["software-enclave"])
        assert (quote.chosen, quote.rows, quote.columns) == ("enclave", 2, ("a",))
        with pytest.raises(sublet.BrokerUnreachable) as unreachable:
            net.submit(tmp_path / "rows.csv", MODEL)
        assert unreachable.value.exit_code == 3
        with pytest.raises(sublet.UnknownJob):
            net.job("job-1")
    data = node / "data"
    assert {each.name for each in data.iterdir()} <= {"node.sqlite", "jobs", "blobs", "calibration.json"}
    assert list((data / "jobs").iterdir()) == []


def test_what_policy_forbids_is_said_in_the_words_of_python(node: Path, tmp_path: Path) -> None:
    with sublet.connect(str(node / "node.toml")) as net:
        quote = net.quote(tmp_path / "rows.csv", MODEL, protection="enclave")
        assert (quote.chosen, "no kind of enclave is accepted" in quote.reason) == (None, True)
        with pytest.raises(sublet.PolicyRefused, match=r"accept that by accept=\[\"software-enclave\"\]") as refused:
            net.submit(tmp_path / "rows.csv", MODEL, protection="enclave")
        assert refused.value.exit_code == 4


@pytest.mark.parametrize(
    ("file", "says"), [("absent.toml", "absent.toml"), ("../A11.hub/node.toml", "describes a hub, not a renter")]
)
def test_a_file_that_describes_no_renter_is_refused(node: Path, file: str, says: str) -> None:
    with pytest.raises(sublet.BadConfig, match=says):
        sublet.connect(node / file)


@pytest.mark.parametrize(
    ("use", "field"),
    [
        (lambda _: sublet.connect(None), "config"),  # type: ignore[arg-type]
        (lambda _: sublet.local(lessors=0), "lessors"),
        (lambda _: sublet.local(lessors=65), "lessors"),
        (lambda _: sublet.local(lessors=True), "lessors"),
        (lambda _: sublet.local(lessors="2"), "lessors"),  # type: ignore[arg-type]
        (lambda net: net.job(3), "job_id"),
    ],
    ids=["config", "no-lessors", "many-lessors", "bool-lessors", "lessors", "job"],
)
def test_arguments_of_another_type_are_refused_with_what_to_give(
    node: Path, use: Callable[[sublet.Network], object], field: str
) -> None:
    with (
        sublet.connect(node / "node.toml") as net,
        pytest.raises(sublet.BadConfig, match=f"^{field} is .*, not ") as refused,
    ):
        use(net)
    assert refused.value.field == field


@pytest.mark.parametrize("timeout", ["5", [5], math.nan, -1, True], ids=["text", "list", "nan", "negative", "bool"])
async def test_a_wait_is_a_number_of_seconds(node: Path, timeout: Any) -> None:
    async with sublet.aconnect(node / "node.toml") as net:
        job: sublet.AsyncJob[Any] = sublet.AsyncJob(net._place, "job-1", loaded())
        with pytest.raises(sublet.BadConfig, match="timeout is a number of seconds from 0, not"):
            await job.result(timeout)


async def test_a_network_may_be_awaited_or_entered(node: Path) -> None:
    net = await sublet.aconnect(node / "node.toml")
    assert await net.jobs() == []
    await net.close()
    await net.close()
    async with sublet.aconnect(node / "node.toml") as again:
        assert await again.jobs() == []


def test_logs_are_of_what_is_wrong_and_hold_no_plaintext(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    logs.quiet()
    local = "hid" + "den"
    try:
        raise ValueError("told")
    except ValueError:
        structlog.get_logger().info("unseen")
        structlog.get_logger().exception("failed")
    said = capsys.readouterr()
    found = {word for word in ("failed", "told", "unseen", local) if word in said.out + said.err}
    assert (found, said.out) == ({"failed", "told"}, "")


def test_whoever_configured_logs_keeps_them() -> None:
    structlog.configure(processors=[])
    logs.quiet()
    assert structlog.get_config()["processors"] == []
