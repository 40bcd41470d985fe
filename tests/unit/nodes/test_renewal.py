"""A process takes up a key that was put in the place of its own, and goes on with what it has while there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.config import NodeConfig, read_config
from nodes.identity import Identity, verify
from nodes.network import read_network
from nodes.network_init import Plan, create
from nodes.renewal import follow_files
from schemas.ids import Address

ME = Address("A11.A12")


async def test_a_new_key_signs_as_soon_as_it_is_there(tmp_path: Path) -> None:
    create(tmp_path / "net", Plan(hubs=("A11",), renters=(ME,), lessors=()))
    config = read_config(tmp_path / "net" / "nodes" / ME / "node.toml", {})
    identity, taken_up = config.identity(), asyncio.Event()
    known = identity.public
    following = asyncio.create_task(follow_files(config, identity, lambda _: taken_up.set(), 0.001))
    config.key_file.rename(config.key_file.with_name("former-identity.pem"))
    await asyncio.sleep(0.01)  # it looks, finds nothing, and goes on
    assert identity.newest == known
    assert not following.done()
    Identity.generate(ME).save(config.key_file)
    await taken_up.wait()
    assert identity.newest == config.identity().newest != known
    assert verify(known, b"data", identity.sign(b"data"))
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_another_network_description_is_taken_up_with_its_hubs_keys(tmp_path: Path) -> None:
    plan = Plan(hubs=("A11", "B11"), renters=(ME,), lessors=())
    for name in ("net", "later"):
        create(tmp_path / name, plan)
    config = read_config(tmp_path / "net" / "nodes" / ME / "node.toml", {})
    later = tmp_path / "later" / "network.toml"
    taken: asyncio.Queue[NodeConfig] = asyncio.Queue()
    following = asyncio.create_task(follow_files(config, config.identity(), taken.put_nowait, 0.001))
    assert config.network_file is not None
    config.network_file.write_text("hubs = ")
    await asyncio.sleep(0.01)  # it looks, cannot read that, and goes on
    assert taken.empty()
    assert not following.done()
    later.replace(config.network_file)
    changed = await taken.get()
    assert changed.network == read_network(config.network_file) != config.network
    assert changed.address == ME
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
