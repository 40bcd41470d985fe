"""A partner's commands: what its parts look like, and which decisions fit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from nodes.cli.main import main
from nodes.config import read_config
from nodes.ledger import Rounds, SameRows
from nodes.network_init import Plan, create
from nodes.partner.protocol.records import RECORD_TYPES, Ledger, Part
from nodes.store.port import Decision, Input
from nodes.store.sqlite import SqliteStore
from schemas.ids import address
from schemas.joint import Algorithm
from tests.unit.nodes.hub.world import START, public_key
from tests.unit.nodes.partner.world import JOB, RENTER

PARTNER = address("C11", "C12")
LINES = Rounds(rows=9, received=2, outputs=3, rounds=4)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A partner's node with one part that goes on."""
    plan = Plan(
        hubs=("A11", "B11", "C11"),
        renters=(RENTER,),
        lessors=(address("B11", "B12"),),
        partners=(PARTNER,),
        links=(("A11", "B11"), ("A11", "C11")),
    )
    create(tmp_path / "network", plan)
    path = tmp_path / "network" / "nodes" / PARTNER / "node.toml"
    asyncio.run(keep(read_config(path, {}, role="partner").data_dir / "node.sqlite"))
    return path


async def keep(database: Path, **changed: Any) -> None:
    database.parent.mkdir(mode=0o700, exist_ok=True)
    store = await SqliteStore.open(database, RECORD_TYPES)
    part = Part(
        job=JOB,
        renter=RENTER,
        renter_key=public_key(RENTER),
        phase="accepted",
        dataset="claims",
        columns=("premium",),
        rows=9,
        received=2,
        outputs=3,
        rounds=4,
        answered=1,
        asked_at=START,
    )
    ledger = Ledger(lines=(*SameRows(9).compared(), *LINES.opened(1), *LINES.answered(1)))
    decision = Decision(START, put={"part": structs.replace(part, **changed), "ledger": ledger})
    arguments: dict[str, Any] = {"owner": "o", "lease_until": START, "performs_max": 0}
    await store.apply([Input(f"event-{len(changed)}", JOB)], lambda _, __: decision, **arguments)
    await store.close()


def test_a_part_is_shown_with_what_each_side_learned(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["joint", "show", JOB, "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    for said in (RENTER, "claims: premium", "1 of 4", "ciphertexts", "3 sums over 9 rows"):
        assert said in shown


def test_parts_are_listed_for_programs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["joint", "list", "--config", str(config), "--json"]) == 0
    (part,) = json.loads(capsys.readouterr().out)
    assert (part["job"], part["phase"], part["answered"]) == (JOB, "accepted", 1)


def test_a_model_is_shown_with_the_weights_of_the_own_columns(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    algorithm = Algorithm(name="ridge", penalty_per_row=0.001)
    asyncio.run(
        keep(
            read_config(config, {}, role="partner").data_dir / "node.sqlite",
            algorithm=algorithm,
            weights=(0.125,),
            offset=2.0,
        )
    )
    assert main(["joint", "show", JOB, "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    for said in ("model       ridge, penalty 0.001 per row", "Weights of the own columns", "premium", "0.125"):
        assert said in shown
    assert main(["joint", "show", JOB, "--config", str(config), "--json"]) == 0
    part = json.loads(capsys.readouterr().out)
    assert (part["weights"], part["offset"], part["algorithm"]["name"]) == ({"premium": 0.125}, 2.0, "ridge")


@pytest.mark.parametrize(("command", "wanted"), [("approve", "waiting"), ("refuse", "waiting")])
def test_what_is_not_waiting_cannot_be_decided(
    config: Path, capsys: pytest.CaptureFixture[str], command: str, wanted: str
) -> None:
    assert main(["joint", command, JOB, "--config", str(config)]) == 2
    assert wanted in capsys.readouterr().err


def test_a_part_that_is_not_here_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = JOB[:-1] + ("0" if JOB[-1] != "0" else "1")
    assert main(["joint", "show", unknown, "--config", str(config)]) == 2
    assert unknown in capsys.readouterr().err
