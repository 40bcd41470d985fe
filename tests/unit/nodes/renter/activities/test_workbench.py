"""What a worker has at hand: loaded once, again after a failure, and gone with its job."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from typing import Any

import msgspec
import pytest

from nodes.data.manifest import VALUES
from nodes.data.table import open_table
from nodes.protections import SEALED
from nodes.renter.activities import workbench as module
from nodes.renter.activities.services import Services
from nodes.renter.activities.table import Hands, activities
from nodes.renter.activities.workbench import Workbench
from nodes.renter.errors import FilesGone, JobGone, OtherFormat
from nodes.renter.protocol.records import Progress, Round
from nodes.runtime.outbox import Activity
from nodes.runtime.post import Post
from nodes.secrets import SecretLost
from schemas.errors import BadData, VerificationFailed
from schemas.ids import derive_id
from schemas.jobs import Batch
from tests.unit.nodes.renter.activities.records import JOB, prepared, put, staged

OTHER = derive_id("job", 2)
SUBTASK = derive_id("subtask", 1)


CONTRACT = derive_id("contract", 1)
BATCH = Batch(job=JOB, subtask=SUBTASK, contract=CONTRACT, batch=0, attempt=1, first_row=0, rows=1)
GIVEN: dict[str, dict[str, Any]] = {
    "dispatch": {"batch": msgspec.to_builtins(BATCH), "lessor": "B11.B12"},
    "compute-local": {"batch": 0, "first_row": 0, "rows": 1},
    "verify-evidence": {"subtask": SUBTASK, "worker": "w", "nonce": "", "evidence": "", "contract": CONTRACT},
    "mask-ids": {"chunk": 0},
    "return-ids": {"chunk": 0, "digest": ""},
    "forget": {"subtasks": [SUBTASK]},
    "plan-round": {"round": 1},
    "dispatch-round": {
        "batch": msgspec.to_builtins(BATCH),
        "lessor": "B11.B12",
        "round": msgspec.to_builtins(Round(number=1, phase="open")),
        "rows": True,
    },
}
"""Parameters of activities."""


class Gate:
    """Holds up loading until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loading, self.opened, self.loads = threading.Event(), threading.Event(), 0
        monkeypatch.setattr(module, "open_table", self)

    def __call__(self, *given: object) -> object:
        self.loads += 1
        self.loading.set()
        assert self.opened.wait(30)
        return open_table(*given)  # type: ignore[arg-type]


async def test_a_job_is_loaded_once_however_many_want_it(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(services)
    gate, workbench = Gate(monkeypatch), Workbench(services)
    gate.opened.set()
    found = await asyncio.gather(*(workbench.running(JOB) for _ in range(5)))
    assert gate.loads == 1
    assert all(each is found[0] for each in found)


async def test_one_jobs_loading_does_not_delay_another(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(services, job=OTHER)
    await prepared(services)
    workbench = Workbench(services)
    await workbench.running(OTHER)
    gate = Gate(monkeypatch)
    slow = asyncio.create_task(workbench.running(JOB))
    await asyncio.to_thread(gate.loading.wait, 30)
    assert (await workbench.running(OTHER)).job.spec.id == OTHER
    assert not slow.done()
    gate.opened.set()
    await slow


async def test_what_could_not_be_loaded_is_tried_again(services: Services) -> None:
    spec = await prepared(services)
    data, workbench = services.folder(JOB).table / VALUES, Workbench(services)
    original = data.read_bytes()
    data.write_bytes(original[:-1] + b"\x00")
    with pytest.raises(BadData, match="has changed since the job began"):
        await workbench.inputs(spec)
    data.write_bytes(original)
    assert (await workbench.inputs(spec)).table.rows == 6


async def test_a_caller_that_gives_up_does_not_spoil_it_for_others(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared(services)
    gate, workbench = Gate(monkeypatch), Workbench(services)
    first, second = (asyncio.create_task(workbench.running(JOB)) for _ in range(2))
    await asyncio.to_thread(gate.loading.wait, 30)
    first.cancel()
    gate.opened.set()
    assert (await second).job.spec.id == JOB
    assert gate.loads == 1


async def test_a_job_cancelled_while_its_table_loads_is_gone(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are erased meanwhile: that is the job's end, not the renter's."""
    await prepared(services, traits=SEALED)
    gate, workbench = Gate(monkeypatch), Workbench(services)
    loading = asyncio.create_task(workbench.running(JOB))
    await asyncio.to_thread(gate.loading.wait, 30)
    await put(services.store, {"progress": Progress(phase="failed")})
    await workbench.forget([SUBTASK], JOB)
    gate.opened.set()
    with pytest.raises(JobGone):
        await loading
    with pytest.raises(JobGone):
        await workbench.running(JOB)


async def test_what_is_asked_for_a_job_that_is_gone_has_no_outcome(services: Services) -> None:
    await prepared(services, "failed")
    for name, activity in table(services).items():
        if name != "prepare":
            assert list(await activity(GIVEN.get(name, {}), JOB)) == [], name


def table(services: Services) -> dict[str, Activity]:
    return activities(Hands.of(services, Post(services.identity, None, time.time)))  # type: ignore[arg-type]


async def test_a_secret_made_for_a_job_that_ended_meanwhile_is_erased(services: Services) -> None:
    await prepared(services, "failed")
    keys = Workbench(services).keys
    with pytest.raises(JobGone, match="ended"):
        await keys.subtask(JOB, SUBTASK)
    assert await services.store.get_secret(f"subtask/{SUBTASK}") is None


async def test_a_live_job_whose_key_is_not_in_the_store_says_so(services: Services) -> None:
    await prepared(services, traits=SEALED)
    with pytest.raises(SecretLost, match="restore it from a backup"):
        await Workbench(services).running(JOB)


async def test_workers_share_one_secret_per_subtask(services: Services) -> None:
    await prepared(services)
    one, two = Workbench(services), Workbench(services)
    jobs = [(each, (await each.running(JOB)).job) for each in (one, two)]
    made = await asyncio.gather(*(each.subtask_secret(job, SUBTASK) for each, job in jobs))
    assert made[0] == made[1]
    assert made[0] not in (await services.store.get_secret(f"subtask/{SUBTASK}") or b"")


async def test_a_contract_that_is_not_here_is_refused(services: Services) -> None:
    with pytest.raises(VerificationFailed) as refused:
        await Workbench(services).contract(JOB, "contract-x")
    assert refused.value.code == "unknown-subtask"


@pytest.mark.parametrize("written", [None, "0", "1\n\n3"])
async def test_a_folder_of_another_format_is_refused_in_one_line_and_left_untouched(
    services: Services, written: str | None
) -> None:
    spec = staged(services)
    folder = services.folder(JOB).path
    (folder / "format").unlink()
    if written is not None:
        (folder / "format").write_text(written)
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(OtherFormat) as refused:
        await Workbench(services).inputs(spec)
    assert refused.value.code == "other-format"
    assert len(str(refused.value).splitlines()) == 1
    assert "to start anew" in str(refused.value)
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


async def test_files_that_are_gone_are_the_renters_own_fault(services: Services) -> None:
    spec = staged(services)
    shutil.rmtree(services.folder(JOB).path)
    with pytest.raises(FilesGone, match="the job's files are not here") as refused:
        await Workbench(services).inputs(spec)
    assert refused.value.code == "no-file"
