"""What an operator is told before anything changes; the rest happens on a real broker (tests/e2e/test_joining.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from nodes.admission import registered
from nodes.admission.admission import Admission, NotAdmitted
from nodes.admission.operator import WrittenDown, operator
from nodes.config import NodeConfig, read_config
from nodes.hub.records import RECORD_TYPES
from nodes.membership import organisation
from nodes.membership.papers import read_paper
from nodes.network import read_network
from nodes.network_init import Plan, create
from nodes.store.sqlite import SqliteStore
from schemas.errors import BadConfig, PolicyRefused
from schemas.ids import Address
from schemas.membership import JoinRequest

RENTER = Address("A11.A12")


@pytest.fixture
def hub(tmp_path: Path) -> NodeConfig:
    create(tmp_path / "net", Plan(hubs=("A11",), renters=(RENTER,), lessors=()))
    return read_config(tmp_path / "net" / "nodes" / "A11.hub" / "node.toml", {})


class Untouched:
    """Nothing may be changed on the broker."""

    def apply(self, definitions: object) -> None:
        raise AssertionError("the broker was changed")

    def remove(self, vhost: str, queues: list[str]) -> None:
        raise AssertionError("the broker was changed")

    def remove_user(self, name: str) -> None:
        raise AssertionError("the broker was changed")


def request(folder: Path, address: str) -> JoinRequest:
    return read_paper(organisation.new(folder, address, "renter", None, 1_800_000_000.0), JoinRequest)


@pytest.mark.parametrize(("address", "code"), [("B11.A14", "wrong-hub"), (RENTER, "name-taken")])
async def test_what_the_hub_would_refuse_is_refused_before_its_broker_is_changed(
    hub: NodeConfig, tmp_path: Path, address: str, code: str
) -> None:
    with pytest.raises(NotAdmitted) as refused:
        await Admission(hub, Untouched(), "me").admit(request(tmp_path / "new", address))
    assert refused.value.code == code
    assert isinstance(refused.value, PolicyRefused)


async def test_who_is_not_there_cannot_be_removed_or_settled(hub: NodeConfig) -> None:
    admission = Admission(hub, Untouched(), "me")
    with pytest.raises(NotAdmitted) as refused:
        await admission.remove("A11.A14", "", wait_seconds=0)
    assert refused.value.code == "not-attached"
    with pytest.raises(BadConfig, match="no former key"):
        await admission.settle(RENTER)


async def test_who_is_attached_gets_a_welcome_with_the_network_as_it_is_now(hub: NodeConfig, tmp_path: Path) -> None:
    create(tmp_path / "later", Plan(hubs=("A11", "B11"), renters=(RENTER,), lessors=()))
    later = read_network(tmp_path / "later" / "network.toml")
    key = hub.network.hubs["A11"]
    grown = structs.replace(later, hubs=later.hubs | {"A11": key})
    folder = hub.folder.parent / RENTER
    paper = await Admission(replace(hub, network=grown), Untouched(), "me").greet(RENTER)
    organisation.welcome(folder, paper)
    assert read_config(folder / "node.toml", {}).network == grown
    with pytest.raises(NotAdmitted) as refused:
        await Admission(hub, Untouched(), "me").greet("A11.A14")
    assert refused.value.code == "not-attached"


def test_only_a_hubs_operator_admits(hub: NodeConfig) -> None:
    renter = read_config(hub.folder.parent / RENTER / "node.toml", {})
    with pytest.raises(BadConfig, match="only a hub's operator"):
        Admission(renter, Untouched(), "me")


async def test_a_hub_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "HUB_SECONDS_MAX", 0.01)
    store = await SqliteStore.open(None, RECORD_TYPES)
    with pytest.raises(registered.HubSilent, match="is `sublet hub` running"):
        await registered.registered(store, RENTER, 1)
    await store.close()


def test_without_an_api_definitions_go_to_a_file_and_what_is_to_go_is_said(tmp_path: Path) -> None:
    written = WrittenDown(tmp_path / "delta.json")
    written.apply({"users": []})
    assert json.loads((tmp_path / "delta.json").read_text()) == {"users": []}
    with pytest.raises(BadConfig, match=r"rabbitmqctl delete_user 'A11.A12~2'"):
        written.remove_user("A11.A12~2")
    with pytest.raises(BadConfig, match="management API"):
        written.remove("sublet", [])


def test_an_operators_file_is_for_the_operator_alone(hub: NodeConfig) -> None:
    path = hub.folder / "management-url"
    operator(hub)
    path.chmod(0o640)
    with pytest.raises(BadConfig, match="chmod 600"):
        operator(hub)
    path.unlink()
    with pytest.raises(BadConfig, match="--definitions"):
        operator(hub)
