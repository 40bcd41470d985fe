"""A renter, wired."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from broker.port import Broker
from nodes import receipts
from nodes.bootstrap.evidence import evidence_policy
from nodes.bootstrap.stored import StoredNode, door_of, drop, runtime_of
from nodes.config import NodeConfig, RenterSettings
from nodes.crew.crew import Crew
from nodes.enclave.attestation.measure import measurement
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.verifiers import all_verifiers
from nodes.identity import Identity
from nodes.operations.telemetry import Telemetry
from nodes.renter.activities.answers import Answers
from nodes.renter.activities.collect import Collector
from nodes.renter.activities.services import Services
from nodes.renter.activities.table import Hands, activities
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import UNDELIVERED, RenterMachine
from nodes.runtime.hearing import Hearing
from nodes.runtime.post import Post
from nodes.runtime.storage import Storage
from nodes.store.blobs import BlobStore
from nodes.store.opening import Place
from nodes.store.port import Store
from nodes.views.phases import Phases
from schemas.limits import DAY_SECONDS


@dataclass(frozen=True, slots=True)
class RenterWishes:
    """Settings of a renter that are not public keys.

    `evidence` is what it accepts of enclaves; its `accept_software` says whether a job may opt in to software ones.
    """

    data_dir: Path
    crew: Crew
    calibration: Path | None = None
    """Where measurements of this machine are kept; by default in `data_dir`."""
    evidence: Policy = field(default=Policy(accept_software=True))
    store_url: str | None = field(default=None, repr=False)
    """Of a database server; without, the store is a file in `data_dir`."""


async def serve_renter(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A renter's process."""
    evidence = evidence_policy(config)
    wishes = RenterWishes(config.data_dir, crew, evidence=evidence, store_url=config.store_url)
    node, _ = await renter_node(renter_config(config, identity), wishes, identity, broker, telemetry)
    await node.following(config, identity, renter_config).run(stop)


async def renter_node(
    config: RenterConfig, wishes: RenterWishes, identity: Identity, broker: Broker, telemetry: Telemetry | None = None
) -> tuple[StoredNode, Services]:
    """A renter's process: the machine, its activities, and the collector of results."""
    telemetry = telemetry or Telemetry()
    machine = RenterMachine(config)
    store = await Place(wishes.data_dir, wishes.store_url).open(identity.address, machine.record_types)
    services = renter_services(wishes, identity, store)
    hands = Hands.of(services, Post(identity, broker, time.time, telemetry))
    storage = Storage(wishes.data_dir)
    wait_seconds = min(config.batch_deadline_seconds, config.handshake_seconds_max)
    hearing = Hearing(broker, config.me, "result", wait_seconds=wait_seconds, clock=time.time)
    offered = activities(hands) | {receipts.DROP: partial(drop, store)}
    runtime = runtime_of(
        machine,
        identity,
        broker,
        store,
        offered,
        services.blobs,
        storage,
        telemetry,
        lambda: hearing.since,
        endless=(UNDELIVERED,),
    )
    telemetry.health.jobs = Phases(store).count
    door, answers = door_of(machine, identity, storage, telemetry), Answers(services, hands.workbench)
    collector = Collector(services, hands.workbench, broker, door, runtime.submit, answers, hands.aligner, hearing)
    return StoredNode(runtime, store, (collector.run, hearing.run), machine), services


def renter_services(wishes: RenterWishes, identity: Identity, store: Store) -> Services:
    """What a renter's activities work with."""
    evidence = replace(wishes.evidence, measurements=wishes.evidence.measurements | {measurement()})

    def policy(accept_software: bool) -> Policy:
        return replace(evidence, accept_software=accept_software and evidence.accept_software)

    return Services(
        identity=identity,
        store=store,
        blobs=BlobStore(wishes.data_dir / "blobs"),
        jobs=wishes.data_dir / "jobs",
        clock=time.time,
        core_clock=time.thread_time,
        crew=wishes.crew,
        calibration=wishes.calibration or wishes.data_dir / "calibration.json",
        policy=policy,
        verifiers=all_verifiers(),
    )


def renter_config(config: NodeConfig, identity: Identity) -> RenterConfig:
    """The renter's public settings."""
    settings = config.renter or RenterSettings()
    return RenterConfig(
        me=config.address,
        key=identity.public,
        newest=identity.newest,
        hub_keys=config.network.hub_keys,
        batch_deadline_seconds=settings.batch_deadline_seconds,
        handshake_seconds_max=settings.handshake_seconds_max,
        batch_window=settings.batch_window,
        keep_seconds=settings.keep_days * DAY_SECONDS,
        keep_receipts_seconds=config.keep_receipts_days * DAY_SECONDS,
        partner_seconds_max=settings.partner_seconds_max,
        approval_seconds_max=settings.approval_seconds_max,
    )
