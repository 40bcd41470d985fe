"""The attack that takes a BFV key by one decryption, through a whole renter: it works on one that does not audit, and
on no other. What a lessor is told of a result that is not accepted is one answer, whatever was wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from nodes.homomorphic.bfv.linear import BfvPublic
from nodes.homomorphic.encoding import encode, result_bits
from nodes.homomorphic.port import PublicKey
from nodes.local import LocalNetwork
from nodes.programs.build import linear
from nodes.renter.protections import ciphertext
from nodes.renter.protocol.records import Job
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from schemas.jobs import Batch, FixedPoint
from tests.support import unaudited
from tests.support.cheating import Change, adding_one, cheat, first_row
from tests.support.frames import HOSTILE, key_reader, read_with, words_of
from tests.support.seal import needs_seal
from tests.support.tables import as_csv

pytestmark = needs_seal

SLOTS: Final = 2048
"""Of the job's key: each lessor gets one full ciphertext per column."""
ROWS: Final = 2 * SLOTS
THIEF: Final = "B11.B13"
PROGRAM: Final = linear({"a": [2.0], "b": [-1.25]}, [0.5], ["y"])
ERROR_MAX: Final = 1e-2
JOB_SECONDS_MAX: Final = 60.0

Floats = NDArray[np.float64]


@dataclass
class Thief:
    """A lessor that sends a crafted ciphertext, and keeps what it was sent."""

    public: BfvPublic | None = None
    batch: Batch | None = None
    request: bytes = field(default=b"", repr=False)

    def change(self, public: PublicKey, batch: Batch, request: bytes, result: bytes) -> bytes:
        assert isinstance(public, BfvPublic)
        assert (public.slots, batch.rows) == (SLOTS, SLOTS)
        self.public, self.batch, self.request = public, batch, request
        return key_reader(public)

    def reads(self, output: Floats, fixed: FixedPoint) -> NDArray[np.int64]:
        """The first column of its batch, with the key that it takes the shown results for."""
        assert self.public is not None
        assert self.batch is not None
        shown = output[self.batch.first_row :][:SLOTS] * 2.0 ** result_bits(fixed)
        column = self.request[: self.public.body_bytes(SLOTS, 1)]
        return read_with(np.rint(shown).astype(np.int64), self.public, words_of(self.public, column))


@dataclass(frozen=True)
class Table:
    """The renter's data."""

    path: Path
    rows: Floats

    @property
    def results(self) -> Floats:
        return np.asarray(self.rows @ np.array([2.0, -1.25]) + 0.5)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path = tmp_path_factory.mktemp("data") / "data.csv"
    rows = np.random.default_rng(8).uniform(-4, 4, (ROWS, 2)).round(6)
    np.savetxt(path, rows, fmt="%.6f", delimiter=",", header="a,b", comments="")
    return Table(path, rows)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    async with LocalNetwork(tmp_path / "network") as running:
        yield running


async def run(network: LocalNetwork, table: Table) -> tuple[JobReport, Floats]:
    """A job that completes, and its output as its user may show it."""
    wishes = JobOptions(protection="homomorphic", scheme="bfv", max_error=ERROR_MAX, batch_rows=SLOTS, local_share=0.0)
    spec = network.stage(table.path, PROGRAM, None, wishes)
    await network.submit(spec)
    async with asyncio.timeout(JOB_SECONDS_MAX):
        report = [each async for each in network.watch(spec.id)][-1]
    assert report.phase == "completed", report.reason
    assert report.output is not None
    output: Floats = np.loadtxt(as_csv(report.output), delimiter=",", skiprows=1, usecols=1)
    return report, output


async def fixed_point(network: LocalNetwork, job: str) -> FixedPoint:
    """As the thief knows it from its terms."""
    record = (await network.store.get(job, ["job"]))["job"]
    assert isinstance(record, Job)
    assert record.facts is not None
    fixed = record.facts.of("bfv").fixed_point
    assert fixed is not None
    return fixed


@pytest.mark.parametrize("audits", [False, True], ids=["no audit", "audit"])
async def test_a_crafted_result_takes_the_key_of_a_renter_that_does_not_audit(
    network: LocalNetwork, table: Table, monkeypatch: pytest.MonkeyPatch, audits: bool
) -> None:
    thief = Thief()
    cheat(monkeypatch, THIEF, thief.change)
    if not audits:
        monkeypatch.setattr(ciphertext, "decrypt", unaudited.decrypt)
    report, output = await run(network, table)
    assert thief.batch is not None
    fixed = await fixed_point(network, report.id)
    first = thief.batch.first_row
    sent = encode(table.rows[first : first + SLOTS], fixed)[:, 0]
    taken = float((thief.reads(output, fixed) == sent).mean())
    right = float((np.abs(output - table.results) <= ERROR_MAX).mean())
    if audits:
        assert (taken < 0.01, right) == (True, 1.0)
        assert [each.code for each in await refusals(network, report.id)] == ["wrong-result"]
    else:
        assert (taken, right < 0.51) == (1.0, True)


@dataclass(frozen=True)
class Refusal:
    """A result that was not accepted: why, and all that then left the renter."""

    code: str
    told: tuple[tuple[str, str, str, str], ...]
    """Type, receiver, code and reason."""


async def refusals(network: LocalNetwork, job: str) -> list[Refusal]:
    entries = [orjson.loads(each) for each in await network.store.journal(job)]
    return [
        Refusal(entry["event"]["data"]["code"], tuple(sorted(map(_told, _published(entry)))))
        for entry in entries
        if entry["event"]["type"] == "result.refused"
    ]


def _published(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in entry["effects"] if each["effect"] == "publish"]


def _told(published: dict[str, Any]) -> tuple[str, str, str, str]:
    data = published["data"]
    return published["type"], published["to"], data.get("code", ""), data.get("reason", "")


def changes() -> dict[str, Change]:
    """Each hostile frame as the thief's answer, and one wrong row."""

    def crafted(craft: Callable[[BfvPublic, bytes], bytes]) -> Change:
        def change(public: PublicKey, batch: Batch, request: bytes, result: bytes) -> bytes:
            assert isinstance(public, BfvPublic)
            return craft(public, result)

        return change

    return {name: crafted(craft) for name, (craft, _) in HOSTILE.items()} | {"one row": adding_one(first_row)}


async def test_every_hostile_frame_gets_one_answer(
    network: LocalNetwork, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, Refusal] = {}
    for name, change in changes().items():
        with monkeypatch.context() as patch:
            cheat(patch, THIEF, change)
            report, output = await run(network, table)
        assert np.abs(output - table.results).max() <= ERROR_MAX, name
        (answers[name],) = await refusals(network, report.id)
    assert {each.code for each in answers.values()} == {"ciphertext-invalid", "ciphertext-length", "wrong-result"}
    (told,) = {each.told for each in answers.values()}
    assert told == (("contract.ended", "A11.hub", "result-not-accepted", "a result was not accepted"),)
