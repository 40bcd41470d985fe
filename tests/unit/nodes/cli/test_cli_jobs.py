"""`sublet job`, `order`, `events`: what a node's folder says about an ended job; and a broker that is down."""

from __future__ import annotations

import asyncio
import csv
import json
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow import feather

from nodes.cli.main import main
from nodes.config import NodeConfig, read_config
from nodes.identity import verify
from nodes.local import LocalNetwork
from nodes.programs.build import linear
from nodes.renter.submission import JobOptions
from nodes.runtime.journal import read_export


@dataclass(frozen=True)
class Site:
    """A network's folders after one job."""

    nodes: Path
    data: Path
    job: str

    def config(self, node: str) -> list[str]:
        """The option that names a node."""
        return ["--config", str(self.nodes / node / "node.toml")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One job of 40 rows was run; its network is gone, its folders are there."""
    root = tmp_path_factory.mktemp("site")
    (root / "good.csv").write_text("id,a\n" + "".join(f"p{row},{row}\n" for row in range(40)))

    async def run() -> str:
        async with LocalNetwork(root / "data", lessors=1) as network:
            options = JobOptions(protection="homomorphic", id_column="id", lessors=1)
            spec = network.stage(root / "good.csv", linear({"a": [3.0]}, [1.0]), None, options)
            await network.submit(spec)
            async for report in network.watch(spec.id):
                assert report.phase != "failed"
            return spec.id

    job = asyncio.run(run())
    assert main(["network", "init", str(root / "network")]) == 0
    return Site(root / "network" / "nodes", root / "data", job)


@pytest.fixture
def renter(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The option for the renter whose job it was."""
    monkeypatch.setenv("SUBLET_DATA_DIR", str(site.data / "A11.A12"))
    return site.config("A11.A12")


def test_jobs_are_listed(site: Site, renter: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "list", *renter, "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert (job["job"], job["state"], job["rows"], job["rows_done"]) == (site.job, "completed", 40, 40)
    assert main(["job", "list", *renter]) == 0
    assert site.job in capsys.readouterr().out


def test_the_configuration_may_come_from_a_variable(
    site: Site, renter: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBLET_CONFIG", renter[1])
    assert main(["job", "list"]) == 0
    assert site.job in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "watch"])
def test_a_job_is_shown_with_its_numbers(
    site: Site, renter: list[str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(["job", command, site.job, *renter]) == 0
    brief = capsys.readouterr().out
    assert "assessment" not in brief
    assert "rents from  A11.A12 → A11 → B11 → B11.B12: " in brief
    assert main(["job", command, site.job, *renter, "--verbose"]) == 0
    said = capsys.readouterr().out
    for part in (
        "assessment  homomorphic",
        "core-seconds: encrypt",
        "spent       core-seconds",
        "A11.A12 → A11 → B11 → B11.B12",
        "completed, 40 rows in ",
        "lessors' core-seconds at 10 per unit and hour",
    ):
        assert part in said
    assert main(["job", command, site.job, *renter, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["contracts"][0]["lessor"] == "B11.B12"


def test_a_result_is_printed_or_copied(
    site: Site, renter: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["job", "result", site.job, *renter]) == 0
    printed = capsys.readouterr().out
    header, *rows = csv.reader(printed.splitlines())
    assert header == ["id", "result"]
    assert [(name, round(float(value), 3)) for name, value in rows] == [(f"p{row}", 3.0 * row + 1) for row in range(40)]
    assert main(["job", "result", site.job, *renter, "--out", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text() == printed
    assert main(["job", "result", site.job, *renter, "--out", str(tmp_path / "out.arrow")]) == 0
    assert feather.read_table(tmp_path / "out.arrow").num_rows == len(printed.splitlines()) - 1
    assert main(["job", "result", site.job, *renter, "--out", str(tmp_path / "no" / "out.csv")]) == 2
    assert main(["job", "result", site.job, *renter, "--out", str(tmp_path / "out.xlsx")]) == 2


def test_a_job_is_explained_event_by_event(site: Site, renter: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "explain", site.job, *renter]) == 0
    brief = capsys.readouterr().out
    assert "assessment: asked for by the job\n" in brief
    assert "job-completed: 40 rows\n" in brief
    assert main(["job", "explain", site.job, *renter, "--verbose"]) == 0
    said = capsys.readouterr().out
    for part in (
        "job.submitted",
        "contract.signed",
        "assessment: asked for by the job (",
        "encrypt_seconds_max=60 s",
        "possible=yes, protection=homomorphic",
        "encrypt_seconds: actual=",
    ):
        assert part in said
    assert main(["job", "explain", site.job, *renter, "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert lines[0]["type"] == "job.submitted"
    assert "order.buy.placed → A11.hub" in [sent for line in lines for sent in line["sent"]]


def test_orders_are_listed_at_renter_and_hub(
    site: Site, renter: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["order", "list", *renter, "--json"]) == 0
    of_renter = json.loads(capsys.readouterr().out)
    assert {(row["kind"], row["by"]) for row in of_renter} == {("buy", "A11.A12"), ("sell", "B11.B12")}
    monkeypatch.setenv("SUBLET_DATA_DIR", str(site.data / "B11.hub"))
    assert main(["order", "list", *site.config("B11.hub"), "--json"]) == 0
    (sell,) = json.loads(capsys.readouterr().out)
    assert (sell["kind"], sell["by"], sell["units"]) == ("sell", "B11.B12", 1)
    monkeypatch.delenv("SUBLET_DATA_DIR")
    assert main(["order", "list", *site.config("B11.B12")]) == 2


def test_the_journal_is_exported_signed(
    site: Site, renter: list[str], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["events", "export", site.job, *renter]) == 0
    lines = capfdbinary.readouterr().out.splitlines()
    export = read_export(lines, verify)
    config = read_config(Path(renter[1]), {})
    assert (export.header.me, export.header.aggregate, export.header.machine) == ("A11.A12", site.job, "renter")
    assert export.header.public_key == config.identity().public
    assert json.loads(export.entries[0])["event"]["type"] == "job.submitted"
    assert main(["events", "export", site.job, *renter, "--out", str(tmp_path / "journal")]) == 0
    assert (tmp_path / "journal").read_bytes().splitlines() == lines


@pytest.mark.parametrize(
    "command",
    [["job", each] for each in ("show", "watch", "result", "explain", "cancel", "delete")] + [["events", "export"]],
)
def test_an_unknown_job_is_bad_input(renter: list[str], capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main([*command, "job-000000000000000000000000", *renter]) == 2
    assert "there is no job job-000000000000000000000000" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["cancel", "delete"])
def test_a_job_that_no_worker_has_taken_yet_can_be_cancelled_and_deleted(
    folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked = []

    async def ask(config: NodeConfig, job: str) -> None:
        asked.append(job)

    monkeypatch.setattr(f"nodes.desk.{command}", ask)
    monkeypatch.setenv("SUBLET_DATA_DIR", str(folder / "data"))
    (folder / "data" / "jobs" / "job-000000000000000000000000").mkdir(parents=True)
    assert main(["job", command, "job-000000000000000000000000", *site.config("A11.A12")]) == 0
    assert asked == ["job-000000000000000000000000"]


def test_a_renter_that_never_ran_has_no_jobs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "list", *site.config("A11.A12"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert not (site.nodes / "A11.A12" / "data").exists()


def test_only_a_renter_has_jobs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "list", *site.config("A11.hub")]) == 2
    assert "describes a hub, not a renter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        (["--protection", "enclave"], {}, "--accept-software-enclave"),
        (["--protection", "sealed-result"], {}, "--accept-software-enclave"),
        (["--accept-software-enclave"], {"SUBLET_RENTER_ALLOW_SOFTWARE_ENCLAVES": "false"}, "never accepts"),
    ],
)
def test_what_the_renters_policy_forbids_ends_with_4(
    folder: Path,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    environment: dict[str, str],
    message: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arguments = ["good.csv", "--linear", "weights.csv", *options, *site.config("A11.A12")]
    assert main(["job", "submit", *arguments]) == 4
    assert message in capsys.readouterr().err


def test_without_a_broker_nothing_is_submitted(
    folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("SUBLET_AMQP_URL", f"amqp://A11.A12:geheim@{where}/sublet")
        monkeypatch.setenv("SUBLET_DATA_DIR", str(folder / "data"))
        monkeypatch.setattr("nodes.desk.CONNECT_SECONDS_MAX", 0.2)
        options = ["good.csv", "--linear", "weights.csv", *site.config("A11.A12")]
        assert main(["job", "submit", *options]) == 3
    said = capsys.readouterr()
    assert where in said.err
    assert "geheim" not in said.out + said.err
    assert list((folder / "data" / "jobs").iterdir()) == []
