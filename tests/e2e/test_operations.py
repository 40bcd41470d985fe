"""What operators see of a joint job over three brokers, while processes of every role are told to end on the way.

Everything is looked at in one run: B12's sealed results reach C12 over B11 → A11 → C11, two bridges.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from schemas.tracing import first_traceparent, trace_of
from tests.e2e import test_joint_rabbitmq as together
from tests.e2e.test_joint_rabbitmq import DATASET, INIT, PARTNER, case
from tests.support import together as joint
from tests.support.collector import Collector, collecting
from tests.support.deployment import Deployment, deployment
from tests.support.operating import Samples, give_ports, scrape, status
from tests.support.rabbitmq import Server
from tests.support.together import Case

__all__ = ["case"]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(240)]

HUBS: Final = ("A11", "B11", "C11")
ROLES: Final = {
    "A11.hub": "hub",
    "B11.hub": "hub",
    "C11.hub": "hub",
    "A11.A12": "renter",
    "B11.B12": "lessor",
    "B11.B13": "lessor",
    PARTNER: "partner",
}
TOLD_TO_END: Final = ("A11.A12", "A11.hub", "B11.B12", PARTNER, "bridge")
END_SECONDS_MAX: Final = 30.0
STOPPED: Final = "stopped"


@dataclass
class Run:
    """One run, after its end."""

    network: Deployment
    job: str
    report: dict[str, Any]
    ends: dict[str, tuple[int, float]]
    """Exit code and seconds of each process that was told to end while the job ran."""
    collector: Collector
    outputs: np.ndarray
    pages: dict[str, Samples]
    """What Prometheus would have read at the job's end, by process."""
    statuses: dict[str, tuple[int, dict[str, Any]]]
    """What `sublet node status` said then."""


def end(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    return process.wait(END_SECONDS_MAX + 5), time.monotonic() - begin


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, rabbitmq: Server, case: Case) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("operations")
    with (
        collecting() as collector,
        deployment(folder / "network", rabbitmq, *INIT, own=dict.fromkeys(HUBS, rabbitmq)) as network,
    ):
        path = network.config(PARTNER)
        path.write_text(path.read_text() + DATASET)
        joint.policy(path.parent)
        ports = give_ports(network, tuple(ROLES), HUBS, collector.url)
        started = together.start(network, case)
        bridges = {hub: network.start("bridge", f"{hub}.hub") for hub in HUBS}
        job = together.submit(network, case, folder, "--aligned")
        network.until_round(job, 2)
        ends = {}
        for name in TOLD_TO_END:
            process = bridges["A11"] if name == "bridge" else started[name][0]
            ends[name] = end(process)
            role, address = ("bridge", "A11.hub") if name == "bridge" else (ROLES[name], name)
            network.start(role, address)
        report = network.ended(job)
        statuses = {each: status(network, each) for each in ("A11.A12", "B11.B12")}
        statuses["bridge"] = status(network, "A11.hub", "--bridge")
        outputs = together.outputs(network, job, folder)
        pages = {name: scrape(port) for name, port in ports.items()}
        network.stop()
        statuses[STOPPED] = status(network, "A11.hub")
        yield Run(network, job, report, ends, collector, outputs, pages, statuses)


def test_a_process_that_is_told_to_end_does_so_in_time_and_its_job_goes_on(run: Run) -> None:
    assert run.report["state"] == "completed", run.report
    assert {name: code for name, (code, _) in run.ends.items()} == dict.fromkeys(TOLD_TO_END, 0), run.network.logs()
    assert max(seconds for _, seconds in run.ends.values()) < END_SECONDS_MAX
    assert [process.returncode for process in run.network.processes] == [0] * len(run.network.processes)


def test_its_results_passed_two_bridges_and_are_right(run: Run, case: Case, tmp_path: Path) -> None:
    assert run.report["route"][-1].endswith(" → B11 → A11 → C11 → C11.C12")
    together.require_right(run.outputs, case)


def test_one_trace_crosses_three_brokers(run: Run) -> None:
    spans = run.collector.spans
    assert {each.trace for each in spans} == {trace_of(first_traceparent(run.job))}
    assert {each.who for each in spans} >= {f"{address}/{role}" for address, role in ROLES.items()}
    sealed = [each for each in spans if (each.who, each.name) == (f"{PARTNER}/partner", "handle batch.sealed")]
    ways = {tuple(f"{each.who} {each.name}" for each in run.collector.way_to(span)[:6]) for span in sealed}
    for lessor in ("B11.B12", "B11.B13"):
        assert (
            "A11.hub/bridge carry to C11",
            "B11.hub/bridge carry to A11",
            f"{lessor}/lessor send batch.sealed",
            f"{lessor}/lessor handle batch.dispatched",
            "A11.hub/bridge carry to B11",
            "A11.A12/renter send batch.dispatched",
        ) in ways


def test_metrics_tell_what_happened(run: Run) -> None:
    renter, bridge, partner = run.pages["A11.A12"], run.pages["A11/bridge"], run.pages[PARTNER]
    assert {page["sublet_ready",] for page in run.pages.values()} == {1}
    assert (renter["sublet_jobs", "completed"], partner["sublet_jobs", "finished"]) == (1, 1)
    assert renter["sublet_outcomes_total", "completed", "job"] == 1
    assert renter["sublet_batches_total", "sent", "dispatched"] > 0
    assert run.pages["B11.B13"]["sublet_batch_seconds_count",] > 0
    assert (bridge["sublet_link_up", "B11"], bridge["sublet_link_up", "C11"]) == (1, 1)
    assert bridge["sublet_link_bytes_total", "C11"] > bridge["sublet_link_messages_total", "C11", "carried"] > 0
    assert [name for page in run.pages.values() for name in page if name[0] == "sublet_refusals_total"] == []


def test_a_job_and_each_contract_have_one_line_with_their_outcome(run: Run) -> None:
    lines = [
        json.loads(line) for path in run.network.folder.glob("nodes/*/*.log") for line in path.read_text().splitlines()
    ]
    assert {(line["node"], line["role"]) for line in lines if line["event"] == "starting"} == {
        *ROLES.items(),
        *((f"{hub}.hub", "bridge") for hub in HUBS),
    }
    told = Counter((line["node"], line["event"], line["id"]) for line in lines if "trace" in line)
    jobs, contracts = [run.job], [each["id"] for each in run.report["contracts"]]
    assert len(contracts) > 1
    expected = {
        *(("A11.A12", "job completed", job) for job in jobs),
        *((PARTNER, "part finished", job) for job in jobs),
        *((hub, "contract signed", each) for hub in ("A11.hub", "B11.hub") for each in contracts),
        *((hub, "contract ended", each) for hub in ("A11.hub", "B11.hub") for each in contracts),
    }
    assert {each: told[each] for each in expected} == dict.fromkeys(expected, 1)
    assert [line for line in lines if line["level"] in ("warning", "error") and not _is_of_an_end(line)] == []


def _is_of_an_end(line: dict[str, Any]) -> bool:
    """Processes that end leave others without what they asked for, and a link without its bridge, for a moment."""
    return line["event"] in ("undelivered", "session-given-up", "link lost")


def test_a_nodes_status_says_whether_it_works_and_why_not(run: Run) -> None:
    for name, (code, said) in run.statuses.items():
        assert (code, said["ready"], bool(said["reasons"])) == (
            (1, False, True) if name == STOPPED else (0, True, False)
        )
    assert run.statuses["B11.B12"][1]["store"] is None
    left = run.statuses[STOPPED][1]["store"]
    assert (left["effects"], left["reason"]) == (0, "")
    assert "does it run?" in run.statuses[STOPPED][1]["reasons"][0]
