"""A partner, wired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker.port import Broker
from nodes.bootstrap.stored import StoredNode, door_of, runtime_of
from nodes.config import NodeConfig, PartnerSettings
from nodes.crew.crew import Crew
from nodes.data.reading import Dialect, Reading
from nodes.identity import Identity
from nodes.operations.telemetry import Telemetry
from nodes.partner.activities.aligning import partners_aligner
from nodes.partner.activities.collect import Collector as SealedCollector
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.services import Dataset
from nodes.partner.activities.services import Services as PartnerServices
from nodes.partner.activities.table import activities as partner_activities
from nodes.partner.protocol.config import PartnerConfig
from nodes.partner.protocol.machine import PartnerMachine
from nodes.renter.protocol.machine import UNDELIVERED
from nodes.runtime.hearing import Hearing
from nodes.runtime.post import Post
from nodes.runtime.storage import Storage
from nodes.store.blobs import BlobStore
from nodes.store.opening import Place
from nodes.views.phases import Phases


@dataclass(frozen=True, slots=True)
class PartnerWishes:
    """Settings of a partner that are not public keys."""

    data_dir: Path
    crew: Crew
    policy: Path
    datasets: Mapping[str, Dataset]
    store_url: str | None = field(default=None, repr=False)
    """Likewise."""


async def serve_partner(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A partner's process."""
    settings = config.partner or PartnerSettings()
    policy, datasets = config.folder / settings.policy_file, partner_datasets(config)
    wishes = PartnerWishes(config.data_dir, crew, policy, datasets, config.store_url)
    node = await partner_node(partner_config(config, identity), wishes, identity, broker, telemetry)
    await node.following(config, identity, partner_config).run(stop)


async def partner_node(
    config: PartnerConfig,
    wishes: PartnerWishes,
    identity: Identity,
    broker: Broker,
    telemetry: Telemetry | None = None,
) -> StoredNode:
    """A partner's process: the machine, its activities, and the collector of sealed results."""
    telemetry = telemetry or Telemetry()
    machine = PartnerMachine(config)
    store = await Place(wishes.data_dir, wishes.store_url).open(identity.address, machine.record_types)
    services = PartnerServices(
        identity=identity,
        store=store,
        blobs=BlobStore(wishes.data_dir / "blobs"),
        jobs=wishes.data_dir / "jobs",
        clock=time.time,
        crew=wishes.crew,
        policy=wishes.policy,
        datasets=wishes.datasets,
    )
    desk, aligner = Desk(services), partners_aligner(services, Post(identity, broker, time.time, telemetry))
    storage = Storage(wishes.data_dir)
    offered = partner_activities(services, desk, aligner)
    blobs = services.blobs
    hearing = Hearing(broker, config.me, "result", wait_seconds=config.renter_seconds_max, clock=time.time)
    runtime = runtime_of(
        machine,
        identity,
        broker,
        store,
        offered,
        blobs,
        storage,
        telemetry,
        lambda: hearing.since,
        endless=(UNDELIVERED,),
    )
    telemetry.health.jobs = Phases(store).count
    door = door_of(machine, identity, storage, telemetry)
    collector = SealedCollector(services, desk, broker, door, runtime.submit, aligner, hearing)
    return StoredNode(runtime, store, (collector.run, hearing.run), machine)


def partner_config(config: NodeConfig, identity: Identity) -> PartnerConfig:
    """The partner's public settings."""
    settings = config.partner or PartnerSettings()
    return PartnerConfig(
        me=config.address,
        key=identity.public,
        newest=identity.newest,
        hub_keys=config.network.hub_keys,
        renter_seconds_max=settings.renter_seconds_max,
        approval_seconds_max=settings.approval_seconds_max,
    )


def partner_datasets(config: NodeConfig) -> Mapping[str, Dataset]:
    """The tables that the partner has, by name."""
    settings = config.partner or PartnerSettings()
    return {
        name: Dataset(
            config.folder / each.file,
            Reading(each.id_column, (), Dialect(each.delimiter, each.decimal, each.encoding), each.missing),
            each.outliers,
        )
        for name, each in settings.datasets.items()
    }
