"""A hub's participants: those of its files, and what became of them and of others since."""

from __future__ import annotations

from pathlib import Path

from nodes.config import read_config
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import RECORD_TYPES, KnownHub, Member
from nodes.network_init import Plan, create
from nodes.store.opening import Place
from nodes.store.port import Decision, Input
from nodes.views.network import seen
from schemas.hubs import HubCertificate
from schemas.ids import Address

NOW = 1_800_000_000.0


async def test_a_hub_shows_who_came_changed_and_left_since_its_files_were_written(tmp_path: Path) -> None:
    stay, go = Address("A11.A12"), Address("A11.A13")
    create(tmp_path / "net", Plan(hubs=("A11",), renters=(stay, go), lessors=()))
    config = read_config(tmp_path / "net" / "nodes" / "A11.hub" / "node.toml", {})
    put = {
        "member/A11.A13": Member(role="renter", key=b"\1" * 32, version=2, left=True),
        "member/A11.A14": Member(role="lessor", lanes=3, key=b"\2" * 32, newest=b"\3" * 32, until=NOW, version=2),
        "member/A11.A15": Member(role="partner", key=b"\4" * 32, until=NOW, retiring=True, version=2),
    }
    store = await Place(config.data_dir, None).open(config.address, RECORD_TYPES)
    asked = [Input("event-1", AGGREGATE)]
    await store.apply(asked, lambda *_: Decision(NOW, put=put), owner="me", lease_until=NOW, performs_max=0)
    await store.close()
    shown = {each.address: each for each in (await seen(config)).participants}
    assert set(shown) == {stay, "A11.A14", "A11.A15"}
    assert (shown[stay].role, shown[stay].former_until) == ("renter", 0.0)
    newcomer = shown[Address("A11.A14")]
    assert (newcomer.role, newcomer.lanes, newcomer.public_key) == ("lessor", 3, "03" * 32)
    assert newcomer.former_until == shown[Address("A11.A15")].former_until == NOW


async def test_a_hub_shows_hubs_that_neighbours_told_of_with_the_ways_there(tmp_path: Path) -> None:
    create(tmp_path / "net", Plan(hubs=("A11", "B11", "C11"), renters=(), lessors=()))
    config = read_config(tmp_path / "net" / "nodes" / "A11.hub" / "node.toml", {})
    certificate = HubCertificate("D11", b"\5" * 32, 1, NOW)
    put = {
        "known/A11": KnownHub(1, b""),
        "known/B11": KnownHub(1, b"", ("B11",)),
        "known/D11": KnownHub(1, b"", ("D11", "C11", "B11"), certificate),
        "known/E11": KnownHub(1, b"", (), HubCertificate("E11", b"\6" * 32, 2, NOW)),
    }
    store = await Place(config.data_dir, None).open(config.address, RECORD_TYPES)
    asked = [Input("event-1", AGGREGATE)]
    await store.apply(asked, lambda *_: Decision(NOW, put=put), owner="me", lease_until=NOW, performs_max=0)
    await store.close()
    shown = {each.name: each for each in (await seen(config)).hubs}
    assert {name: each.way for name, each in shown.items()} == {
        "A11": None,
        "B11": ("B11",),
        "C11": None,
        "D11": ("B11", "C11", "D11"),
        "E11": (),
    }
    assert shown["B11"].public_key == config.network.hubs["B11"].public_key
    assert (shown["D11"].public_key, shown["D11"].broker, shown["D11"].links) == ("05" * 32, "", ())
