"""Every row of the table of roles names what is there, and fits what the broker and the catalogue say of the role."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import get_args

import pytest
from msgspec import Struct

from broker.names import DESK
from broker.network import Participant, kinds
from nodes.config import NodeFile
from nodes.machine import TIMER_FIRED
from nodes.receipts import SETTLED
from nodes.roles import ROLES, Role, RoleRow
from schemas.events import CATALOGUE

ROWS = [pytest.param(row, id=row.name) for row in ROLES.values()]


def test_there_is_a_row_for_every_role() -> None:
    assert tuple(ROLES) == get_args(Role)


@pytest.mark.parametrize("row", ROWS)
def test_a_rows_parts_are_there(row: RoleRow) -> None:
    assert row.load(row.machine).name == row.name
    taken = ["config", "identity", "broker", "crew", "stop", "telemetry"]
    assert list(inspect.signature(row.load(row.server)).parameters) == taken
    if row.settings:
        assert issubclass(row.load(row.settings), Struct)
    assert (row.name in NodeFile.__struct_fields__) == bool(row.settings)


@pytest.mark.parametrize("row", ROWS)
def test_a_rows_queues_are_the_brokers_and_the_catalogues(row: RoleRow) -> None:
    told = {each.kind for each in CATALOGUE.values() if row.name in each.receiver}
    assert told - {"lane"} == set(row.queues)
    if row.name != "hub":
        assert kinds(Participant(name="X", role=row.name, lanes=0)) == (*row.queues, DESK)


@pytest.mark.parametrize("row", ROWS)
def test_a_rows_machine_handles_what_the_door_lets_in_and_its_own_outcomes(row: RoleRow) -> None:
    """But results, which are bulk data and go to the renter's collector, heartbeats, which are taken beside it, and what
    is settled, which `nodes/receipts.py` keeps in aggregates of its own."""
    beside = {"result", "heartbeat"}
    told = {name for name, each in CATALOGUE.items() if row.name in each.receiver and each.kind not in beside}
    handled = set(import_module(row.machine.partition(":")[0]).TABLE) | ({SETTLED} & told)
    assert handled == told | set(row.load(row.machine).internal_types) | {TIMER_FIRED}
