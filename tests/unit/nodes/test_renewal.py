"""A process takes up a key that was put in the place of its own, and goes on with what it has while there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.config import read_config
from nodes.identity import Identity, verify
from nodes.network_init import Plan, create
from nodes.renewal import follow_key
from schemas.ids import Address

ME = Address("A11.A12")


async def test_a_new_key_signs_as_soon_as_it_is_there(tmp_path: Path) -> None:
    create(tmp_path / "net", Plan(hubs=("A11",), renters=(ME,), lessors=()))
    config = read_config(tmp_path / "net" / "nodes" / ME / "node.toml", {})
    identity, taken_up = config.identity(), asyncio.Event()
    known = identity.public
    following = asyncio.create_task(follow_key(config, identity, lambda _: taken_up.set(), 0.001))
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
