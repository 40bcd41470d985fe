"""A node's page over a network in one process, served as `sublet page` serves it; and the distribution's Chromium."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from nodes.config import LessorSettings, NodeConfig
from nodes.local import LocalNetwork
from nodes.network import BrokerSite, HubEntry, NetworkFile, ParticipantEntry, SubnetFile
from nodes.page.serve import Binding, serve_page
from nodes.roles import Role
from schemas.ids import Address, hub_address, hub_of

CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The distribution's browser; with_servers.sh installs it."""
    found = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    assert found is not None, "install chromium: tests/support/with_servers.sh does, as root on Debian or Ubuntu"
    return found


def config_of(network: LocalNetwork, folder: Path, address: Address, role: Role) -> NodeConfig:
    """What `node.toml` and its neighbours would say of one of the network's nodes, in whose folder its stores are."""
    described = NetworkFile(
        brokers={"one": BrokerSite(host="127.0.0.1")},
        hubs={
            hub.name: HubEntry(broker="one", public_key=network.identity(hub_address(hub.name)).public.hex())
            for hub in network.topology.hubs
        },
        links=tuple(each.hubs for each in network.topology.links),
    )
    own = next(hub for hub in network.topology.hubs if hub.name == hub_of(address))
    members = {
        each.name: ParticipantEntry(role=each.role, lanes=each.lanes, public_key="00" * 32) for each in own.participants
    }
    return NodeConfig(
        role=role,
        address=address,
        amqp_url="amqp://nobody@127.0.0.1",
        key_file=folder / "identity.pem",
        data_dir=folder / address,
        network=described,
        subnet=SubnetFile(hub=own.name, participants=members) if role == "hub" else None,
        lessor=LessorSettings() if role == "lessor" else None,
    )


@asynccontextmanager
async def page_of(config: NodeConfig) -> AsyncIterator[str]:
    """The page of a node; the address to open, with its token."""
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_page(config, Binding(), stop, address.set_result))
    await asyncio.wait([serving, address], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield address.result()
    finally:
        stop.set()
        await serving
