"""Jobs whose receipts everybody has, and the folders that they leave behind as those of a network on RabbitMQ."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.cli.main import main
from nodes.local import LocalNetwork
from nodes.programs.build import linear
from nodes.renter.submission import JobOptions
from nodes.views import accounts
from schemas.orders import Protection

SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Site:
    """The folders of a network in which jobs were run; it is gone, they are there."""

    nodes: Path
    data: Path
    jobs: tuple[str, ...]

    def config(self, node: str) -> list[str]:
        """The option that names a node."""
        return ["--config", str(self.nodes / node / "node.toml")]

    def receipts(self, lessor: str) -> list[Path]:
        """The files that a lessor keeps."""
        return sorted((self.data / lessor / "receipts").glob("*/*.json"))


def make_site(root: Path, protections: tuple[Protection, ...], lessors: int = 2) -> Site:
    """Run a job of 40 rows under each protection, one after the other."""
    (root / "good.csv").write_text("id,a\n" + "".join(f"p{row},{row}\n" for row in range(40)))
    jobs, hub_keys = asyncio.run(_run(root, protections, lessors))
    assert main(["network", "init", str(root / "network")]) == 0
    for described in (root / "network").rglob("network.toml"):
        described.write_text(_known(described.read_text(), hub_keys))
    for node in (root / "network" / "nodes").iterdir():
        settings = (node / "node.toml").read_text()
        assert 'data_dir = "data"\n' in settings
        (node / "node.toml").write_text(settings.replace('"data"\n', f'"{root / "data" / node.name}"\n', 1))
    return Site(root / "network" / "nodes", root / "data", jobs)


async def until_settled(network: LocalNetwork, count: int) -> None:
    """Return when renter and hubs have so many receipts."""
    async with asyncio.timeout(SECONDS_MAX):
        for node in network.nodes.values():
            while len(await accounts.in_store(node.store)) < count:  # noqa: ASYNC110 - a store is asked
                await asyncio.sleep(LOOK_SECONDS)


async def _run(
    root: Path, protections: tuple[Protection, ...], lessors: int
) -> tuple[tuple[str, ...], Mapping[str, bytes]]:
    jobs: list[str] = []
    async with LocalNetwork(root / "data", lessors=lessors) as network:
        for protection in protections:
            wishes = JobOptions(protection=protection, id_column="id", lessors=lessors, accept_software_enclave=True)
            spec = network.stage(root / "good.csv", linear({"a": [3.0]}, [1.0]), None, wishes)
            await network.submit(spec)
            reports = [report async for report in network.watch(spec.id)]
            assert reports[-1].phase == "completed"
            jobs.append(spec.id)
            await until_settled(network, lessors * len(jobs))
        return tuple(jobs), network.renter_config.hub_keys


def _known(described: str, hub_keys: Mapping[str, bytes]) -> str:
    """A network's description with these hubs' keys."""
    for hub, key in hub_keys.items():
        table = rf'(\[hubs\.{hub.partition(".")[0]}\][^\[]*?public_key = ")[0-9a-f]*"'
        described, found = re.subn(table, rf'\g<1>{key.hex()}"', described)
        assert found == 1, (hub, described)
    return described
